// `midlane learn`: one learner, for a run folder. Linked into midlane-torch only.
#ifndef MIDLANE_DEPLOY_COMMAND_LEARN_H_
#define MIDLANE_DEPLOY_COMMAND_LEARN_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddLearnCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_LEARN_H_
