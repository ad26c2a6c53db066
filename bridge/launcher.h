// GameProcess: one child process of a game, started, watched and ended so that none is left behind.
//
// Purpose: the game runs in a process group of its own, without address randomisation (the order
//   of Lua's tables hangs on addresses), with output kept as its last lines, known to the minder
//   before it exists. One thread for all games of this process drains their output and notices
//   their ends; it starts with the first game and stops with the last.
// Thread-safety: exited() and the texts from any thread; Stop and Kill from one at a time.
// Ownership: the destructor kills and reaps. Not copied or moved.
// Errors: NotFound where the command does not exist; ResourceExhausted where the system refuses.
#ifndef MIDLANE_BRIDGE_LAUNCHER_H_
#define MIDLANE_BRIDGE_LAUNCHER_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace midlane {

inline constexpr size_t kOutputLinesMax = 20;       // kept of a game's output
inline constexpr size_t kOutputLineBytesMax = 400;  // of each of them

struct LaunchOptions {
  std::vector<std::string> command;      // command[0]: a path, or a name looked up in PATH
  std::vector<std::string> environment;  // all of it, "NAME=VALUE"
  std::string directory;                 // working directory; empty: this process's
  std::vector<int> inherited;            // descriptors that the game gets under the same numbers
  bool randomise_addresses = false;
  bool keep_output = true;        // false: the game writes where this process does
  std::function<void()> on_exit;  // called once on the watching thread; must not block
};

// "exit status 3", "signal 9 (Killed)".
std::string ExitText(int wait_status);

// The path that command[0] names; NotFound names it and where it was looked for.
absl::StatusOr<std::string> FindExecutable(const std::string& name);

// The environment for a game: what this process has of PATH, LANG, display and library paths, with
// `extra` over it. Padded, so that its size, and with it every address on the game's stack, does
// not hang on who started it.
std::vector<std::string> GameEnvironment(
    const std::vector<std::pair<std::string, std::string>>& extra);

struct WatchedGame;
class GameWatch;

class GameProcess {
 public:
  static absl::StatusOr<std::unique_ptr<GameProcess>> Start(const LaunchOptions& options);
  ~GameProcess();
  GameProcess(const GameProcess&) = delete;
  GameProcess& operator=(const GameProcess&) = delete;

  pid_t pid() const;
  // One atomic load. Once true, all output is in LastLines.
  bool exited() const;
  // REQUIRES: exited().
  std::string ExitText() const;
  // The last lines that the game wrote, each ending in a newline.
  std::string LastLines() const;
  // True once exited, false at the timeout.
  bool WaitExit(absl::Duration timeout) const;

  // Waits `grace` for the game to end by itself, asks by SIGTERM, waits again, then kills.
  void Stop(absl::Duration grace);
  // SIGKILL to the whole group, and waits for the end.
  void Kill();

 private:
  GameProcess(std::shared_ptr<GameWatch> watch, std::shared_ptr<WatchedGame> game);

  std::shared_ptr<GameWatch> watch_;
  std::shared_ptr<WatchedGame> game_;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_LAUNCHER_H_
