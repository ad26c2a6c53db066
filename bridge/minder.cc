#include "bridge/minder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

constexpr int kGroupsMax = 4096;
constexpr int kMinderSocket = 3;

// Runs in the forked child of a process with threads: system calls only, no memory of the heap.
[[noreturn]] void Mind(int socket) {
  static int32_t groups[kGroupsMax];
  int count = 0;
  setsid();
  prctl(PR_SET_NAME, "midlane-minder");
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  for (int signal : {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGPIPE}) {
    sigaction(signal, &ignore, nullptr);
  }
  // Nothing of the host is kept open, its listening sockets above all.
  if (socket != kMinderSocket) {
    dup2(socket, kMinderSocket);
    socket = kMinderSocket;
  }
  for (int fd = 0; fd < kMinderSocket; ++fd) close(fd);
  syscall(SYS_close_range, kMinderSocket + 1, ~0U, 0);
  if (chdir("/") != 0) _exit(1);
  for (;;) {
    int32_t message = 0;
    const ssize_t received = recv(socket, &message, sizeof(message), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received != sizeof(message)) break;
    if (message > 1) {
      if (count < kGroupsMax) groups[count++] = message;
      continue;
    }
    for (int i = 0; i < count; ++i) {
      if (groups[i] != -message) continue;
      groups[i] = groups[--count];
      break;
    }
  }
  for (int i = 0; i < count; ++i) kill(-groups[i], SIGKILL);
  _exit(0);
}

struct Shared {
  std::mutex mutex;  // of all below
  int socket = -1;
  pid_t owner = 0;
};

}  // namespace

absl::StatusOr<int> MinderSocket() {
  static auto* const shared = new Shared;
  std::lock_guard<std::mutex> lock(shared->mutex);
  if (shared->owner == getpid()) return shared->socket;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot open a socket pair (", strerror(errno),
                     "): raise the limit of open files (ulimit -n)"));
  }
  // _Fork runs no handlers of other libraries (gRPC's wait for its threads).
  const pid_t child = _Fork();
  if (child == 0) Mind(ends[1]);
  close(ends[1]);
  if (child < 0) {
    const int error = errno;
    close(ends[0]);
    return absl::ResourceExhaustedError(absl::StrCat("cannot start a process (", strerror(error),
                                                     "): raise ulimit -u or free memory"));
  }
  shared->socket = ends[0];
  shared->owner = getpid();
  return shared->socket;
}

void TellMinder(int socket, int32_t group) {
  send(socket, &group, sizeof(group), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace midlane
