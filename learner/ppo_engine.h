// PpoEngine: gradients of the PPO loss and Adam steps on one flat parameter vector. Two engines:
// the native one (mlp_engine.cc: MLP on a CPU, no libtorch call) and the torch one
// (torch_engine.cc: every network, CPU or CUDA). They agree to rounding; tests compare them.
//
// Loss of a minibatch, means over its timesteps (padding of short windows does not count):
//   ratio = exp(log_prob - behaviour_log_prob)
//   policy  = -mean(min(ratio A, clamp(ratio, 1 - clip, 1 + clip) A))
//   value   =  mean(max((v - R)^2, (v_old + clamp(v - v_old, -value_clip, value_clip) - R)^2)),
//              unclipped where value_clip == 0
//   loss    =  policy + value_weight value - entropy_weight mean(entropy)
//   Joint log-probability and entropy are sums over the action heads; a masked choice has
//   probability 0 and adds nothing to either.
// Adam (Kingma and Ba 2015): betas 0.9 and 0.999, epsilon 1e-5, on the gradient scaled to norm
//   gradient_norm_max where it is larger.
// Thread-safety: one thread. Ownership: engines copy weights; a batch set by SetBatch must outlive
//   the minibatches made of it.
// Errors: Internal where the backend threw (its message), ResourceExhausted where its memory ended.
#ifndef MIDLANE_LEARNER_PPO_ENGINE_H_
#define MIDLANE_LEARNER_PPO_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "learner/batch.h"
#include "rollout/policy/network.h"

namespace midlane {

inline constexpr double kAdamBeta1 = 0.9;
inline constexpr double kAdamBeta2 = 0.999;
inline constexpr double kAdamEpsilon = 1e-5;

struct LossOptions {
  double clip = 0.2;
  double value_clip = 0.2;
  double value_weight = 0.5;
  double entropy_weight = 0;
};

// Means over a minibatch.
struct LossFigures {
  double policy_loss = 0;
  double value_loss = 0;
  double entropy = 0;
  double kl = 0;  // mean(ratio - 1 - log ratio), Schulman's estimator
  double clip_fraction = 0;
};

struct AdamState {
  uint64_t steps = 0;
  std::vector<float> m;  // [parameters]
  std::vector<float> v;
};

class PpoEngine {
 public:
  virtual ~PpoEngine() = default;

  virtual void SetParameters(const std::vector<float>& parameters) = 0;
  virtual std::vector<float> GetParameters() = 0;
  virtual void SetAdam(const AdamState& state) = 0;
  virtual AdamState GetAdam() = 0;

  // Makes `batch` (finished, FinishBatch) the one that minibatches index, normalised by `mean` and
  // `inv_std`.
  virtual absl::Status SetBatch(const Batch& batch, const std::vector<float>& mean,
                                const std::vector<float>& inv_std) = 0;

  // Computes the gradient of the loss over these windows of the batch. Networks without LSTM take
  // timesteps instead: `rows` are then timesteps.
  virtual absl::StatusOr<LossFigures> Gradient(absl::Span<const uint32_t> rows,
                                               const LossOptions& options) = 0;
  // The gradient that Gradient left, before clipping.
  virtual std::vector<float> GetGradient() = 0;

  // One Adam step with that gradient. Answers the gradient's norm before clipping.
  virtual absl::StatusOr<double> Step(double learning_rate, double gradient_norm_max) = 0;

  // Joint log-probabilities of the batch's actions in the given windows (or timesteps), in order of
  // their timesteps, under `parameters` instead of the present ones and raw inputs normalised by
  // `mean` and `inv_std`. Does not disturb training.
  virtual absl::StatusOr<std::vector<float>> LogProbabilities(
      const Batch& batch, absl::Span<const uint32_t> rows, const std::vector<float>& parameters,
      const std::vector<float>& mean, const std::vector<float>& inv_std) = 0;
};

// REQUIRES: shape.config.lstm == 0.
std::unique_ptr<PpoEngine> MakeMlpEngine(const NetworkShape& shape);

// `device`: "cpu", "cuda", "cuda:N"; InvalidArgument where it is not there. `threads`: of torch's
// pool. (torch_engine.cc)
absl::StatusOr<std::unique_ptr<PpoEngine>> MakeTorchEngine(const NetworkShape& shape,
                                                           const std::string& device,
                                                           uint32_t threads);
// Parameters that training begins with, from TorchNetwork::Initialise. (torch_engine.cc)
std::vector<float> InitialParameters(const NetworkShape& shape, uint64_t seed);

}  // namespace midlane

#endif  // MIDLANE_LEARNER_PPO_ENGINE_H_
