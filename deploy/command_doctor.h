// `midlane doctor`: what this machine has and lacks, in words.
#ifndef MIDLANE_DEPLOY_COMMAND_DOCTOR_H_
#define MIDLANE_DEPLOY_COMMAND_DOCTOR_H_

#include "deploy/command.h"

namespace midlane {

// `context` must outlive `app`.
void AddDoctorCommand(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_COMMAND_DOCTOR_H_
