// midlane: the command line. Links no libtorch; what needs it is midlane-torch (torch_main.cc),
// which this program becomes where it must.
#include <CLI/CLI.hpp>

#include "deploy/command.h"
#include "deploy/command_doctor.h"
#include "deploy/command_eval.h"
#include "deploy/command_preload.h"
#include "deploy/command_rollout.h"
#include "deploy/command_train.h"
#include "deploy/command_watch.h"
#include "deploy/remote.h"

namespace {

// `midlane learn ...` is midlane-torch's; here it is only listed and handed over, --help included.
void AddLearnStub(CLI::App* app, midlane::CommandContext* context) {
  CLI::App* command = app->add_subcommand(
      "learn", "Run one learner for a run folder (midlane train starts one by itself).");
  command->set_help_flag();
  command->allow_extras();
  command->callback(
      [context] { context->exit_code = midlane::Report(midlane::BecomeTorch(*context)); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Midlane attaches learning agents to games that script their bots in Lua, and trains them.",
      "midlane");
  app.footer(
      "Begin with:\n"
      "  midlane doctor                    is everything here that it needs?\n"
      "  midlane train blobby              train until Ctrl-C; the same command goes on\n"
      "  midlane eval blobby               how good is the agent, against whom?\n"
      "  midlane watch blobby              see it play, in the game's own window");
  app.require_subcommand(1);
  midlane::RegisterRemoteEnvs();
  midlane::CommandContext context{argc, argv, 0, nullptr};
  midlane::AddTrainCommand(&app, &context);
  midlane::AddEvalCommand(&app, &context);
  midlane::AddWatchCommand(&app, &context);
  midlane::AddPreloadCommand(&app, &context);
  midlane::AddDoctorCommand(&app, &context);
  midlane::AddRemoteCommands(&app, &context);
  midlane::AddRolloutCommand(&app, &context);
  AddLearnStub(&app, &context);
  return midlane::RunCommandLine(&app, &context);
}
