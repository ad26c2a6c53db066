// Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347): the epochs and minibatches
// of one iteration. The loss and its gradient are an engine's (ppo_engine.h).
//
// Minibatches: timesteps (or, with an LSTM, whole windows) in a fresh random order each epoch, cut
//   into equal parts of about `minibatch_steps`; none is left over and none is much smaller.
// Randomness: a stream of its own for each iteration, from seed and iteration, so that a resumed
// run
//   shuffles as it would have.
// Thread-safety: one thread.
#ifndef MIDLANE_LEARNER_PPO_H_
#define MIDLANE_LEARNER_PPO_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "learner/batch.h"
#include "learner/ppo_engine.h"

namespace midlane {

// Means over the iteration's minibatches.
struct PpoFigures {
  LossFigures loss;
  double gradient_norm = 0;
  double learning_rate = 0;
  double entropy_weight = 0;
  double epochs = 0;  // done, fewer than asked for where target_kl stopped them
  uint64_t minibatches = 0;
};

struct PpoIteration {
  uint64_t seed = 1;
  uint64_t iteration = 0;
  uint64_t timestep = 0;  // for the schedules
  bool lstm = false;
  // Called after each minibatch with the done share of the iteration, in (0, 1]. May be null.
  std::function<void(double)> progress;
};

// REQUIRES: the batch is finished and set in the engine.
absl::StatusOr<PpoFigures> TrainPpo(const PpoOptions& options, const PpoIteration& iteration,
                                    const Batch& batch, PpoEngine* engine);

// Largest difference between the behaviour log-probabilities and those of `parameters`, over the
// batch's timesteps that `version` acted, at most `rows_max` of them (windows with an LSTM, whole
// ones of that version only). `compared` counts timesteps.
absl::StatusOr<double> BehaviourLogProbError(const Batch& batch, bool lstm, uint64_t version,
                                             const std::vector<float>& parameters,
                                             const std::vector<float>& mean,
                                             const std::vector<float>& inv_std, uint32_t rows_max,
                                             PpoEngine* engine, uint64_t* compared);

}  // namespace midlane

#endif  // MIDLANE_LEARNER_PPO_H_
