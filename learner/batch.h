// Batch: the timesteps of one iteration, gathered from chunks into contiguous arrays that training
// reads by index. Filled on the receiver's thread, finished and trained on the learner's.
//
// Layout: chunks lie one behind the other, a chunk's timesteps in order. A window is up to
//   `window` timesteps of one chunk; a chunk's last may be shorter.
// Thread-safety: one thread at a time. Ownership: owns its arrays; Clear keeps their memory.
#ifndef MIDLANE_LEARNER_BATCH_H_
#define MIDLANE_LEARNER_BATCH_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "learner/learner.h"
#include "learner/running_statistics.h"

namespace midlane {

struct BatchShape {
  uint32_t inputs = 0;
  uint32_t logits = 0;  // width of masks
  bool masked = false;
  uint32_t heads = 0;
  uint32_t terms = 0;
  uint32_t state = 0;
  uint32_t window = 16;
};

// A chunk as it comes: views into somebody's memory (rollout/chunk.h says what each array holds).
struct ChunkData {
  uint64_t worker = 0;
  uint64_t episode = 0;
  uint32_t sequence = 0;
  uint32_t agent = 0;
  uint32_t opponent = 0;
  uint32_t steps = 0;
  std::vector<std::pair<uint64_t, uint32_t>> versions;  // run-length: version, timesteps
  absl::Span<const float> inputs;
  absl::Span<const uint8_t> masks;
  absl::Span<const int32_t> actions;
  absl::Span<const float> log_probs;
  absl::Span<const float> values;
  absl::Span<const float> terms;
  absl::Span<const uint8_t> ends;
  absl::Span<const float> bootstrap;
  absl::Span<const float> states;
  absl::Span<const uint8_t> starts;
};

struct Window {
  uint32_t first = 0;  // timestep in the batch
  uint32_t steps = 0;  // 1 ... BatchShape::window
};

struct BatchChunk {
  uint64_t worker = 0;
  uint64_t episode = 0;
  uint32_t sequence = 0;
  uint32_t agent = 0;
  uint32_t opponent = 0;
  uint32_t first = 0;
  uint32_t steps = 0;
  bool credit_returned = false;  // its worker has the credit back already
};

struct Batch {
  explicit Batch(const BatchShape& shape) : shape(shape) {}

  void Append(const ChunkData& chunk);
  void Clear();
  uint32_t steps() const { return static_cast<uint32_t>(log_probs.size()); }

  BatchShape shape;
  std::vector<BatchChunk> chunks;
  std::vector<Window> windows;
  std::vector<float> inputs;       // [steps, inputs], raw
  std::vector<uint8_t> masks;      // [steps, logits], empty where !masked
  std::vector<int32_t> actions;    // [steps, heads]
  std::vector<float> log_probs;    // [steps], behaviour
  std::vector<float> values;       // [steps], behaviour
  std::vector<float> terms;        // [steps, terms]
  std::vector<uint8_t> ends;       // [steps]
  std::vector<float> bootstrap;    // [steps]
  std::vector<float> states;       // [windows, state]
  std::vector<uint8_t> starts;     // [steps]
  std::vector<uint64_t> versions;  // [steps], that acted

  // Filled by FinishBatch.
  std::vector<float> rewards;     // [steps], weighted, not yet divided by the deviation
  std::vector<float> advantages;  // [steps], normalised where asked for
  std::vector<float> returns;     // [steps]
};

// What FinishBatch saw.
struct BatchSummary {
  std::vector<double> terms;  // mean of each reward term a timestep
  double reward = 0;          // weighted, a timestep
  double explained_variance = 0;
  uint64_t ended = 0, truncated = 0;
};

// Weighs the terms, updates the return's deviation with these rewards and divides by it, computes
// advantages and returns, normalises advantages over the batch (mean 0, deviation 1).
// `weights` [terms].
BatchSummary FinishBatch(const PpoOptions& options, const std::vector<float>& weights,
                         ReturnDeviation* deviation, Batch* batch);

}  // namespace midlane

#endif  // MIDLANE_LEARNER_BATCH_H_
