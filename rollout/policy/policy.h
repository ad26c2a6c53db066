// Policy: turns a batch of observations into logits and values. Backends: native (no libtorch, for
// small networks), torch, random (uniform), and checking (a decorator that compares two others).
// After lc0's Backend: batching belongs to the caller, sampling is shared code (sampler.h).
//
// Thread-safety: one thread at a time for each Policy.
// Ownership: a Policy copies the weights it loads; batches are the caller's.
#ifndef MIDLANE_ROLLOUT_POLICY_POLICY_H_
#define MIDLANE_ROLLOUT_POLICY_POLICY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rollout/policy/network.h"
#include "rollout/policy/weights.h"

namespace midlane {

// Row-major; all pointers stay the caller's.
struct PolicyBatch {
  uint32_t rows = 0;
  const float* inputs = nullptr;  // [rows, inputs], raw: the policy normalises
  float* states = nullptr;        // [rows, state_width], in and out; zeros begin an episode
  float* logits = nullptr;        // [rows, logits_width], out, unmasked
  float* values = nullptr;        // [rows], out, in units of the normalised return
};

class Policy {
 public:
  virtual ~Policy() = default;
  virtual const NetworkShape& shape() const = 0;
  // 0 before the first Load.
  virtual uint64_t version() const = 0;
  // REQUIRES: weights made for shape().
  virtual absl::Status Load(const Weights& weights) = 0;
  virtual absl::Status Evaluate(const PolicyBatch& batch) = 0;
};

std::unique_ptr<Policy> MakeNativePolicy(const NetworkShape& shape);
std::unique_ptr<Policy> MakeRandomPolicy(const NetworkShape& shape);
// Evaluates both, answers the first's results, and fails with Internal where any logit or value
// differs by more than `tolerance` (absolute, or relative where larger than 1).
std::unique_ptr<Policy> MakeCheckingPolicy(std::unique_ptr<Policy> policy,
                                           std::unique_ptr<Policy> reference, float tolerance);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_POLICY_H_
