// The bytes of a step, read and written without message objects: making and serialising maps of
// tensors was half of what a server adds to a bare echo (tests/bench/rpc_bench.cc).
//
// Thread-safety: pure functions.
// Errors: ReadPlainStep takes anything as input and says false where the general parser must look.
#ifndef MIDLANE_BRIDGE_RPC_STEP_CODEC_H_
#define MIDLANE_BRIDGE_RPC_STEP_CODEC_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "bridge/channel.h"
#include "bridge/rpc/tensors.h"

namespace midlane::rpc {

inline constexpr int kPlainIdsMax = 1024;

// A step as most clients send it: every action one int32 without dimensions, each id once, and no
// more than kPlainIdsMax requested observations.
struct PlainStep {
  struct Action {
    uint64_t id = 0;
    int32_t choice = 0;
  };
  absl::InlinedVector<Action, 4> actions;
  absl::InlinedVector<uint64_t, 32> requested;  // ids, unchecked
};

// Reads a serialised EnvironmentRequest that is a plain step. False: it is something else, or
// malformed; `step` then holds nothing of use.
bool ReadPlainStep(std::string_view bytes, PlainStep* step);

// An observation on its way out: elements in the environment's memory.
struct TensorBytes {
  uint64_t id = 0;
  wire::Tensor::PayloadCase payload = wire::Tensor::PAYLOAD_NOT_SET;  // kFloats, kInt32S, kUint8S,
                                                                      // kUint32S or kUint64S
  const void* elements = nullptr;  // aligned as its type asks for, or not
  int count = 0;
  std::string_view shape;  // the serialised field, empty for a scalar: ShapeField
};

// Tensor.shape as it is serialised.
std::string ShapeField(absl::Span<const uint32_t> extents);

// Replaces `response` by the serialised EnvironmentResponse whose StepResponse has these.
void WriteStepResponse(wire::EnvironmentStateType state, absl::Span<const TensorBytes> observations,
                       std::string* response);

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_STEP_CODEC_H_
