#include "deploy/remote.h"

#include "bridge/rpc/grpc_env.h"
#include "deploy/command_keys.h"
#include "deploy/command_serve.h"

namespace midlane {

void RegisterRemoteEnvs() { rpc::RegisterGrpcEnv(); }

void AddRemoteCommands(CLI::App* app, CommandContext* context) {
  AddServeCommand(app, context);
  AddKeysCommand(app, context);
}

}  // namespace midlane
