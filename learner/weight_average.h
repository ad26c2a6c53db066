// WeightAverage: the mean of a network's weights over the last part of training, which plays better
// and more evenly than the weights of any one moment (Polyak and Juditsky 1992; in policy
// optimisation Nikishin et al. 2018, "Improving Stability in Deep Reinforcement Learning with
// Weight Averaging"). Training itself never sees it.
//
// mean += (weights - mean) w after `steps` timesteps, with w = 1 - exp(-steps / horizon), and
// steps / timesteps where that is larger: before the horizon it is the plain mean.
// Thread-safety: a value.
#ifndef MIDLANE_LEARNER_WEIGHT_AVERAGE_H_
#define MIDLANE_LEARNER_WEIGHT_AVERAGE_H_

#include <cstdint>
#include <utility>
#include <vector>

namespace midlane {

class WeightAverage {
 public:
  // `horizon` in timesteps; 0: there is no mean.
  explicit WeightAverage(double horizon) : horizon_(horizon) {}

  void Restore(std::vector<float> mean) { mean_ = std::move(mean); }
  // `timesteps`: of the whole run, these `steps` with them.
  void Add(const std::vector<float>& weights, uint64_t steps, uint64_t timesteps);
  // Empty before the first Add, or without a horizon.
  const std::vector<float>& mean() const { return mean_; }

 private:
  const double horizon_;
  std::vector<float> mean_;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_WEIGHT_AVERAGE_H_
