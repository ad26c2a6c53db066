// What the subcommands of `midlane` share. Each subcommand is one file, command_NAME.{h,cc}, with
// one function that adds it to the application.
//
// Exit codes: 0 done; 1 failed (one sentence on stderr, with the remedy); 2 the command line is
// wrong; 3 an evaluation's --require-lower was not met.
#ifndef MIDLANE_DEPLOY_COMMAND_H_
#define MIDLANE_DEPLOY_COMMAND_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "deploy/config.h"
#include "rollout/policy/policy.h"

namespace CLI {
class App;
}  // namespace CLI

namespace midlane {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitShort = 3;
inline constexpr int kExitStopped = 130;  // by Ctrl-C: as a shell has it

// One run of the program. Subcommands set exit_code.
struct CommandContext {
  int argc = 0;
  char** argv = nullptr;
  int exit_code = 0;
  // How the user called this program: what a hint must begin with to be typed as it stands.
  std::string program() const { return argc > 0 ? argv[0] : "midlane"; }
  // Makes a policy by libtorch; null in the program that has none (midlane), which then hands over
  // to midlane-torch.
  std::function<absl::StatusOr<std::unique_ptr<Policy>>(const NetworkShape&,
                                                        const std::string& device)>
      torch_policy;
};

// Prints "midlane: MESSAGE" on stderr for an error. The exit code.
int Report(const absl::Status& status);

// Becomes midlane-torch, the sibling of this program, with the same arguments. Returns only where
// that fails.
absl::Status BecomeTorch(const CommandContext& context);

// Calls `stop` on SIGINT, SIGTERM and SIGHUP, as long as it lives. `stop` must be
// async-signal-safe. One at a time.
class StopOnSignal {
 public:
  explicit StopOnSignal(std::function<void()> stop);
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
};

// "blobby", "runs/blobby" or "/elsewhere/blobby" -> the run's folder: names without a slash lie
// under runs/ of the current folder.
std::string RunFolder(const std::string& run);

// --config FILE and --set KEY=VALUE, over `config`, in this order.
absl::Status ApplyOverrides(const std::string& file, const std::vector<std::string>& assignments,
                            Config* config);

// World settings of --setting NAME=VALUE, over `settings`.
absl::Status AddSettings(const std::vector<std::string>& assignments, Settings* settings);

// Parses the command line and runs what it names. The exit code.
int RunCommandLine(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_H_
