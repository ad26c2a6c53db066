#include "deploy/command_train.h"

#include <stdio.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bridge/cores.h"
#include "bridge/env.h"
#include "bridge/make_env.h"
#include "deploy/files.h"
#include "deploy/launcher.h"
#include "deploy/nearest.h"
#include "deploy/option_checks.h"
#include "learner/files.h"
#include "learner/inspect.h"
#include "learner/learner_state.h"

namespace midlane {
namespace {

struct TrainArguments {
  std::string environment;
  std::string run;
  std::string config;
  std::vector<std::string> assignments;
  std::optional<double> seconds;
  std::optional<uint64_t> timesteps;
  uint64_t seed = 0;
  uint32_t workers = 0;
  uint32_t games = 0;
  bool print_config = false;
  bool quiet = false;
};

// What a run's folder holds.
struct SavedRun {
  std::optional<Config> config;  // that of its file, else of its checkpoint
  std::optional<CheckpointContents> checkpoint;
};

// A checkpoint that cannot be read counts as none: the learner says why it cannot.
absl::StatusOr<SavedRun> ReadRun(const std::string& run_dir) {
  SavedRun run;
  if (auto checkpoint = LoadCheckpointWeights(run_dir); checkpoint.ok()) {
    run.checkpoint = *std::move(checkpoint);
  }
  const std::string file = absl::StrCat(run_dir, "/config.toml");
  if (FileExists(file)) {
    run.config.emplace();
    if (auto status = ReadConfigFile(file, &*run.config); !status.ok()) return status;
  } else if (run.checkpoint) {
    run.config.emplace();
    auto status =
        ParseConfig(run.checkpoint->config_text, "the checkpoint's configuration", &*run.config);
    if (!status.ok()) return status;
  }
  return run;
}

// `run`: what there is of it already, under `run_dir`.
absl::StatusOr<Config> TrainConfig(const TrainArguments& arguments, const std::string& run_dir,
                                   const SavedRun& run) {
  absl::StatusOr<Config> config;
  for (const std::string& assignment : arguments.assignments) {
    if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(assignment), "run.environment")) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set ", assignment, ": the environment is the word after train, here ",
                       arguments.environment));
    }
  }
  if (!IsServerName(arguments.environment)) {
    const auto known = DescribeEnvironment(arguments.environment);
    if (!known.ok()) {
      return absl::Status(known.status().code(),
                          absl::StrCat(known.status().message(),
                                       absl::IsNotFound(known.status())
                                           ? DidYouMean(arguments.environment, KnownEnvironments())
                                           : ""));
    }
  }
  if (run.config) {
    config = *run.config;
    const bool moved = IsServerName(config->run.environment) || IsServerName(arguments.environment);
    if (config->run.environment != arguments.environment && !moved) {
      return absl::InvalidArgumentError(
          absl::StrCat(run_dir, "/config.toml is of a run on ", config->run.environment, ", not ",
                       arguments.environment, ": name another run with --run"));
    }
  } else {
    config = EnvironmentConfig(arguments.environment);
    if (!config.ok()) return config.status();
  }
  if (auto status = ApplyOverrides(arguments.config, arguments.assignments, &*config);
      !status.ok()) {
    return status;
  }
  config->run.environment = arguments.environment;
  if (arguments.seconds) config->learner.seconds_max = *arguments.seconds;
  if (arguments.timesteps) config->learner.timesteps_max = *arguments.timesteps;
  if (arguments.seed > 0) config->run.seed = arguments.seed;
  if (arguments.workers > 0) config->run.workers = arguments.workers;
  if (arguments.games > 0) config->worker.games = arguments.games;
  if (auto status = ValidateConfig(*config); !status.ok()) return status;
  return config;
}

// A run may go on where its environment is served now, or at home: the environment must be the
// same.
absl::Status CheckMoved(const std::string& run_dir, const SavedRun& run, const Config& config) {
  if (!run.checkpoint || !run.config) return absl::OkStatus();
  const std::string& before = run.config->run.environment;
  if (before == config.run.environment && !IsServerName(before)) return absl::OkStatus();
  EnvOptions options = config.worker.env;
  options.name = config.run.environment;
  const auto spec = SpecOf(options);
  if (!spec.ok()) return spec.status();
  if (spec->Hash() == run.checkpoint->environment_hash) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(run_dir, " was trained on ", before, ", and the environment '",
                   spec->environment, "' at ", config.run.environment,
                   " has other agents, observations or actions: name another run with --run"));
}

// Why training ended, for the line that closes it.
std::string EndInWords(const Launcher& launcher, const Config& config) {
  const MetricsLine& last = launcher.last();
  if (launcher.interrupted()) return "stopped";
  if (config.learner.timesteps_max > 0 && last.timesteps >= config.learner.timesteps_max) {
    return "trained all its timesteps";
  }
  if (config.learner.seconds_max > 0 && last.seconds >= config.learner.seconds_max) {
    return "trained all its time";
  }
  return last.reason.empty() ? "ended" : absl::StrCat("ended: ", last.reason);
}

// Whether a run has had all the training that its limits allow, and this command asks for nothing
// else of it.
bool Finished(const TrainArguments& arguments, const Config& config,
              const CheckpointContents& checkpoint) {
  if (!arguments.config.empty() || !arguments.assignments.empty()) return false;
  const LearnerOptions& limits = config.learner;
  return (limits.seconds_max > 0 && checkpoint.seconds >= limits.seconds_max) ||
         (limits.timesteps_max > 0 && checkpoint.timesteps >= limits.timesteps_max);
}

// What to type for the same run again.
std::string Again(const TrainArguments& arguments, const CommandContext& context) {
  return absl::StrCat(context.program(), " train ", arguments.environment,
                      arguments.run.empty() ? "" : absl::StrCat(" --run ", arguments.run));
}

void PrintNext(const TrainArguments& arguments, const CommandContext& context, const Config& config,
               const std::string& run_dir, double seconds) {
  printf("go on with: %s%s --seconds %.0f\nevaluate with: %s eval %s\n",
         Again(arguments, context).c_str(),
         config.learner.timesteps_max > 0 ? " --timesteps 0" : "", std::max(60.0, 2 * seconds),
         context.program().c_str(), run_dir.c_str());
}

absl::Status PrintConfig(const TrainArguments& arguments) {
  const auto config = TrainConfig(arguments, "", SavedRun());
  if (!config.ok()) return config.status();
  fputs(FormatConfig(*config).c_str(), stdout);
  return absl::OkStatus();
}

// By default the environment's name, also where a server has it.
absl::StatusOr<std::string> NameOfRun(const TrainArguments& arguments) {
  if (!arguments.run.empty()) return arguments.run;
  if (!IsServerName(arguments.environment)) return arguments.environment;
  const auto served = DescribeEnvironment(arguments.environment);
  if (!served.ok()) return served.status();
  return served->name;
}

absl::Status Train(const TrainArguments& arguments, CommandContext* context) {
  if (arguments.print_config) return PrintConfig(arguments);
  const auto name = NameOfRun(arguments);
  if (!name.ok()) return name.status();
  const std::string run_dir = RunFolder(*name);
  const std::string saved = absl::StrCat(run_dir, "/config.toml");
  const auto run = ReadRun(run_dir);
  if (!run.ok()) return run.status();
  auto config = TrainConfig(arguments, run_dir, *run);
  if (!config.ok()) return config.status();
  if (auto status = CheckMoved(run_dir, *run, *config); !status.ok()) return status;
  if (auto status = CheckScriptedBots(*config); !status.ok()) return status;

  const bool resumed = FileExists(absl::StrCat(run_dir, "/checkpoint.mdl"));
  if (FileExists(run_dir) && !std::filesystem::is_directory(run_dir)) {
    return absl::InvalidArgumentError(
        absl::StrCat(run_dir, " is a file: name another run with --run, or move it away"));
  }
  if (auto status = MakeFolder(run_dir); !status.ok()) return status;
  // Refuses a second run on this folder before anything of the first's is touched.
  {
    auto lock = RunLock::Take(run_dir);
    if (!lock.ok()) return lock.status();
  }
  if (const auto& checkpoint = run->checkpoint) {
    NetworkShape asked = checkpoint->shape;
    asked.config = config->learner.network;
    const auto same = CheckSameNetwork(run_dir + "/checkpoint.mdl", checkpoint->shape, asked);
    if (!same.ok()) return same;
    if (Finished(arguments, *config, *checkpoint)) {
      printf("%s has had all its training already: %s and %s timesteps\n", run_dir.c_str(),
             ShortDuration(checkpoint->seconds).c_str(),
             WithThousands(checkpoint->timesteps).c_str());
      PrintNext(arguments, *context, *config, run_dir, checkpoint->seconds);
      return absl::OkStatus();
    }
  }
  const absl::StatusOr<std::string> before = ReadFile(saved);
  if (resumed && run->config) {
    for (const std::string& change : ConfigChanges(*run->config, *config)) {
      printf("changed: %s\n", change.c_str());
    }
  }
  if (auto status = WriteFileAtomically(saved, FormatConfig(*config)); !status.ok()) return status;

  const MachinePlan plan = PlanMachine(*config, AvailableCores());
  printf("%s %s in %s: %u %s with %u %s each, learner on %u %s\n",
         resumed ? "resuming" : "training", config->run.environment.c_str(), run_dir.c_str(),
         plan.workers, plan.workers == 1 ? "worker" : "workers", config->worker.games,
         config->worker.games == 1 ? "game" : "games", plan.learner_threads,
         plan.learner_threads == 1 ? "thread" : "threads");
  if (resumed && !arguments.seconds && config->learner.seconds_max > 0) {
    printf("it stops after %s of training in all, as %s says: --seconds 0 lifts that\n",
           ShortDuration(config->learner.seconds_max).c_str(), saved.c_str());
  }
  if (resumed && !arguments.timesteps && config->learner.timesteps_max > 0) {
    printf("it stops after %s timesteps in all, as %s says: --timesteps 0 lifts that\n",
           WithThousands(config->learner.timesteps_max).c_str(), saved.c_str());
  }
  fflush(stdout);

  Launcher launcher({*config, run_dir, arguments.quiet});
  absl::Status status;
  {
    StopOnSignal stop([&launcher] { launcher.Interrupt(); });
    status = launcher.Run();
  }
  const MetricsLine& last = launcher.last();
  if (last.iteration > 0 && (status.ok() || launcher.trained())) {
    printf("%s %s after %s and %s timesteps (version %llu)\n", run_dir.c_str(),
           status.ok() ? EndInWords(launcher, *config).c_str() : "failed",
           ShortDuration(last.seconds).c_str(), WithThousands(last.timesteps).c_str(),
           (unsigned long long)last.version);
    if (!last.verdict.empty()) printf("where the time went: %s\n", last.verdict.c_str());
    printf("%s\n", AccountingLine(last).c_str());
  }
  if (!status.ok()) {
    // What the learner or the game refused must not stand in the way of the next try.
    if (!launcher.trained() && before.ok()) (void)WriteFileAtomically(saved, *before);
    if (!launcher.trained() && !before.ok() && !FileExists(run_dir + "/checkpoint.mdl")) {
      unlink(saved.c_str());
    }
    if (launcher.trained() && FileExists(run_dir + "/checkpoint.mdl")) {
      printf("resume with: %s\n", Again(arguments, *context).c_str());
    }
    return status;
  }
  if (!launcher.trained() && !launcher.interrupted() && last.iteration == 0) {
    return absl::DeadlineExceededError(absl::StrFormat(
        "nothing was trained: an iteration needs ppo.batch_steps = %u timesteps, and a game sends "
        "them by rollout.chunk_steps = %u; see how fast one game is (%s eval --env %s --policy "
        "random --games 1), train longer, or set smaller ones",
        config->learner.ppo.batch_steps, config->worker.chunk_steps, context->program(),
        arguments.environment));
  }
  if (launcher.interrupted()) {
    printf("resume with: %s\n", Again(arguments, *context).c_str());
  } else {
    PrintNext(arguments, *context, *config, run_dir, last.seconds);
  }
  return absl::OkStatus();
}

}  // namespace

void AddTrainCommand(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app->add_subcommand(
      "train",
      "Train an agent on this machine: one learner and its workers, sized to the machine.\n"
      "Ctrl-C stops cleanly; the same command goes on where it stopped.");
  command->footer(
      "Examples:\n"
      "  midlane train blobby                       until stopped, in runs/blobby/\n"
      "  midlane train blobby --run try2 --seconds 600 --set ppo.epochs=2\n"
      "  midlane train blobby --print-config        every setting with its default");
  command
      ->add_option("environment", arguments->environment,
                   "a folder of envs/, null (measures the loop), probe, or a server's: "
                   "grpc://HOST:PORT, grpc+tls://HOST:PORT, grpc+unix:///PATH")
      ->required();
  command
      ->add_option(
          "--run", arguments->run,
          "name of the run, whose files go to runs/NAME/, or with a slash that folder itself "
          "(default: the environment's name)")
      ->check(NotEmpty());
  command->add_option("--config", arguments->config, "a TOML file over the environment's defaults");
  command
      ->add_option("--set", arguments->assignments, "one value, as SECTION.KEY=VALUE (repeatable)")
      ->allow_extra_args(false);
  command
      ->add_option("--seconds", arguments->seconds,
                   "stop after so much training, over all resumes; 0: no limit")
      ->check(InRange(0.0, 1e9));
  command
      ->add_option("--timesteps", arguments->timesteps,
                   "stop after so many timesteps, over all resumes, like 20M; 0: no limit")
      ->transform(Count(0));
  command->add_option("--seed", arguments->seed, "of everything random")->transform(Count(1));
  command->add_option("--workers", arguments->workers, "worker processes")
      ->transform(Count(1, kWorkersMax));
  command->add_option("--games", arguments->games, "worlds that each worker runs")
      ->transform(Count(1, kGamesMax));
  command->add_flag("--print-config", arguments->print_config,
                    "print the whole configuration that a new run would get, as TOML, and end");
  command->add_flag("--quiet", arguments->quiet,
                    "no line of progress; milestones, warnings and the end only");
  command->callback(
      [arguments, context] { context->exit_code = Report(Train(*arguments, context)); });
}

}  // namespace midlane
