// Spec: what an environment's agents observe and may do, as the host sees it.
//
// Purpose: the checked C++ form of midlane_spec (channel.h). A Spec that exists is valid: names are
//   unique and printable, counts and shapes are inside the limits of channel.h, offsets do not
//   overlap and lie inside observation_bytes, masks are u8 of their head's size.
// Thread-safety: a value; const use from any thread.
// Errors: ParseSpec answers InvalidArgument with one sentence that names the field and the remedy.
#ifndef MIDLANE_BRIDGE_SPEC_H_
#define MIDLANE_BRIDGE_SPEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bridge/channel.h"

namespace midlane {

struct TensorSpec {
  std::string name;
  midlane_dtype dtype = MIDLANE_DTYPE_F32;
  std::vector<uint32_t> shape;  // empty: a scalar
  float minimum = 0;            // inclusive bounds; -inf and +inf where there are none
  float maximum = 0;
  uint32_t offset = 0;  // in the slot's observation bytes, a multiple of 64
  int masks_head = -1;  // index of the action head that this u8 tensor masks, or -1

  uint32_t elements() const;
  uint32_t bytes() const { return elements() * midlane_dtype_bytes(dtype); }
};

struct HeadSpec {
  std::string name;
  uint32_t choices = 0;
  int mask_tensor = -1;  // index into Spec::tensors, or -1: every choice is always allowed
};

struct Spec {
  std::string environment;
  std::vector<std::string> agents;
  std::vector<TensorSpec> tensors;
  std::vector<HeadSpec> heads;
  std::vector<std::string> terms;    // reward terms
  std::vector<std::string> metrics;  // figures for evaluation, not observed
  uint32_t frame_skip = 1;           // default game frames a timestep
  float frames_per_second = 0;       // of game time
  uint32_t observation_bytes = 0;    // of one agent's slot

  int FindAgent(std::string_view name) const;  // -1 where there is none; likewise below
  int FindTensor(std::string_view name) const;
  int FindTerm(std::string_view name) const;
  int FindMetric(std::string_view name) const;

  // Flattened float inputs of a policy: elements of all tensors that mask no head, in order.
  uint32_t input_width() const;
  // Sum of the heads' choices: width of the flattened masks and of the logits.
  uint32_t logits_width() const;
  // XXH3 of everything above but frame_skip; equal where experience may be mixed.
  uint64_t Hash() const;
};

// Reads a spec that another process wrote. `raw` may hold anything.
absl::StatusOr<Spec> ParseSpec(const midlane_spec& raw);

// The inverse, for environments on this side (null, probe, tests). Assigns tensor offsets and
// observation_bytes (the given ones are ignored), so that ParseSpec(MakeRawSpec(s)) is complete.
absl::StatusOr<midlane_spec> MakeRawSpec(const Spec& spec);

// One agent's observation bytes -> `inputs` (input_width() floats; u8 and i32 are converted) and
// `masks` (logits_width() bytes, 1 = allowed; all 1 for heads without a mask).
void FlattenObservation(const Spec& spec, const unsigned char* observation, float* inputs,
                        uint8_t* masks);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_SPEC_H_
