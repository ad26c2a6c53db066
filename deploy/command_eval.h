// `midlane eval`: matches of a trained agent against bots and other agents, as a table.
#ifndef MIDLANE_DEPLOY_COMMAND_EVAL_H_
#define MIDLANE_DEPLOY_COMMAND_EVAL_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddEvalCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_EVAL_H_
