// `midlane watch`: matches of a trained agent in the game's own window, at the pace of a person.
#ifndef MIDLANE_DEPLOY_COMMAND_WATCH_H_
#define MIDLANE_DEPLOY_COMMAND_WATCH_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddWatchCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_WATCH_H_
