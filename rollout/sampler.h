// Sampler: from logits to actions. Every head is a categorical distribution over its allowed
// choices; the joint log-probability is the sum over the heads.
//
// Exactness: log-probabilities are those of log_softmax in float32 over logits whose disallowed
//   entries are -inf, what the learner recomputes when it checks behaviour log-probabilities.
// Randomness: passed in, one stream an agent, so that an agent's actions depend on its own stream
//   and observations alone, whatever else is in the batch.
// Shapes: one row: logits and masks [logits_width], all heads side by side; actions [heads].
// Thread-safety: pure functions; a Random belongs to one thread at a time.
#ifndef MIDLANE_ROLLOUT_SAMPLER_H_
#define MIDLANE_ROLLOUT_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace midlane {

// PCG32 (O'Neill 2014, pcg-random.org): 64 bits of state, 2^63 streams. A value: copy it to
// save it.
class Random {
 public:
  Random() : Random(0, 0) {}
  Random(uint64_t seed, uint64_t stream);

  uint32_t Next() {
    const uint64_t state = state_;
    state_ = state * 6364136223846793005u + increment_;
    const uint32_t shifted = static_cast<uint32_t>(((state >> 18) ^ state) >> 27);
    const uint32_t turn = static_cast<uint32_t>(state >> 59);
    return (shifted >> turn) | (shifted << ((32 - turn) & 31));
  }
  // In [0, 1), a multiple of 2^-24: exact as a float.
  float Uniform() { return static_cast<float>(Next() >> 8) * 0x1p-24f; }
  // In [0, bound), without bias. REQUIRES: bound >= 1.
  uint32_t Below(uint32_t bound);

  uint64_t state() const { return state_; }
  uint64_t increment() const { return increment_; }

 private:
  uint64_t state_;
  uint64_t increment_;
};

// Samples one action a head into `actions` and answers the joint log-probability.
// `heads`: choices of each head (NetworkShape::heads). `masks`: 1 = allowed; null: all are.
// InvalidArgument names a head that allows no choice, or whose allowed logits are not finite.
absl::StatusOr<float> SampleActions(const std::vector<uint32_t>& heads, const float* logits,
                                    const uint8_t* masks, Random* random, int32_t* actions);

// The likeliest choice of each head, the first of equals.
absl::StatusOr<float> GreedyActions(const std::vector<uint32_t>& heads, const float* logits,
                                    const uint8_t* masks, int32_t* actions);

// Joint log-probability of given actions; -inf where one of them is not allowed.
// REQUIRES: 0 <= actions[h] < heads[h].
absl::StatusOr<float> LogProbability(const std::vector<uint32_t>& heads, const float* logits,
                                     const uint8_t* masks, const int32_t* actions);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_SAMPLER_H_
