#include "deploy/command_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bridge/description.h"
#include "bridge/make_env.h"
#include "deploy/contestant.h"
#include "deploy/files.h"
#include "deploy/option_checks.h"
#include "deploy/progress.h"
#include "rollout/experience.pb.h"

namespace midlane {
namespace {

constexpr double kSpeedMin = 0.05;
constexpr double kSpeedMax = 100;
// Of play at full speed: a timestep of two bots, whom nobody asks, is long.
constexpr absl::Duration kTimestepMax = absl::Seconds(20);

struct WatchArguments {
  std::string run;
  std::string environment;
  std::string opponent;
  std::vector<std::string> settings;
  double speed = 1;
  uint32_t games = 1;
  uint64_t seed = 1000;
  bool sample = false;
};

// Whether somebody listens at `display`; true where it is on another host, which is not asked.
bool HasServer(const std::string& display) {
  if (display[0] != ':') return true;
  const std::string path =
      absl::StrCat("/tmp/.X11-unix/X", display.substr(1, display.find('.') - 1));
  // The file, and the name of the abstract socket, which a container may have without the file.
  for (const bool abstract : {false, true}) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const size_t length = std::min(path.size(), sizeof address.sun_path - 2);
    std::memcpy(address.sun_path + (abstract ? 1 : 0), path.data(), length);
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool answers = connect(fd, reinterpret_cast<sockaddr*>(&address), bytes) == 0;
    close(fd);
    if (answers) return true;
  }
  return false;
}

// Whether `environment` has a picture that can be shown from here.
absl::Status CheckPicture(const std::string& environment, const std::string& program) {
  if (IsServerName(environment)) {
    return absl::InvalidArgumentError(
        absl::StrCat("it was trained behind the server ", environment,
                     ", whose games cannot be watched from here: name its environment with --env"));
  }
  const auto description = ReadDescription(absl::StrCat(EnvsDir(), "/", environment));
  if (!description.ok() ||
      (description->render_environment.empty() && description->frame_call.empty())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "environment '", environment,
        "' draws nothing that can be watched (its game.toml has no [render]): ", program,
        " eval plays its matches unseen"));
  }
  return absl::OkStatus();
}

// Whether this session has a place to show it; the game's window finds its way there.
absl::Status FindDisplay(const std::string& program) {
  const char* const display = getenv("DISPLAY");
  if (display == nullptr || *display == '\0') {
    return absl::FailedPreconditionError(absl::StrCat(
        "DISPLAY is not set, so the game's window cannot be shown: run this in a desktop session "
        "(over ssh: ssh -X), or with a virtual screen (packages xvfb and xauth): xvfb-run ",
        program, " watch ..."));
  }
  if (!HasServer(display)) {
    return absl::FailedPreconditionError(
        absl::StrCat("DISPLAY is ", display,
                     ", where no X server answers: run this in a desktop session, or with "
                     "a virtual screen (packages xvfb and xauth): xvfb-run ",
                     program, " watch ..."));
  }
  // The game's HOME is a folder of its own, where the library that it draws with would look.
  const char* const home = getenv("HOME");
  if (home == nullptr) return absl::OkStatus();
  const std::string authority = absl::StrCat(home, "/.Xauthority");
  if (FileExists(authority)) setenv("XAUTHORITY", authority.c_str(), /*overwrite=*/0);
  return absl::OkStatus();
}

// Tells a match's begin, its score where that changes, and its end, a line each.
class Commentator {
 public:
  Commentator(const Spec& spec, std::string subject, std::string opponent)
      : spec_(spec),
        points_for_(spec.FindMetric("points_for")),
        points_against_(spec.FindMetric("points_against")),
        subject_(std::move(subject)),
        opponent_(std::move(opponent)) {}

  void Tell(const MatchRecord& match) {
    const double seconds =
        spec_.frames_per_second > 0 ? double(match.frames) / double(spec_.frames_per_second) : 0;
    const bool over = match.outcome != v1::MatchResult::INVALID;
    // Until the first point metrics may still be those of the match before.
    if (!on_) {
      printf("%s plays %s%s%s, seed %llu\n", subject_.c_str(), Side(match.side).c_str(),
             opponent_.empty() ? "" : " against ", opponent_.c_str(),
             (unsigned long long)match.seed);
      score_ = Score(match);
      on_ = true;
    } else if (const std::string score = Score(match); score != score_) {
      score_ = score;
      printf("%8s  %s\n", ShortDuration(seconds).c_str(), score.c_str());
    }
    if (over) {
      printf("%s %s after %s of play%s%s\n", subject_.c_str(), InWords(match.outcome),
             ShortDuration(seconds).c_str(), score_.empty() ? "" : ", ", score_.c_str());
      on_ = false;
    }
    fflush(stdout);
  }

 private:
  std::string Side(int side) const {
    const auto index = static_cast<size_t>(side);
    return index < spec_.agents.size() ? spec_.agents[index] : absl::StrCat(side);
  }
  std::string Score(const MatchRecord& match) const {
    if (points_for_ < 0 || points_against_ < 0) return "";
    return absl::StrFormat("%.0f : %.0f", match.metrics[size_t(points_for_)],
                           match.metrics[size_t(points_against_)]);
  }
  static const char* InWords(int outcome) {
    switch (outcome) {
      case v1::MatchResult::WON:
        return "won";
      case v1::MatchResult::LOST:
        return "lost";
      case v1::MatchResult::DRAWN:
        return "drew";
      default:
        return "was cut short by a limit";
    }
  }

  const Spec& spec_;
  const int points_for_, points_against_;
  const std::string subject_, opponent_;
  std::string score_;
  bool on_ = false;
};

absl::Status Watch(const WatchArguments& arguments, const CommandContext& context) {
  auto subject = LoadAgent(arguments.run, "native", context);
  if (!subject.ok()) return subject.status();
  EvaluationOptions options;
  std::string environment = arguments.environment;
  if (auto status =
          FillFromTraining(subject->config_text, arguments.settings, &environment, &options);
      !status.ok()) {
    return status;
  }
  if (auto status = CheckPicture(environment, context.program()); !status.ok()) return status;
  options.env.seed = options.seed = arguments.seed;
  options.matches = arguments.games;
  options.games = 1;
  options.greedy = !arguments.sample;
  options.crashes_max = 0;  // a person who closes the window wants no other one
  options.policy = subject->player.policy;

  const auto spec = SpecOf(options.env);
  if (!spec.ok()) return spec.status();
  if (auto status = CheckMatchSettings(arguments.settings, *spec, "watch"); !status.ok()) {
    return status;
  }
  std::string name = arguments.opponent;
  if (name.empty() && spec->agents.size() > 1) {
    const std::vector<std::string> bots = BotsOf(environment);
    if (bots.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          environment, " describes no scripted bots: name an opponent with --opponent"));
    }
    name = bots.back();
  }
  Contestant opponent;
  if (!name.empty()) {
    auto loaded = LoadContestant(name, environment, "native", context);
    if (!loaded.ok()) return loaded.status();
    opponent = *std::move(loaded);
  }
  options.opponents = {opponent.player};
  if (auto status = FindDisplay(context.program()); !status.ok()) return status;

  options.env.render_every = 1;
  options.env.speed = arguments.speed;
  options.env.timeout = kTimestepMax / std::min(1.0, arguments.speed);
  Commentator commentator(*spec, subject->player.name, name);
  options.watch = [&commentator](const MatchRecord& match) { commentator.Tell(match); };
  const auto result = Evaluate(options);
  const absl::Status status = result.ok() ? result->failure : result.status();
  if (!absl::IsUnavailable(status)) return status;
  return absl::Status(
      status.code(),
      absl::StrCat("the game ended before its match did (was its window closed, or is DISPLAY ",
                   getenv("DISPLAY"), " no X server of yours?): ", status.message()));
}

}  // namespace

void AddWatchCommand(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<WatchArguments>();
  CLI::App* command = app->add_subcommand(
      "watch",
      "See a trained agent play in the game's own window, every frame drawn, at real time or\n"
      "another speed; prints the score as it changes. Ctrl-C ends it.");
  command->footer(
      "Examples:\n"
      "  midlane watch blobby                            against the last of the shipped bots\n"
      "  midlane watch blobby --opponent hyp014 --speed 2\n"
      "  midlane watch runs/try2 --opponent runs/blobby  agent against agent\n"
      "  midlane watch blobby --games 2                  the same match from both sides");
  command
      ->add_option("run", arguments->run,
                   "a run by name or folder (its mean weights of the last part of training), a "
                   "checkpoint file, RUN@last (the very last weights), or RUN@VERSION of its pool")
      ->required();
  command->add_option("--env", arguments->environment, "default: the one it was trained on");
  command->add_option("--opponent", arguments->opponent,
                      "a bot as NAME or NAME:STRENGTH, or a run with a slash, like runs/other "
                      "(default: the last bot of the environment)");
  command->add_option("--speed", arguments->speed, "game seconds a second")
      ->capture_default_str()
      ->check(InRange(kSpeedMin, kSpeedMax));
  command
      ->add_option("--games", arguments->games, "matches, one after the other, half from each side")
      ->capture_default_str()
      ->transform(Count(1, 1000000));
  command->add_option("--seed", arguments->seed, "of the first match, as in midlane eval")
      ->capture_default_str()
      ->transform(Count(1));
  command
      ->add_option("--setting", arguments->settings, "a world setting as NAME=VALUE (repeatable)")
      ->allow_extra_args(false);
  command->add_flag("--sample", arguments->sample,
                    "actions sampled from the policy, as in training, in place of the likeliest");
  command->callback([arguments, context] {
    const absl::Status status = Watch(*arguments, *context);
    if (!status.ok()) context->exit_code = Report(status);
  });
}

}  // namespace midlane
