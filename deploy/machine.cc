#include "deploy/machine.h"

#include <algorithm>
#include <numeric>

namespace midlane {
namespace {

// One worker's games keep up with a learner of a large network on about this many cores.
constexpr uint32_t kCoresOfWorker = 4;
// Weights (without the observation's layer, which is known only with the spec) above which
// libtorch's threads pay for their barriers.
constexpr uint64_t kLargeNetwork = 100000;

uint64_t InnerWeights(const NetworkConfig& network) {
  uint64_t weights = 0;
  for (size_t i = 1; i < network.hidden.size(); ++i) {
    weights += uint64_t{network.hidden[i - 1]} * network.hidden[i];
  }
  const uint64_t last = network.hidden.empty() ? 0 : network.hidden.back();
  return weights + 4ull * network.lstm * (network.lstm + last);
}

}  // namespace

MachinePlan PlanMachine(const Config& config, const std::vector<int>& cpus) {
  const auto cores = static_cast<uint32_t>(std::max<size_t>(1, cpus.size()));
  const bool large =
      config.learner.device == "cpu" && InnerWeights(config.learner.network) > kLargeNetwork;
  MachinePlan plan;
  plan.workers = config.run.workers;
  if (plan.workers == 0) plan.workers = large ? std::max(1u, cores / kCoresOfWorker) : cores;
  plan.learner_threads = config.run.learner_threads;
  if (plan.learner_threads == 0) plan.learner_threads = large ? cores : 1;
  if (config.run.pin == "auto" && !large && plan.workers >= cores) plan.worker_cpus = cpus;
  return plan;
}

}  // namespace midlane
