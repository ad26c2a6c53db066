// Cores: which of the machine's a thread may use, by the kernel's numbers.
//
// Thread-safety: any thread; each call is about the calling thread, and what it starts inherits.
// Errors: none; a core that the process may not use is not pinned to.
#ifndef MIDLANE_BRIDGE_CORES_H_
#define MIDLANE_BRIDGE_CORES_H_

#include <sched.h>

#include <vector>

namespace midlane {

// Affinity and containers counted in; never empty.
inline std::vector<int> AvailableCores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) cores.push_back(core);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

inline void PinToCore(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_CORES_H_
