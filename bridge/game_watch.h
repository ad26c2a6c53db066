// GameWatch: the one thread that watches every game of this process. Part of the launcher.
//
// Thread-safety: any thread; WatchedGame's fields as marked.
// Ownership: shared by the GameProcesses; the last one stops the thread. Descriptors of a game
//   belong to the watch from Add to the game's end.
#ifndef MIDLANE_BRIDGE_GAME_WATCH_H_
#define MIDLANE_BRIDGE_GAME_WATCH_H_

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

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
  // std::mutex, not absl's: Debian's Abseil is built without the annotations by which the thread
  // sanitizer would understand it.
  std::mutex mutex;  // of all below
  std::condition_variable changed;
  bool reaped = false;  // from now on `pid` may be somebody else's
  bool ended = false;   // as `exited`, to wait for
  int wait_status = 0;
  LastLines lines;
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
  int wake_;          // eventfd: stop
  std::mutex mutex_;  // of games_
  std::unordered_map<pid_t, std::shared_ptr<WatchedGame>> games_;
  std::thread thread_;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_GAME_WATCH_H_
