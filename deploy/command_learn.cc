#include "deploy/command_learn.h"

#include <stdio.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bridge/env.h"
#include "deploy/files.h"
#include "deploy/option_checks.h"
#include "deploy/progress.h"
#include "learner/learner.h"

namespace midlane {
namespace {

struct LearnArguments {
  std::string run;
  std::vector<std::string> assignments;
  std::string listen;
  uint32_t threads = 0;
  bool quiet = false;
};

constexpr absl::Duration kShowEvery = absl::Seconds(5);

// Prints the line that `midlane train` shows, from the metrics that this learner writes, as long as
// it lives, and at its end what became of every chunk.
class ProgressPrinter {
 public:
  ProgressPrinter(const std::string& folder, const Config& config)
      : metrics_(absl::StrCat(folder, "/metrics.jsonl")), config_(config) {
    while (!metrics_.Poll().empty()) {  // what earlier starts wrote is no news
    }
    thread_ = std::thread([this] {
      while (!ended_.WaitForNotificationWithTimeout(kShowEvery)) Show();
    });
  }
  ~ProgressPrinter() {
    ended_.Notify();
    thread_.join();
    Show();
    if (last_.event == "stop") {
      printf("stopped after %s and %s timesteps\n%s\n", ShortDuration(last_.seconds).c_str(),
             WithThousands(last_.timesteps).c_str(), AccountingLine(last_).c_str());
    }
    fflush(stdout);
  }
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

 private:
  void Show() {
    MetricsLine iteration;
    for (MetricsLine& line : metrics_.Poll()) {
      if (line.event == "iteration") iteration = line;
      if (line.event == "iteration" || line.event == "stop") last_ = std::move(line);
    }
    if (iteration.iteration == 0) return;
    MetricsLine shown = iteration;
    shown.timesteps_per_s = RateSince(shown_, iteration);
    printf("%s\n", ProgressLine(shown, config_).c_str());
    fflush(stdout);
    shown_ = std::move(iteration);
  }

  MetricsFollower metrics_;
  const Config& config_;
  MetricsLine last_, shown_;
  absl::Notification ended_;
  std::thread thread_;
};

absl::StatusOr<Spec> EnvironmentSpec(const Config& config) {
  EnvOptions options = config.worker.env;
  options.name = config.run.environment;
  options.seed = config.run.seed;
  return SpecOf(options);
}

// Where any port will do, at first that of a learner of this run that was killed: its workers look
// for it there.
absl::StatusOr<std::unique_ptr<Learner>> CreateLearner(const Spec& spec,
                                                       const LearnerOptions& options) {
  const std::string before = LearnerAddress(options.run_dir);
  if (!before.empty() && absl::EndsWith(options.listen, ":*")) {
    LearnerOptions as_before = options;
    as_before.listen = before;
    auto learner = Learner::Create(spec, std::move(as_before));
    if (learner.ok()) return learner;
  }
  return Learner::Create(spec, options);
}

absl::Status Learn(const LearnArguments& arguments, const CommandContext& context) {
  const std::string folder = RunFolder(arguments.run);
  const std::string file = absl::StrCat(folder, "/config.toml");
  if (!FileExists(file)) {
    return absl::NotFoundError(
        absl::StrCat(file, " is not there: name a run that has one, or make it: mkdir -p ", folder,
                     " && ", context.program(), " train ENVIRONMENT --print-config > ", file));
  }
  Config config;
  if (auto status = ApplyOverrides(file, arguments.assignments, &config); !status.ok()) {
    return status;
  }
  if (!arguments.listen.empty()) config.learner.listen = arguments.listen;
  if (arguments.threads > 0) config.run.learner_threads = arguments.threads;
  if (auto status = ValidateConfig(config); !status.ok()) return status;
  const auto spec = EnvironmentSpec(config);
  if (!spec.ok()) return spec.status();
  const bool resumed = FileExists(absl::StrCat(folder, "/checkpoint.mdl"));
  auto learner = CreateLearner(*spec, MakeLearnerOptions(config, folder));
  if (!learner.ok()) return learner.status();
  StopOnSignal stop([&learner] { (*learner)->Stop(); });
  if (arguments.quiet) return (*learner)->Run();
  printf(
      "%s %s in %s; a line of progress follows once workers have sent enough\n"
      "workers join with: %s rollout --run %s --index N (elsewhere: --config with a copy of %s, "
      "--learner with this machine's name and the port in %s/learner.address)\n",
      resumed ? "resuming" : "learning", config.run.environment.c_str(), folder.c_str(),
      context.program().c_str(), arguments.run.c_str(), file.c_str(), folder.c_str());
  fflush(stdout);
  const ProgressPrinter printer(folder, config);
  return (*learner)->Run();
}

}  // namespace

void AddLearnCommand(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<LearnArguments>();
  CLI::App* command = app->add_subcommand(
      "learn",
      "Run one learner for a run folder that holds config.toml; goes on from its checkpoint.\n"
      "`midlane train` starts a learner by itself; this is for runs whose workers are elsewhere.\n"
      "Whoever reaches its port can send it experience, unencrypted and without a password: let "
      "it\n"
      "listen inside a network that you trust.");
  command->footer(
      "Example, on two machines:\n"
      "  mkdir -p runs/far && midlane train blobby --print-config > runs/far/config.toml\n"
      "  midlane learn --run far --listen tcp://0.0.0.0:5555\n"
      "  midlane rollout --config config.toml --learner tcp://LEARNER:5555   (on the other one, "
      "with a copy of "
      "config.toml)");
  command->add_option("--run", arguments->run, "the run, by name or folder")->required();
  command
      ->add_option("--set", arguments->assignments, "one value, as SECTION.KEY=VALUE (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--listen", arguments->listen,
                      "where workers connect, like tcp://0.0.0.0:5555 (default: a free local port, "
                      "told in learner.address)");
  command->add_option("--threads", arguments->threads, "of libtorch")->transform(Count(1, 1024));
  command->add_flag("--quiet", arguments->quiet, "warnings and errors only");
  command->callback(
      [arguments, context] { context->exit_code = Report(Learn(*arguments, *context)); });
}

}  // namespace midlane
