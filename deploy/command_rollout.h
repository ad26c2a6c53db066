// `midlane rollout`: one worker: games, policy, experience.
#ifndef MIDLANE_DEPLOY_COMMAND_ROLLOUT_H_
#define MIDLANE_DEPLOY_COMMAND_ROLLOUT_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddRolloutCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_ROLLOUT_H_
