#include "deploy/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "deploy/files.h"
#include "deploy/nearest.h"

namespace midlane {
namespace {

std::function<void()>* g_stop = nullptr;
constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP};

void HandleStop(int) {
  if (g_stop) (*g_stop)();
}

std::vector<const CLI::App*> Commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

const CLI::App* FindCommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : Commands(app)) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

// What is wrong with the command line, and what may have been meant.
std::string Refusal(const CLI::App& app, int argc, char** argv, const CLI::ParseError& error) {
  if (argc < 2) return error.what();
  const CLI::App* chosen = FindCommand(app, argv[1]);
  std::vector<std::string> commands;
  for (const CLI::App* command : Commands(app)) {
    if (!command->get_group().empty()) commands.push_back(command->get_name());
  }
  if (!chosen) {
    if (argv[1][0] == '-') return error.what();
    return absl::StrCat(argv[1], " is no command", NearestHint(argv[1], commands));
  }
  std::vector<std::string> options;
  for (const CLI::Option* option : chosen->get_options()) {
    for (const std::string& name : option->get_lnames())
      options.push_back(absl::StrCat("--", name));
  }
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") break;
    if (!absl::StartsWith(word, "--")) continue;
    const std::string name = word.substr(0, word.find('='));
    if (std::find(options.begin(), options.end(), name) == options.end()) {
      return absl::StrCat(
          name, " is no option of ", argv[1],
          NearestHint(name, options, absl::StrCat(argv[0], " ", argv[1], " --help")));
    }
  }
  const std::vector<std::string> extras = chosen->remaining();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !extras.empty()) {
    const std::string& extra = extras.front();
    for (int i = 4; i < argc; ++i) {
      const std::string option = argv[i - 2];
      if (argv[i] != extra || std::find(options.begin(), options.end(), option) == options.end()) {
        continue;
      }
      return absl::StrCat(option, " takes one value at a time, so ", extra,
                          " is one word too many: repeat it, like ", option, " ", argv[i - 1], " ",
                          option, " ", extra);
    }
    if (chosen->get_option_no_throw("--opponent")) {
      return absl::StrCat(error.what(), ": whom to play is --opponent ", extra);
    }
  }
  if (chosen->get_name() == "preload" &&
      std::find(argv, argv + argc, absl::string_view("--")) == argv + argc) {
    return absl::StrCat(error.what(), ": put -- before the program, like ", argv[0],
                        " preload -- PROGRAM ARGS");
  }
  return error.what();
}

int Refuse(const CLI::App& app, const CommandContext& context, const CLI::ParseError& error) {
  const std::string command = context.argc > 1 ? context.argv[1] : "";
  const bool known = FindCommand(app, command) != nullptr;
  fprintf(stderr, "midlane: %s\n", Refusal(app, context.argc, context.argv, error).c_str());
  fprintf(stderr, "See: %s %s%s--help\n", context.program().c_str(), known ? command.c_str() : "",
          known ? " " : "");
  return kExitUsage;
}

}  // namespace

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  fprintf(stderr, "midlane: %s\n", std::string(status.message()).c_str());
  return kExitFailed;
}

absl::Status BecomeTorch(const CommandContext& context) {
  const std::string path = absl::StrCat(ExecutableDir(), "/midlane-torch");
  std::vector<char*> argv(context.argv, context.argv + context.argc);
  argv.push_back(nullptr);
  execv(path.c_str(), argv.data());
  return absl::FailedPreconditionError(
      absl::StrCat("cannot run ", path, ": ", strerror(errno),
                   "; this build has no libtorch (MIDLANE_TORCH=OFF): run deploy/setup"));
}

StopOnSignal::StopOnSignal(std::function<void()> stop) {
  g_stop = new std::function<void()>(std::move(stop));
  for (const int signal : kStopSignals) ::signal(signal, HandleStop);
}

StopOnSignal::~StopOnSignal() {
  for (const int signal : kStopSignals) ::signal(signal, SIG_DFL);
  delete g_stop;
  g_stop = nullptr;
}

std::string RunFolder(const std::string& run) {
  return absl::StrContains(run, '/') ? run : absl::StrCat("runs/", run);
}

absl::Status AddSettings(const std::vector<std::string>& assignments, Settings* settings) {
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--setting ", assignment, ": write NAME=VALUE, like points_to_win=15"));
    }
    (*settings)[assignment.substr(0, equals)] = assignment.substr(equals + 1);
  }
  return absl::OkStatus();
}

absl::Status ApplyOverrides(const std::string& file, const std::vector<std::string>& assignments,
                            Config* config) {
  if (!file.empty()) {
    if (auto status = ReadConfigFile(file, config); !status.ok()) return status;
  }
  for (const std::string& assignment : assignments) {
    if (auto status = SetConfigValue(assignment, config); !status.ok()) return status;
  }
  return absl::OkStatus();
}

int RunCommandLine(CLI::App* app, CommandContext* context) {
  // Debian builds Abseil with the check, which walks a graph at every lock; tests keep it.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  app->set_version_flag("--version", "midlane " MIDLANE_VERSION);
  // Examples as this user would type them.
  const std::string called = absl::StrCat("  ", context->program(), " ");
  std::vector<CLI::App*> apps = app->get_subcommands([](CLI::App*) { return true; });
  apps.push_back(app);
  for (CLI::App* each : apps) {
    each->footer(absl::StrReplaceAll(
        each->get_footer(), {{"  midlane ", called}, {"&& midlane ", "&&" + called.substr(1)}}));
  }
  try {
    app->parse(context->argc, context->argv);
  } catch (const CLI::CallForHelp& help) {
    if (context->argc > 1 && context->argv[1][0] != '-' && !FindCommand(*app, context->argv[1])) {
      return Refuse(*app, *context, help);
    }
    return app->exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app->exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app->exit(version);
  } catch (const CLI::ParseError& error) {
    return Refuse(*app, *context, error);
  }
  return context->exit_code;
}

}  // namespace midlane
