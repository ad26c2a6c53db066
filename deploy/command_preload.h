// `midlane preload`: any game under the shim, and what the shim found in it.
#ifndef MIDLANE_DEPLOY_COMMAND_PRELOAD_H_
#define MIDLANE_DEPLOY_COMMAND_PRELOAD_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddPreloadCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_PRELOAD_H_
