#include "deploy/command_preload.h"

#include <stdio.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "bridge/description.h"
#include "bridge/game_env.h"
#include "bridge/launcher.h"
#include "bridge/make_env.h"
#include "bridge/preload_run.h"
#include "deploy/remote.h"

namespace midlane {
namespace {

struct PreloadArguments {
  std::vector<std::string> command;
  std::string executable;
  double seconds = 0;
  bool vanilla = false;
  std::string serve;  // where to listen; empty: only look what the shim finds
  std::string adapter;
  std::vector<std::string> settings;
  std::string clock = "virtual";
};

std::string Counts(const Announcement& found) {
  return absl::StrCat("states ", found.states, ", chunks ", found.chunks, ", calls ", found.calls);
}

std::string Words(const PreloadReport& report) {
  if (!report.refusal.empty()) return report.refusal;
  std::string out;
  if (report.found_lua()) {
    const Announcement& found = report.found;
    const bool jit = found.dialect == "luajit";
    out = absl::StrCat("found ", jit ? "LuaJIT" : "Lua " + found.dialect, " (", found.linkage, ": ",
                       found.library, ") in ", found.executable, "\n  ", Counts(found));
    if (found.chunks == 0) {
      absl::StrAppend(&out,
                      "\n  - no script has run yet: a game in its menu often loads them with a "
                      "match; begin one, the counts at the end will show it");
    }
  } else {
    out = report.announced ? "the shim is in the program and has seen no Lua"
                           : "the shim did not get into the program";
  }
  for (const std::string& cause : report.causes) absl::StrAppend(&out, "\n  - ", cause);
  return out;
}

absl::Status Preload(const PreloadArguments& arguments, CommandContext* context) {
  volatile std::sig_atomic_t stopped = 0;
  StopOnSignal stop([&stopped] { stopped = 1; });
  PreloadOptions options;
  options.command = arguments.command;
  options.executable = arguments.executable;
  options.vanilla = arguments.vanilla;
  if (arguments.seconds > 0) options.run_limit = absl::Seconds(arguments.seconds);
  options.stop = [&stopped] { return stopped != 0; };
  std::string said;
  bool said_lua = false;
  options.runs_again = [](const std::string& started) {
    fprintf(stderr, "midlane: it is a script, which %s, and now runs once more%s\n",
            started.empty() ? "started nothing that stayed" : ("started " + started).c_str(),
            started.empty() ? " (--executable NAME: once alone)"
                            : absl::StrCat(" (--executable ", started, ": once alone)").c_str());
  };
  options.found = [&](const PreloadReport& report) {
    said = Words(report);
    said_lua = report.found_lua();
    fprintf(stderr, "midlane: %s\n", said.c_str());
  };
  const auto report = RunPreloaded(options);
  if (!report.ok()) return report.status();
  const std::string words = Words(*report);
  if (words == said) {
    fprintf(stderr, "midlane: nothing more was found until the end\n");
  } else if (said_lua && report->refusal.empty()) {
    fprintf(stderr, "midlane: at the end: %s\n", Counts(report->found).c_str());
  } else {
    fprintf(stderr, "midlane: at the end: %s\n", words.c_str());
  }
  if (report->exited) {
    fprintf(stderr, "midlane: the program ended with %s\n", report->exit_text.c_str());
  } else if (stopped == 0) {
    fprintf(stderr, "midlane: its %g s are over: the program was stopped\n", arguments.seconds);
  }
  if (!report->found_lua() && !arguments.vanilla) context->exit_code = kExitFailed;
  return absl::OkStatus();
}

bool IsScript(const std::string& program) {
  std::ifstream file(program, std::ios::binary);
  char head[2] = {};
  return file.read(head, sizeof head) && head[0] == '#' && head[1] == '!';
}

// Serves the game of the command line to clients, each world a process of its own.
absl::Status ServeCommand(const PreloadArguments& arguments, const std::string& program_name,
                          const ServeEnvironment& serve) {
  if (!serve) {
    return absl::UnimplementedError(
        "this build has no gRPC, so it cannot serve: configure it with -DMIDLANE_RPC=ON");
  }
  const absl::StatusOr<std::string> program = FindExecutable(arguments.command.front());
  if (!program.ok()) return program.status();
  if (arguments.executable.empty() && IsScript(*program)) {
    return absl::InvalidArgumentError(absl::StrCat(
        arguments.command.front(),
        " is a script that starts the game: name the game's own process with --executable NAME; `",
        program_name, " preload -- ", arguments.command.front(),
        "` says which one that is (found Lua ... in /PATH/NAME)"));
  }
  CommandGame game;
  game.command = arguments.command;
  game.executable = arguments.executable;
  game.adapter = arguments.adapter;
  game.virtual_clock = arguments.clock == "virtual";
  if (auto status = AddSettings(arguments.settings, &game.settings); !status.ok()) return status;
  const absl::StatusOr<GameDescription> description = DescribeCommand(game);
  if (!description.ok()) return description.status();
  RegisterEnvironment(
      description->name,
      [description = *description](const EnvOptions& options) {
        return MakeGameEnv(options, description, PreloadPath());
      },
      description->settings);
  return serve(description->name, arguments.serve);
}

}  // namespace

void AddPreloadCommand(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<PreloadArguments>();
  CLI::App* command = app->add_subcommand(
      "preload",
      "Run any program under the shim, as it is but with nothing on its standard input, and say\n"
      "what the shim found in it: which Lua, how it is linked, how many states, chunks and calls.\n"
      "Exits 1 where there is no Lua. With --serve and an adapter: serve the game to clients in\n"
      "any language over gRPC, without a folder in envs/; each CreateWorld starts a process of\n"
      "its own.");
  command->footer(
      "Examples:\n"
      "  midlane preload -- /usr/games/blobby\n"
      "  midlane preload --seconds 10 -- /usr/games/minetestserver --worldname test\n"
      "  midlane preload --vanilla -- GAME     every hook passes through: proves the shim "
      "harmless\n"
      "  midlane preload --serve unix:///tmp/game.sock --adapter adapter.lua -- GAME ARGS");
  command->add_option("command", arguments->command, "the program and its arguments, after --")
      ->required();
  command
      ->add_option("--executable", arguments->executable,
                   "file name of the process to look into, where a wrapper starts it (default: "
                   "a script is started once to see what it starts, and again to look into it)")
      ->transform(
          [](const std::string& path) { return std::filesystem::path(path).filename().string(); });
  CLI::Option* seconds = command->add_option("--seconds", arguments->seconds,
                                             "stop the program after so long; 0: never");
  CLI::Option* vanilla =
      command->add_flag("--vanilla", arguments->vanilla, "every hook passes through");
  CLI::Option* serve = command->add_option(
      "--serve", arguments->serve,
      "serve the game: unix:///PATH (a socket for this user only) or HOST:PORT (port 0: any free "
      "one)");
  CLI::Option* adapter = command->add_option(
      "--adapter", arguments->adapter,
      "the game's adapter, a Lua file; the environment that it declares has the name of the "
      "program's file");
  serve->needs(adapter)->excludes(seconds)->excludes(vanilla);
  adapter->needs(serve);
  command
      ->add_option(
          "--setting", arguments->settings,
          "a setting that clients may give to a world, as NAME=VALUE, its default (repeatable)")
      ->allow_extra_args(false)
      ->needs(serve);
  command
      ->add_option("--clock", arguments->clock,
                   "of a served game: virtual (as fast as it goes) or real")
      ->capture_default_str()
      ->check(CLI::IsMember({"virtual", "real"}))
      ->needs(serve);
  const size_t own_options = command->get_options().size();
  const ServeEnvironment server = AddServer(command);
  const std::vector<CLI::Option*> options = command->get_options();
  for (size_t i = own_options; i < options.size(); ++i) options[i]->needs(serve);
  command->callback([arguments, context, server] {
    const absl::Status status = arguments->serve.empty()
                                    ? Preload(*arguments, context)
                                    : ServeCommand(*arguments, context->program(), server);
    if (!status.ok()) context->exit_code = Report(status);
  });
}

}  // namespace midlane
