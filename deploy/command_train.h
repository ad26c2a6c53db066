// `midlane train`: a whole run on this machine: learner, workers, supervision, progress.
#ifndef MIDLANE_DEPLOY_COMMAND_TRAIN_H_
#define MIDLANE_DEPLOY_COMMAND_TRAIN_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddTrainCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_TRAIN_H_
