#include "learner/gae.h"

namespace midlane {

void GeneralisedAdvantages(const GaeInput& input, double gamma, double lambda,
                           absl::Span<float> advantages, absl::Span<float> returns) {
  constexpr uint8_t kTerminated = 1;
  const size_t steps = input.rewards.size();
  double advantage = 0;
  for (size_t t = steps; t-- > 0;) {
    const bool terminated = input.ends[t] == kTerminated;
    const bool cut = input.ends[t] != 0 || t + 1 == steps;
    double next_value = 0;
    if (!terminated) next_value = cut ? input.bootstrap[t] : input.values[t + 1];
    const double delta = input.rewards[t] + gamma * next_value - input.values[t];
    advantage = delta + (cut ? 0.0 : gamma * lambda * advantage);
    advantages[t] = static_cast<float>(advantage);
    returns[t] = static_cast<float>(advantage + input.values[t]);
  }
}

}  // namespace midlane
