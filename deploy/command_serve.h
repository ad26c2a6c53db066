// `midlane serve`: an environment as a dm_env_rpc server, for clients in any language.
#ifndef MIDLANE_DEPLOY_COMMAND_SERVE_H_
#define MIDLANE_DEPLOY_COMMAND_SERVE_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddServeCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_SERVE_H_
