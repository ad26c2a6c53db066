// midlane-torch: the commands that need libtorch; midlane becomes this program by itself.
#include <stdio.h>

#include <CLI/CLI.hpp>

#include "deploy/command.h"
#include "deploy/command_eval.h"
#include "deploy/command_learn.h"
#include "deploy/command_rollout.h"
#include "deploy/remote.h"
#include "deploy/torch_info.h"
#include "rollout/policy/torch/torch_policy.h"

int main(int argc, char** argv) {
  CLI::App app("The part of Midlane that links libtorch; use midlane.", "midlane");
  app.require_subcommand(1);
  midlane::RegisterRemoteEnvs();
  midlane::CommandContext context{argc, argv, 0, midlane::MakeTorchPolicy};
  midlane::AddLearnCommand(&app, &context);
  midlane::AddRolloutCommand(&app, &context);
  midlane::AddEvalCommand(&app, &context);
  CLI::App* info = app.add_subcommand("torch-info", "What libtorch says of itself.");
  info->group("");  // hidden
  info->callback([] { fputs(midlane::TorchInfo().c_str(), stdout); });
  return midlane::RunCommandLine(&app, &context);
}
