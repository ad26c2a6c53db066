#include "deploy/remote.h"

#include <stdlib.h>

#include <memory>

#include "bridge/rpc/grpc_env.h"
#include "deploy/command_keys.h"
#include "deploy/command_serve.h"
#include "deploy/serve.h"

namespace midlane {

void RegisterRemoteEnvs() {
  // gRPC's own log repeats at length what our errors say; who wants it sets the variable.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  rpc::RegisterGrpcEnv();
}

void AddRemoteCommands(CLI::App* app, CommandContext* context) {
  AddServeCommand(app, context);
  AddKeysCommand(app, context);
}

ServeEnvironment AddServer(CLI::App* command) {
  auto arguments = std::make_shared<ServeArguments>();
  AddServeOptions(command, arguments.get());
  return [arguments](const std::string& environment, const std::string& listen) {
    arguments->environment = environment;
    arguments->server.listen = listen;
    return Serve(*arguments);
  };
}

}  // namespace midlane
