#include "deploy/remote.h"

namespace midlane {

void RegisterRemoteEnvs() {}

void AddRemoteCommands(CLI::App*, CommandContext*) {}

ServeEnvironment AddServer(CLI::App*) { return {}; }

}  // namespace midlane
