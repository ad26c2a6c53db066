#include "deploy/command_learn.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "bridge/env.h"
#include "learner/learner.h"

namespace midlane {
namespace {

struct LearnArguments {
  std::string run_dir;
  std::vector<std::string> assignments;
  std::string listen;
  uint32_t threads = 0;
};

// The environment's spec, from a world that is started for it and ended again.
absl::StatusOr<Spec> EnvironmentSpec(const Config& config) {
  EnvOptions options = config.worker.env;
  options.name = config.run.environment;
  options.seed = config.run.seed;
  auto env = MakeEnv(options);
  if (!env.ok()) return env.status();
  return (*env)->spec();
}

absl::Status Learn(const LearnArguments& arguments) {
  const std::string folder = RunFolder(arguments.run_dir);
  Config config;
  if (auto status =
          ApplyOverrides(absl::StrCat(folder, "/config.toml"), arguments.assignments, &config);
      !status.ok()) {
    return status;
  }
  if (!arguments.listen.empty()) config.learner.listen = arguments.listen;
  if (arguments.threads > 0) config.run.learner_threads = arguments.threads;
  if (auto status = ValidateConfig(config); !status.ok()) return status;
  const auto spec = EnvironmentSpec(config);
  if (!spec.ok()) return spec.status();
  auto learner = Learner::Create(*spec, MakeLearnerOptions(config, folder));
  if (!learner.ok()) return learner.status();
  StopOnSignal stop([&learner] { (*learner)->Stop(); });
  return (*learner)->Run();
}

}  // namespace

void AddLearnCommand(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<LearnArguments>();
  CLI::App* command = app->add_subcommand(
      "learn",
      "Run one learner for a run folder that holds config.toml; goes on from its checkpoint.\n"
      "`midlane train` starts a learner by itself; this is for runs whose workers are elsewhere.");
  command->footer(
      "Example, on two machines:\n"
      "  mkdir -p runs/far && midlane train blobby --print-config > runs/far/config.toml\n"
      "  midlane learn --run-dir runs/far --listen tcp://0.0.0.0:5555\n"
      "  midlane rollout --config config.toml --learner tcp://LEARNER:5555   (on the other one, "
      "with a copy of "
      "config.toml)");
  command->add_option("--run-dir", arguments->run_dir, "the run's folder, or its name under runs/")
      ->required();
  command
      ->add_option("--set", arguments->assignments, "one value, as SECTION.KEY=VALUE (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--listen", arguments->listen,
                      "where workers connect, like tcp://0.0.0.0:5555 (default: a free local port, "
                      "told in learner.address)");
  command->add_option("--threads", arguments->threads, "of libtorch");
  command->callback([arguments, context] { context->exit_code = Report(Learn(*arguments)); });
}

}  // namespace midlane
