#include "deploy/command_rollout.h"

#include <stdio.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "deploy/files.h"
#include "deploy/option_checks.h"
#include "learner/files.h"
#include "rollout/worker.h"

namespace midlane {
namespace {

constexpr absl::Duration kLearnerWait = absl::Minutes(1);
constexpr absl::Duration kLearnerPoll = absl::Milliseconds(100);

struct RolloutArguments {
  std::string run;
  std::string config;
  std::vector<std::string> assignments;
  std::string learner;
  uint32_t index = 0;
  uint32_t games = 0;
  std::string policy;
  std::string device = "cpu";
  bool quiet = false;
};

// What the run's learner says where it listens, once it does: workers may be started first. Empty
// after Ctrl-C.
absl::StatusOr<std::string> AddressOfLearner(const std::string& folder, bool quiet) {
  std::atomic<bool> stop{false};
  const StopOnSignal on_signal([&stop] { stop = true; });
  const absl::Time deadline = absl::Now() + kLearnerWait;
  for (bool said = quiet; !stop; absl::SleepFor(kLearnerPoll)) {
    if (std::string address = LearnerAddress(folder); !address.empty()) return address;
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(folder, " has no learner.address after ",
                                                      absl::FormatDuration(kLearnerWait)));
    }
    if (std::exchange(said, true)) continue;
    printf("waits for the learner of %s (for at most a minute)\n", folder.c_str());
    fflush(stdout);
  }
  return "";
}

absl::Status Rollout(const RolloutArguments& arguments, const CommandContext& context) {
  Config config;
  std::string address = arguments.learner;
  std::string file = arguments.config;
  if (!arguments.run.empty()) {
    const std::string folder = RunFolder(arguments.run);
    if (!FileExists(folder)) {
      return absl::NotFoundError(absl::StrCat(folder,
                                              " is not there: name a run on this machine, "
                                              "or one elsewhere by --config and --learner"));
    }
    if (file.empty()) file = absl::StrCat(folder, "/config.toml");
    if (address.empty()) {
      auto told = AddressOfLearner(folder, arguments.quiet);
      if (!told.ok()) {
        return absl::Status(
            told.status().code(),
            absl::StrCat(told.status().message(), ": start its learner (", context.program(),
                         " learn --run ", arguments.run, "), or name one with --learner"));
      }
      address = *std::move(told);
      if (address.empty()) return absl::OkStatus();
    }
  }
  if (file.empty() || address.empty()) {
    return absl::InvalidArgumentError(
        "name a run with --run, or its configuration with --config and its learner with "
        "--learner tcp://HOST:PORT");
  }
  if (auto status = ApplyOverrides(file, arguments.assignments, &config); !status.ok()) {
    return status;
  }
  if (!arguments.policy.empty()) config.run.policy = arguments.policy;
  if (arguments.games > 0) config.worker.games = arguments.games;
  if (auto status = ValidateConfig(config); !status.ok()) return status;

  WorkerOptions options = MakeWorkerOptions(config, arguments.index);
  options.learner = address;
  if (config.run.policy == "torch") {
    if (!context.torch_policy) return BecomeTorch(context);
    options.make_policy = [&](const NetworkShape& shape) {
      return context.torch_policy(shape, arguments.device);
    };
  } else if (config.run.policy == "random") {
    options.make_policy = MakeRandomPolicy;
  }
  if (!arguments.quiet) {
    printf("worker %u with %u games of %s asks the learner at %s (for at most a minute)\n",
           arguments.index, config.worker.games, config.run.environment.c_str(), address.c_str());
    fflush(stdout);
    options.on_joined = [] {
      printf("joined; Ctrl-C ends it\n");
      fflush(stdout);
    };
    options.on_learner = [](bool there) {
      puts(there ? "the learner is back"
                 : "the learner is away: waits for it (for at most a minute)");
      fflush(stdout);
    };
  }
  auto worker = Worker::Create(std::move(options));
  if (!worker.ok()) return worker.status();
  StopOnSignal stop([&worker] { (*worker)->Stop(); });
  return (*worker)->Run();
}

}  // namespace

void AddRolloutCommand(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<RolloutArguments>();
  CLI::App* command = app->add_subcommand(
      "rollout",
      "Run one worker: games, their policy, and experience for a learner.\n"
      "`midlane train` starts workers by itself; this is for more of them, here or elsewhere.");
  command->footer(
      "Examples:\n"
      "  midlane rollout --run blobby --index 7     one more worker for runs/blobby\n"
      "  midlane rollout --config config.toml --learner tcp://10.0.0.5:5555 --index 8");
  command->add_option("--run", arguments->run, "a run on this machine, by name or folder");
  command->add_option("--config", arguments->config, "the run's configuration");
  command
      ->add_option("--set", arguments->assignments, "one value, as SECTION.KEY=VALUE (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--learner", arguments->learner, "tcp://HOST:PORT or ipc://PATH");
  command
      ->add_option("--index", arguments->index,
                   "number of this worker in the run (0): its seeds follow from it, so no two may "
                   "have the same; `midlane train` counts from 0")
      ->transform(Count(0, kWorkersMax - 1));
  command->add_option("--games", arguments->games, "worlds that it runs")
      ->transform(Count(1, kGamesMax));
  command->add_option("--policy", arguments->policy, "native, torch, or random (ignores weights)")
      ->check(CLI::IsMember({"native", "torch", "random"}));
  command->add_option("--device", arguments->device, "of the torch policy: cpu, cuda, cuda:N");
  command->add_flag("--quiet", arguments->quiet, "warnings and errors only");
  command->callback(
      [arguments, context] { context->exit_code = Report(Rollout(*arguments, *context)); });
}

}  // namespace midlane
