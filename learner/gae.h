// Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438) over one chunk.
//
// Termination and truncation differ: a terminated step bootstraps nothing, a truncated one the
// value
//   of the state that followed it; the chunk's last step, where it goes on, likewise. The recursion
//   is cut after each of the three.
// Shapes: every span has one element a timestep. Units: rewards, values and results alike in units
//   of the normalised return.
// Thread-safety: pure functions.
#ifndef MIDLANE_LEARNER_GAE_H_
#define MIDLANE_LEARNER_GAE_H_

#include <cstdint>

#include "absl/types/span.h"

namespace midlane {

struct GaeInput {
  absl::Span<const float> rewards;    // that followed each action
  absl::Span<const float> values;     // of the state in which it was taken
  absl::Span<const uint8_t> ends;     // ChunkEnd: 0 goes on, 1 terminated, 2 truncated
  absl::Span<const float> bootstrap;  // value after the step; read where truncated or last
};

// advantage_t = sum_l (gamma lambda)^l delta_{t+l};  return_t = advantage_t + value_t.
// REQUIRES: all spans of equal length.
void GeneralisedAdvantages(const GaeInput& input, double gamma, double lambda,
                           absl::Span<float> advantages, absl::Span<float> returns);

}  // namespace midlane

#endif  // MIDLANE_LEARNER_GAE_H_
