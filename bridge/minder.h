// Minder: a process that outlives this one by a moment and takes its games along.
//
// Purpose: kill -9 of a host must leave no game behind, whatever a game or its wrapper does. A
//   parent-death signal cannot promise that: it follows the *thread* that forked, is lost by
//   setuid programs and is not inherited. So one small process per host, in a session of its own,
//   keeps the list of the games' process groups and kills them when the host's end of the socket
//   closes.
// Thread-safety: any thread.
// Ownership: one for the process, started with the first game, ends with the process.
#ifndef MIDLANE_BRIDGE_MINDER_H_
#define MIDLANE_BRIDGE_MINDER_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace midlane {

// The socket to this process's minder, close-on-exec.
absl::StatusOr<int> MinderSocket();

// Adds, or with a negative number takes out, a process group. Async-signal-safe, so that a child
// can enter itself before it becomes the game: no instant is left in which it could be orphaned.
void TellMinder(int socket, int32_t group);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_MINDER_H_
