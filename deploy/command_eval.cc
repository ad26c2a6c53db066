#include "deploy/command_eval.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bridge/cores.h"
#include "bridge/make_env.h"
#include "deploy/contestant.h"
#include "deploy/evaluation_report.h"
#include "deploy/files.h"
#include "deploy/option_checks.h"
#include "deploy/process.h"
#include "deploy/progress.h"
#include "learner/files.h"

namespace midlane {
namespace {

// Enough to keep a core busy while some of them wait for the policy.
constexpr uint32_t kGamesPerCore = 4;
constexpr uint32_t kReplayedMatches = 4;  // of each opponent, by --check-determinism

struct EvalArguments {
  std::string run;
  std::string environment;
  std::vector<std::string> opponents;
  std::vector<std::string> settings;
  uint32_t games = 200;
  uint32_t parallel = 0;
  uint64_t seed = 1000;
  uint64_t frames_max = 4000000;
  uint32_t frame_skip = 0;
  std::string policy = "native";
  std::string json;
  double require_lower = -1;
  bool sample = false;
  bool cross = false;
  bool check_determinism = false;
  bool quiet = false;
};

// Fills what the arguments leave to the agent's own configuration.
absl::Status FillFromConfig(const std::string& config_text, EvalArguments* arguments,
                            EvaluationOptions* options) {
  if (auto status =
          FillFromTraining(config_text, arguments->settings, &arguments->environment, options);
      !status.ok()) {
    return status;
  }
  options->env.seed = arguments->seed;
  if (arguments->frame_skip > 0) options->frame_skip = arguments->frame_skip;
  options->matches = arguments->games;
  options->games = arguments->parallel
                       ? arguments->parallel
                       : kGamesPerCore * static_cast<uint32_t>(AvailableCores().size());
  options->seed = arguments->seed;
  options->frames_max = arguments->frames_max;
  options->greedy = !arguments->sample && arguments->policy != "random";
  return absl::OkStatus();
}

// The one that is evaluated: the run, or with --policy random nobody's policy.
absl::StatusOr<Contestant> LoadSubject(const EvalArguments& arguments,
                                       const CommandContext& context) {
  if (arguments.policy == "random") {
    if (!arguments.run.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--policy random plays for nobody: leave out ",
                                                     arguments.run, " and give --env"));
    }
    Contestant subject;
    subject.player.name = "random";
    return subject;
  }
  if (arguments.run.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("name the run to evaluate, like: ", context.program(),
                     " eval blobby (or --policy random with --env)"));
  }
  return LoadAgent(arguments.run, arguments.policy, context);
}

void SetSubject(const Contestant& subject, EvaluationOptions* options) {
  options->policy = subject.player.policy;
  options->subject_bot = subject.player;
}

// Plays some of the same matches in a process of its own and compares.
absl::Status CheckDeterminism(const EvalArguments& arguments, const CommandContext& context,
                              const EvaluationResult& result) {
  char path[] = "/tmp/midlane-replay-XXXXXX";
  const int fd = mkstemp(path);
  if (fd < 0) return absl::UnavailableError("cannot make a file under /tmp for the replay");
  close(fd);
  ProcessOptions options;
  options.command = {absl::StrCat(ExecutableDir(), "/midlane")};
  bool drop_value = false;
  for (int i = 1; i < context.argc; ++i) {
    const std::string word = context.argv[i];
    if (std::exchange(drop_value, false)) continue;
    if (word == "--check-determinism") continue;
    if (word == "--json" || word == "--games" || word == "--require-lower") {
      drop_value = true;
      continue;
    }
    if (word.rfind("--json=", 0) == 0 || word.rfind("--games=", 0) == 0 ||
        word.rfind("--require-lower=", 0) == 0) {
      continue;
    }
    options.command.push_back(word);
  }
  const uint32_t matches = std::min(kReplayedMatches, arguments.games);
  for (const std::string& word :
       {std::string("--games"), absl::StrCat(matches), std::string("--json"), std::string(path)}) {
    options.command.push_back(word);
  }
  options.log = "/dev/null";
  auto process = Process::Start(options);
  if (!process.ok()) return process.status();
  while ((*process)->Running()) usleep(20000);
  const auto text = ReadFile(path);
  unlink(path);
  const std::string difference = CompareHashes(result, text.value_or(""));
  if (!difference.empty()) {
    return absl::DataLossError(
        absl::StrCat("a seed does not reproduce its match: ", difference,
                     "; does the game or its adapter carry something over from the match "
                     "before? Else see midlane doctor (fixed addresses)"));
  }
  printf("replayed %u matches of each opponent in a new process: equal to the last bit\n", matches);
  return absl::OkStatus();
}

// Everybody who plays, the evaluated one first; a policy is one thread's.
using Team = std::vector<Contestant>;

absl::StatusOr<Team> LoadTeam(const EvalArguments& arguments, const CommandContext& context,
                              const Spec& spec) {
  auto subject = LoadSubject(arguments, context);
  if (!subject.ok()) return subject.status();
  if (arguments.policy == "random") {
    std::shared_ptr<Policy> random = MakeRandomPolicy(MakeNetworkShape(spec, NetworkConfig()));
    subject->player.policy = std::move(random);
  }
  Team team = {*std::move(subject)};
  for (const std::string& name : arguments.opponents) {
    auto opponent = LoadContestant(name, arguments.environment, arguments.policy, context);
    if (!opponent.ok()) return opponent.status();
    team.push_back(std::move(*opponent));
  }
  if (arguments.opponents.empty()) {
    Contestant nobody;
    nobody.player.name = "(alone)";
    team.push_back(std::move(nobody));
  }
  return team;
}

// `row` of each team against those behind it.
absl::StatusOr<EvaluationResult> PlayRow(const std::vector<Team>& teams, size_t row,
                                         const EvaluationOptions& base) {
  std::atomic<bool> stop{false};
  const StopOnSignal on_signal([&stop] { stop = true; });
  std::vector<EvaluationOptions> threads;
  for (const Team& team : teams) {
    EvaluationOptions& options = threads.emplace_back(base);
    options.stop = &stop;
    SetSubject(team[row], &options);
    for (size_t i = row + 1; i < team.size(); ++i) options.opponents.push_back(team[i].player);
  }
  return EvaluateOnCores(std::move(threads), AvailableCores());
}

// Into the file that --json names, if any.
absl::Status WriteJson(const EvalArguments& arguments, const std::string& text) {
  if (arguments.json.empty()) return absl::OkStatus();
  if (arguments.json != "-") return WriteFileAtomically(arguments.json, text);
  fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

// Of an evaluation that Ctrl-C ended.
std::string StoppedText(const EvalArguments& arguments) {
  return absl::StrCat(
      "stopped before every match was finished: opponents and sides are played one after the other "
      "and quick matches end first, so this is no fair sample",
      arguments.require_lower >= 0 || arguments.check_determinism
          ? "; neither --require-lower nor --check-determinism was judged\n"
          : "\n");
}

// Whom, with which weights, and how.
void PrintHeader(const EvalArguments& arguments, const Contestant& subject, FILE* text_out) {
  fprintf(text_out, "%s", subject.player.name.c_str());
  if (subject.version > 0) {
    fprintf(text_out, " (%sversion %llu", subject.averaged ? "mean weights up to " : "",
            (unsigned long long)subject.version);
    if (subject.timesteps > 0) {
      fprintf(text_out, ", %s timesteps, %s of training",
              ShortCount(double(subject.timesteps)).c_str(),
              ShortDuration(subject.seconds).c_str());
    }
    fputs(")", text_out);
  }
  fprintf(text_out, " on %s: %u %s an opponent, seeds from %llu\n", arguments.environment.c_str(),
          arguments.games, arguments.games == 1 ? "match" : "matches",
          (unsigned long long)arguments.seed);
  fflush(text_out);
}

// Who decides here more or less often than in training.
void NoteFrameSkips(const Team& team, const EvaluationOptions& options, const Spec& spec,
                    FILE* text_out) {
  const auto frames = [&spec](uint32_t asked) { return asked > 0 ? asked : spec.frame_skip; };
  const uint32_t here = frames(options.frame_skip);
  for (const Contestant& contestant : team) {
    Config config;
    if (contestant.config_text.empty() || !ParseConfig(contestant.config_text, "", &config).ok()) {
      continue;
    }
    const uint32_t trained = frames(config.worker.frame_skip);
    if (trained == here) continue;
    fprintf(text_out, "%s decided every %u frames in training, and every %u here (--frame-skip)\n",
            contestant.player.name.c_str(), trained, here);
  }
}

absl::Status Cross(const EvalArguments& arguments, const Spec& spec, const std::vector<Team>& teams,
                   const EvaluationOptions& base, FILE* text_out, CommandContext* context) {
  const Team& contestants = teams.front();
  const size_t count = contestants.size();
  std::vector<std::vector<double>> rates(count, std::vector<double>(count, -1));
  std::vector<std::string> names;
  for (const Contestant& contestant : contestants) names.push_back(contestant.player.name);
  std::vector<EvaluationResult> rows;
  absl::Status failure;
  PrintHeader(arguments, contestants.front(), text_out);
  for (size_t row = 0; row + 1 < count; ++row) {
    auto result = PlayRow(teams, row, base);
    if (!result.ok()) return result.status();
    for (size_t column = row + 1; column < count; ++column) {
      const SideSummary both = Summarise(spec, result->opponents[column - row - 1], -1);
      const double played = double(both.won + both.lost + both.drawn + both.cut);
      if (played == 0) continue;
      rates[row][column] = both.win_rate;
      rates[column][row] = double(both.lost) / played;
    }
    const bool stopped = result->stopped;
    failure = result->failure;
    rows.push_back(*std::move(result));
    if (stopped) {
      context->exit_code = kExitStopped;
      while (rows.size() + 1 < count) rows.emplace_back().stopped = true;
      break;
    }
    if (!arguments.quiet) fprintf(stderr, "%s: done\n", names[row].c_str());
  }
  fputs(CrossTable(names, rates).c_str(), text_out);
  fputs(CrossNotes(spec, names, rows).c_str(), text_out);
  if (context->exit_code == kExitStopped) fputs(StoppedText(arguments).c_str(), text_out);
  const auto written = WriteJson(arguments, CrossJson(spec, contestants, base, rates, rows));
  return failure.ok() ? written : failure;
}

absl::Status Table(const EvalArguments& arguments, const Spec& spec, const std::vector<Team>& teams,
                   EvaluationOptions options, FILE* text_out, CommandContext* context) {
  const Contestant& subject = teams.front().front();
  PrintHeader(arguments, subject, text_out);
  if (!arguments.quiet && isatty(2)) {
    options.progress = [](const std::string& line) { fprintf(stderr, "\r\033[K%s", line.c_str()); };
  }
  const auto result = PlayRow(teams, 0, options);
  if (options.progress) fputs("\r\033[K", stderr);
  if (!result.ok()) return result.status();
  fputs(EvaluationTable(spec, *result).c_str(), text_out);
  if (result->stopped) fputs(StoppedText(arguments).c_str(), text_out);
  if (auto status = WriteJson(arguments, EvaluationJson(spec, teams.front(), options, *result));
      !status.ok()) {
    return status;
  }
  if (!result->failure.ok()) return result->failure;
  if (result->stopped) {
    context->exit_code = kExitStopped;
    return absl::OkStatus();
  }
  if (arguments.check_determinism) {
    if (auto status = CheckDeterminism(arguments, *context, *result); !status.ok()) return status;
  }
  if (arguments.require_lower >= 0) {
    for (const OpponentScore& score : result->opponents) {
      if (Summarise(spec, score, -1).wilson_low >= arguments.require_lower) continue;
      fprintf(stderr, "midlane: against %s the lower bound is %.3f, below the required %.3f\n",
              score.opponent.c_str(), Summarise(spec, score, -1).wilson_low,
              arguments.require_lower);
      context->exit_code = kExitShort;
    }
  }
  return absl::OkStatus();
}

absl::Status Eval(EvalArguments arguments, CommandContext* context) {
  if (arguments.policy == "torch" && !context->torch_policy) return BecomeTorch(*context);
  auto subject = LoadSubject(arguments, *context);
  if (!subject.ok()) return subject.status();
  const std::string asked = arguments.environment;
  EvaluationOptions options;
  if (auto status = FillFromConfig(subject->config_text, &arguments, &options); !status.ok()) {
    return status;
  }
  const bool own_place = asked.empty() && IsServerName(arguments.environment);
  const auto spec = SpecOf(options.env);
  if (absl::IsUnavailable(spec.status()) && own_place) {
    return absl::UnavailableError(
        absl::StrCat(spec.status().message(), "; it is where ", arguments.run,
                     " was trained: name another server, or the environment itself, with --env"));
  }
  if (!spec.ok()) return spec.status();
  if (auto status = CheckMatchSettings(arguments.settings, *spec, "eval"); !status.ok()) {
    return status;
  }
  if (arguments.opponents.empty()) arguments.opponents = BotsOf(arguments.environment);
  const bool alone = arguments.opponents.empty() && spec->agents.size() == 1;
  if (arguments.opponents.empty() && !alone) {
    return absl::InvalidArgumentError(absl::StrCat(
        arguments.environment, " describes no scripted bots: name opponents with --opponent"));
  }
  if (alone && arguments.cross) {
    return absl::InvalidArgumentError(
        absl::StrCat("--cross has agents meet, and ", arguments.environment,
                     " has one a world, who meets nobody: leave it out"));
  }
  // Whether it can be written is said before hours of matches, not after them.
  if (std::filesystem::is_directory(arguments.json)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--json ", arguments.json, " is a folder: name a file in it"));
  }
  const bool made = !arguments.json.empty() && arguments.json != "-" && !FileExists(arguments.json);
  if (made) {
    if (auto status = WriteJson(arguments, ""); !status.ok()) return status;
  }
  FILE* const text_out = arguments.json == "-" ? stderr : stdout;
  std::vector<Team> teams;
  for (size_t core = 0; core < AvailableCores().size(); ++core) {
    auto team = LoadTeam(arguments, *context, *spec);
    if (!team.ok()) return team.status();
    teams.push_back(*std::move(team));
  }
  NoteFrameSkips(teams.front(), options, *spec, text_out);
  const absl::Status status = arguments.cross
                                  ? Cross(arguments, *spec, teams, options, text_out, context)
                                  : Table(arguments, *spec, teams, options, text_out, context);
  if (!status.ok() && made && ReadFile(arguments.json).value_or("-").empty()) {
    unlink(arguments.json.c_str());
  }
  return status;
}

}  // namespace

void AddEvalCommand(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<EvalArguments>();
  CLI::App* command = app->add_subcommand(
      "eval",
      "Play matches of a trained agent against bots or other agents and print a table: matches\n"
      "from both sides, with fixed seeds; matches cut by the frame limit never count as won.\n"
      "Ctrl-C ends it with the table of the matches that are finished.");
  command->footer(
      "Examples:\n"
      "  midlane eval blobby                                    against every shipped bot\n"
      "  midlane eval blobby --opponent reduced --opponent hyp014:5 --games 200\n"
      "  midlane eval runs/try2 --opponent runs/blobby          agent against agent\n"
      "  midlane eval blobby --require-lower 0.5 --json out.json   exits 3 where it is not met\n"
      "  midlane eval --env blobby --policy random --games 10   before anything is trained");
  command->add_option(
      "run", arguments->run,
      "a run by name or folder (its mean weights of the last part of training), a "
      "checkpoint file, RUN@last (the very last weights), or RUN@VERSION of its pool");
  command->add_option("--env", arguments->environment, "default: the one it was trained on");
  command
      ->add_option("--opponent", arguments->opponents,
                   "a bot as NAME or NAME:STRENGTH, or a run with a slash, like runs/other "
                   "(repeatable; default: every bot of the environment)")
      ->allow_extra_args(false);
  command
      ->add_option("--setting", arguments->settings, "a world setting as NAME=VALUE (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--games", arguments->games, "matches against each opponent (200)")
      ->transform(Count(1, 1000000));
  command->add_option("--parallel", arguments->parallel, "worlds at once (default: four a core)")
      ->transform(Count(1, 4096));
  command->add_option("--seed", arguments->seed, "of the first match; the others count up (1000)")
      ->transform(Count(1));
  command->add_option("--frames-max", arguments->frames_max, "longer matches are cut (4000000)")
      ->transform(Count(1, uint64_t{1} << 62));
  command->add_option("--frame-skip", arguments->frame_skip, "default: as it was trained")
      ->transform(Count(1, 1000));
  command->add_option("--policy", arguments->policy, "native, torch, or random")
      ->check(CLI::IsMember({"native", "torch", "random"}));
  command->add_option("--json", arguments->json, "everything as JSON into a file (-: stdout)")
      ->check([](const std::string& file) {
        return file.empty() || file.rfind("--", 0) == 0 ? "give a file, or - for stdout" : "";
      });
  CLI::Option* const lower =
      command
          ->add_option("--require-lower", arguments->require_lower,
                       "exit 3 where a lower bound of the win rate is below this")
          ->check(InRange(0.0, 1.0));
  command->add_flag("--sample", arguments->sample,
                    "actions sampled from the policy, as in training, in place of the likeliest");
  CLI::Option* const determinism =
      command->add_flag("--check-determinism", arguments->check_determinism,
                        "play some matches again in a new process and compare their hashes");
  command->add_flag("--cross", arguments->cross, "everyone against everyone: a table of win rates")
      ->excludes(lower)
      ->excludes(determinism);
  command->add_flag("--quiet", arguments->quiet, "no progress");
  command->callback([arguments, context] {
    const absl::Status status = Eval(*arguments, context);
    if (!status.ok()) context->exit_code = Report(status);
  });
}

}  // namespace midlane
