#include "deploy/contestant.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bridge/env.h"
#include "deploy/files.h"
#include "deploy/nearest.h"
#include "learner/inspect.h"

namespace midlane {
namespace {

constexpr char kLast[] = "last";

// As they may be named: by name, and as runs/NAME.
std::vector<std::string> TrainedRuns() {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("runs", none)) {
    if (!FileExists(absl::StrCat(entry.path().string(), "/checkpoint.mdl"))) continue;
    names.push_back(entry.path().filename().string());
    names.push_back(entry.path().string());
  }
  return names;
}

}  // namespace

absl::StatusOr<Contestant> LoadAgent(const std::string& name, const std::string& backend,
                                     const CommandContext& context) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(name, absl::MaxSplits('@', 1));
  const std::string path =
      absl::EndsWith(parts.first, ".mdl") ? parts.first : RunFolder(parts.first);
  if (!FileExists(path)) {
    return absl::NotFoundError(
        absl::StrCat(path, " is not there", DidYouMean(parts.first, TrainedRuns()),
                     ": name a run that was trained (", context.program(),
                     " train ENVIRONMENT --run NAME), from the folder that holds its runs/"));
  }
  const std::string checkpoint = absl::StrCat(path, "/checkpoint.mdl");
  if (std::filesystem::is_directory(path) && !FileExists(checkpoint)) {
    return absl::NotFoundError(absl::StrCat(
        path,
        " has no checkpoint.mdl: a training writes one within a minute, and at its end; name a run "
        "that was trained"));
  }
  auto contents = LoadCheckpointWeights(path);
  if (!contents.ok()) return contents.status();
  Weights weights = std::move(contents->average);
  const bool averaged = contents->averaged && parts.second.empty();
  if (parts.second == kLast) {
    weights = std::move(contents->weights);
  } else if (!parts.second.empty()) {
    uint64_t version = 0;
    if (!absl::SimpleAtoi(parts.second, &version)) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": what follows @ is a version's number, or ", kLast, ", not ", parts.second));
    }
    auto past = LoadPastWeights(path, version);
    if (!past.ok()) return past.status();
    weights = std::move(*past);
  }
  std::shared_ptr<Policy> policy;
  if (backend == "torch") {
    auto made = context.torch_policy(contents->shape, "cpu");
    if (!made.ok()) return made.status();
    policy = std::move(*made);
  } else {
    policy = MakeNativePolicy(contents->shape);
  }
  if (auto status = policy->Load(weights); !status.ok()) return status;
  Contestant agent;
  agent.player.name = name;
  agent.player.policy = std::move(policy);
  agent.config_text = contents->config_text;
  agent.version = weights.version;
  agent.averaged = averaged;
  if (parts.second.empty() || parts.second == kLast) {  // of a past version they are not known
    agent.timesteps = contents->timesteps;
    agent.seconds = contents->seconds;
  }
  return agent;
}

std::vector<std::string> BotsOf(const std::string& environment) {
  const auto info = DescribeEnvironment(environment);
  return info.ok() ? info->bots : std::vector<std::string>();
}

absl::Status FillFromTraining(const std::string& config_text,
                              const std::vector<std::string>& assignments, std::string* environment,
                              EvaluationOptions* options) {
  Config config;
  if (!config_text.empty()) {
    if (auto status = ParseConfig(config_text, "the checkpoint's configuration", &config);
        !status.ok()) {
      return status;
    }
  }
  if (environment->empty()) *environment = config.run.environment;
  if (environment->empty()) {
    return absl::InvalidArgumentError("name an environment with --env");
  }
  options->env = config.worker.env;
  options->env.name = *environment;
  options->settings = config.worker.settings;
  options->frame_skip = config.worker.frame_skip;
  return AddSettings(assignments, &options->settings);
}

absl::Status CheckMatchSettings(const std::vector<std::string>& assignments, const Spec& spec,
                                const std::string& command) {
  std::map<std::string, std::string> remedies = {{"seed", "give --seed"}};
  if (command == "eval") remedies["frame_skip"] = "give --frame-skip";
  for (const std::string& agent : spec.agents) {
    remedies[agent] = remedies[agent + "_strength"] =
        spec.agents.size() > 1 ? "give --opponent" : "leave it out";
  }
  for (const std::string& assignment : assignments) {
    const auto found = remedies.find(assignment.substr(0, assignment.find('=')));
    if (found == remedies.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat("midlane ", command, " sets '", found->first,
                                                   "' for each match, so --setting ", assignment,
                                                   " means nothing: ", found->second));
  }
  return absl::OkStatus();
}

absl::StatusOr<Contestant> LoadContestant(const std::string& name, const std::string& environment,
                                          const std::string& backend,
                                          const CommandContext& context) {
  if (absl::StrContains(name, '/')) return LoadAgent(name, backend, context);
  if (name.empty() || absl::EndsWith(name, ":")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--opponent '", name, "': give NAME, NAME:STRENGTH or a run like runs/other"));
  }
  const std::pair<std::string, std::string> parts = absl::StrSplit(name, absl::MaxSplits(':', 1));
  const auto info = DescribeEnvironment(environment);
  const std::vector<std::string> bots = info.ok() ? info->bots : std::vector<std::string>();
  if (!bots.empty() && std::find(bots.begin(), bots.end(), parts.first) == bots.end()) {
    const std::string run = RunFolder(name);
    return absl::NotFoundError(
        absl::StrCat("'", parts.first, "' is no bot of ", environment,
                     FileExists(run.substr(0, run.find('@')))
                         ? absl::StrCat("; for the run of that name say --opponent ", run)
                         : NearestHint(parts.first, bots)));
  }
  if (info.ok()) {
    const absl::Status status = CheckStrength(*info, parts.second);
    if (!status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--opponent ", name, ": ", status.message()));
    }
  }
  Contestant bot;
  bot.player.name = name;
  bot.player.bot = parts.first;
  bot.player.strength = parts.second;
  return bot;
}

}  // namespace midlane
