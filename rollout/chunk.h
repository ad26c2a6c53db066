// Chunk: one agent's unbroken run of timesteps, laid out in one contiguous aligned payload that is
// filled by a worker, sent without a copy, and read in place by the learner.
//
// Shapes: see experience.proto, Tensor.Name. `windows` = ceil(steps / window).
// Thread-safety: one thread at a time.
// Ownership: a ChunkView points into somebody's payload; MutableChunk owns one.
// Errors: ParseChunk accepts anything as input; InvalidArgument (header out of limits, tensors that
//   overlap or leave the payload, another environment or network) or DataLoss (hash).
#ifndef MIDLANE_ROLLOUT_CHUNK_H_
#define MIDLANE_ROLLOUT_CHUNK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "rollout/experience.pb.h"

namespace midlane {

inline constexpr uint32_t kChunkStepsMax = 4096;
inline constexpr uint32_t kChunkBytesMax = 256u << 20;

// What every chunk of a run has in common.
struct ChunkShape {
  uint32_t inputs = 0;
  uint32_t logits = 0;  // width of the masks
  bool masked = false;  // whether any head has a mask
  uint32_t heads = 0;
  uint32_t terms = 0;
  uint32_t state = 0;    // recurrent floats, 0 without LSTM
  uint32_t window = 16;  // timesteps of a training window (truncated BPTT)
  uint64_t environment_hash = 0;
  uint64_t network_hash = 0;

  uint32_t windows(uint32_t steps) const { return (steps + window - 1) / window; }
  size_t payload_bytes(uint32_t steps) const;
};

enum ChunkEnd : uint8_t { kGoesOn = 0, kTerminated = 1, kTruncated = 2 };

template <template <typename> class SpanOf>
struct ChunkArrays {
  SpanOf<float> inputs;     // [steps, inputs]
  SpanOf<uint8_t> masks;    // [steps, logits], empty where !masked
  SpanOf<int32_t> actions;  // [steps, heads]
  SpanOf<float> log_probs;  // [steps]
  SpanOf<float> values;     // [steps]
  SpanOf<float> terms;      // [steps, terms]
  SpanOf<uint8_t> ends;     // [steps], ChunkEnd
  SpanOf<float> bootstrap;  // [steps]
  SpanOf<float> states;     // [windows, state]
  SpanOf<uint8_t> starts;   // [steps]
};
template <typename T>
using MutableSpan = absl::Span<T>;
template <typename T>
using ConstSpan = absl::Span<const T>;
using ChunkView = ChunkArrays<ConstSpan>;

// A chunk under construction. Capacity is fixed; Finish() cuts it to the steps written.
class MutableChunk {
 public:
  // REQUIRES: 1 <= capacity <= kChunkStepsMax.
  MutableChunk(const ChunkShape& shape, uint32_t capacity);

  const ChunkShape& shape() const { return shape_; }
  uint32_t capacity() const { return capacity_; }
  ChunkArrays<MutableSpan>& arrays() { return arrays_; }

  // Compacts the first `steps` timesteps into one payload (a full chunk gives its own memory away),
  // fills tensors, payload_hash, payload_bytes, steps and the two hashes of `header`. The payload
  // is 64-byte aligned; the deleter frees it. The chunk is empty afterwards and may be filled
  // again; arrays() may have moved.
  struct Payload {
    std::unique_ptr<unsigned char, void (*)(void*)> data{nullptr, nullptr};
    size_t bytes = 0;
  };
  Payload Finish(uint32_t steps, v1::ChunkHeader* header);

 private:
  void Renew();

  ChunkShape shape_;
  uint32_t capacity_;
  std::unique_ptr<unsigned char, void (*)(void*)> data_;
  ChunkArrays<MutableSpan> arrays_;
};

// Checks everything, the hash included, and points into `payload`.
// Payloads in which an array would be misaligned for its type (4 bytes) are refused with
// InvalidArgument.
absl::StatusOr<ChunkView> ParseChunk(const ChunkShape& shape, const v1::ChunkHeader& header,
                                     std::string_view payload);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_CHUNK_H_
