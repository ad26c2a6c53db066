// GameWatch: the one thread that watches every game of this process. Part of the launcher.
//
// Thread-safety: any thread; WatchedGame's fields as marked.
// Ownership: shared by the GameProcesses; the last one stops the thread. Descriptors of a game
//   belong to the watch from Add to the game's end.
#ifndef MIDLANE_BRIDGE_GAME_WATCH_H_
#define MIDLANE_BRIDGE_GAME_WATCH_H_

#include <sys/types.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace midlane {

// The last lines of a stream, bounded in number and length.
class LastLines {
 public:
  void Add(absl::string_view bytes);
  std::string Text() const;

 private:
  std::deque<std::string> lines_;
  std::string open_;  // a line without its end yet
};

struct WatchedGame {
  // Constant after Add.
  pid_t pid = -1;
  int pidfd = -1;
  int output = -1;  // non-blocking read end, or -1
  int minder = -1;
  std::function<void()> on_exit;

  std::atomic<bool> exited{false};
  absl::Mutex mutex;
  bool reaped ABSL_GUARDED_BY(mutex) = false;  // from now on `pid` may be somebody else's
  bool ended ABSL_GUARDED_BY(mutex) = false;   // as `exited`, to wait for
  int wait_status ABSL_GUARDED_BY(mutex) = 0;
  LastLines lines ABSL_GUARDED_BY(mutex);
};

class GameWatch {
 public:
  // The process's watch; its thread runs as long as somebody holds it.
  static absl::StatusOr<std::shared_ptr<GameWatch>> Shared();
  ~GameWatch();

  // On an error the game is killed and reaped.
  absl::Status Add(std::shared_ptr<WatchedGame> game);

 private:
  GameWatch(int epoll, int wake) : epoll_(epoll), wake_(wake) {}

  void Run();
  // Reads what is there, at most `most` bytes; true where more may be.
  static bool Drain(WatchedGame* game, size_t most);
  void Finish(WatchedGame* game);

  int epoll_;
  int wake_;  // eventfd: stop
  absl::Mutex mutex_;
  std::unordered_map<pid_t, std::shared_ptr<WatchedGame>> games_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_GAME_WATCH_H_
