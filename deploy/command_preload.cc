#include "deploy/command_preload.h"

#include <stdio.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>

#include "absl/strings/str_cat.h"
#include "bridge/preload_run.h"

namespace midlane {
namespace {

struct PreloadArguments {
  std::vector<std::string> command;
  std::string executable;
  double seconds = 0;
  bool vanilla = false;
};

std::string Words(const PreloadReport& report) {
  if (!report.refusal.empty()) return report.refusal;
  std::string out;
  if (report.found_lua()) {
    const Announcement& found = report.found;
    out = absl::StrCat("found Lua ", found.dialect, " (", found.linkage, ": ", found.library,
                       ") in ", found.executable, "\n  states ", found.states, ", chunks ",
                       found.chunks, ", calls ", found.calls);
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
  options.found = [](const PreloadReport& report) {
    fprintf(stderr, "midlane: %s\n", Words(report).c_str());
  };
  const auto report = RunPreloaded(options);
  if (!report.ok()) return report.status();
  fprintf(stderr, "midlane: at the end: %s\n", Words(*report).c_str());
  if (report->exited)
    fprintf(stderr, "midlane: the program ended with %s\n", report->exit_text.c_str());
  if (!report->found_lua() && !arguments.vanilla) context->exit_code = kExitFailed;
  return absl::OkStatus();
}

}  // namespace

void AddPreloadCommand(CLI::App* app, CommandContext* context) {
  auto arguments = std::make_shared<PreloadArguments>();
  CLI::App* command = app->add_subcommand(
      "preload",
      "Run any program under the shim, as it is, and say what the shim found in it: which Lua, "
      "how\n"
      "it is linked, how many states, chunks and calls. Exits 1 where there is no Lua.");
  command->footer(
      "Examples:\n"
      "  midlane preload -- /usr/games/blobby\n"
      "  midlane preload --seconds 10 -- /usr/games/minetestserver --worldname test\n"
      "  midlane preload --vanilla -- GAME     every hook passes through: proves the shim "
      "harmless");
  command->add_option("command", arguments->command, "the program and its arguments, after --")
      ->required();
  command->add_option("--executable", arguments->executable,
                      "file name of the process to look into, where a wrapper starts it");
  command->add_option("--seconds", arguments->seconds, "stop the program after so long");
  command->add_flag("--vanilla", arguments->vanilla, "every hook passes through");
  command->callback([arguments, context] {
    const absl::Status status = Preload(*arguments, context);
    if (!status.ok()) context->exit_code = Report(status);
  });
}

}  // namespace midlane
