#include "deploy/remote.h"

namespace midlane {

void RegisterRemoteEnvs() {}

void AddRemoteCommands(CLI::App*, CommandContext*) {}

}  // namespace midlane
