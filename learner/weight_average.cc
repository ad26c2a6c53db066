#include "learner/weight_average.h"

#include <algorithm>
#include <cmath>

namespace midlane {

void WeightAverage::Add(const std::vector<float>& weights, uint64_t steps, uint64_t timesteps) {
  if (horizon_ <= 0) return;
  if (mean_.size() != weights.size()) {
    mean_ = weights;
    return;
  }
  const auto n = static_cast<double>(steps);
  const auto w = static_cast<float>(
      std::max(-std::expm1(-n / horizon_), n / static_cast<double>(std::max(timesteps, steps))));
  for (size_t i = 0; i < weights.size(); ++i) mean_[i] += (weights[i] - mean_[i]) * w;
}

}  // namespace midlane
