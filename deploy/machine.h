// Machine: what this process may use of the machine, and how a local run divides it.
//
// Thread-safety: pure functions.
#ifndef MIDLANE_DEPLOY_MACHINE_H_
#define MIDLANE_DEPLOY_MACHINE_H_

#include <cstdint>
#include <vector>

#include "deploy/config.h"

namespace midlane {

struct MachinePlan {
  uint32_t workers = 1;
  uint32_t learner_threads = 1;
  // Affinity: worker i with its games on worker_cpus[i % size]; empty: any. The learner has none.
  std::vector<int> worker_cpus;
};

// Fills what `config` leaves to the machine (0 or "auto").
// Small networks: games need most of the machine, so every core gets a worker that stays there with
// its games. To wake a process on the same core costs a quarter of waking one on an idle core, and
// each exchange wakes two. One learner thread goes wherever there is room.
// Large networks: libtorch takes every core, and one worker for four of them keeps it fed. Unless
// it computes on a CUDA device: then the cores are the workers', as with small networks.
MachinePlan PlanMachine(const Config& config, const std::vector<int>& cpus);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_MACHINE_H_
