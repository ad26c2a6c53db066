// Machine: what this process may use of the machine, and how a local run divides it.
//
// Thread-safety: pure functions but AvailableCpus.
#ifndef MIDLANE_DEPLOY_MACHINE_H_
#define MIDLANE_DEPLOY_MACHINE_H_

#include <cstdint>
#include <vector>

#include "deploy/config.h"

namespace midlane {

// Cores that the scheduler lets this process use (affinity and containers counted in).
std::vector<int> AvailableCpus();

struct MachinePlan {
  uint32_t workers = 1;
  uint32_t learner_threads = 1;
  std::vector<int> learner_cpus;  // affinity; empty: any
};

// Fills what `config` leaves to the machine (0 or "auto").
// A network of a few thousand weights is trained by one thread, and the games, with the worker that
// drives them, need the rest; a large one is worth every core, since the games then wait for it.
MachinePlan PlanMachine(const Config& config, const std::vector<int>& cpus);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_MACHINE_H_
