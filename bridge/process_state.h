// What a process that gives no answer does instead, in words for an error's text.
//
// Thread-safety: a function; it sleeps for some tens of milliseconds.
#ifndef MIDLANE_BRIDGE_PROCESS_STATE_H_
#define MIDLANE_BRIDGE_PROCESS_STATE_H_

#include <sys/types.h>

#include <string>

namespace midlane {

// "it is stopped (SIGSTOP, or a debugger)", "it is busy", "it sleeps (futex_wait_queue)", or ""
// where the process is gone.
std::string ProcessStateText(pid_t pid);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_PROCESS_STATE_H_
