// RunPreloaded: any program under the shim, without an adapter, to see what the shim finds.
//
// The core of `midlane preload`. The program runs in the caller's own surroundings (environment,
// home, output), at real time, with nothing skipped.
// Thread-safety: any thread; callbacks come on the caller's.
// Errors: NotFound for a missing program or shim; otherwise as GameProcess::Start. That nothing
//   was found is no error but a report with causes.
#ifndef MIDLANE_BRIDGE_PRELOAD_RUN_H_
#define MIDLANE_BRIDGE_PRELOAD_RUN_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bridge/channel_host.h"

namespace midlane {

struct PreloadReport {
  bool announced = false;           // the shim is in the program
  Announcement found;               // where announced; `dialect` is empty where no Lua was seen
  std::string refusal;              // the shim's own sentence where it cannot drive this program
  std::vector<std::string> causes;  // likeliest first, each with its remedy; empty: Lua was found
  bool exited = false;
  std::string exit_text;  // where exited

  bool found_lua() const { return announced && !found.dialect.empty(); }
};

struct PreloadOptions {
  std::vector<std::string> command;
  std::string executable;  // file name of the process to look into; empty: found out
  std::string preload;     // the shim; empty: PreloadPath()
  bool vanilla = false;    // every hook passes through
  absl::Duration find_limit = absl::Seconds(5);         // then `causes` are looked for
  absl::Duration run_limit = absl::InfiniteDuration();  // then the program is stopped
  // Before a script is started again: what it was seen to start, or "" where nothing was; may be
  // null.
  std::function<void(const std::string& started)> runs_again;
  std::function<bool()> stop;                       // true: stop the program; may be null
  std::function<void(const PreloadReport&)> found;  // once: at find_limit, or when Lua
                                                    // was seen; may be null
};

// Runs the program to its end (or `stop`, or run_limit) and answers what was found in all.
absl::StatusOr<PreloadReport> RunPreloaded(const PreloadOptions& options);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_PRELOAD_RUN_H_
