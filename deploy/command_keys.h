// `midlane keys`: certificates for trying a bridge between machines.
#ifndef MIDLANE_DEPLOY_COMMAND_KEYS_H_
#define MIDLANE_DEPLOY_COMMAND_KEYS_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddKeysCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_KEYS_H_
