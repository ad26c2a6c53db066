// What of the command line needs gRPC: remote.cc in a build with MIDLANE_RPC, else
// remote_absent.cc.
#ifndef MIDLANE_DEPLOY_REMOTE_H_
#define MIDLANE_DEPLOY_REMOTE_H_

#include "deploy/command.h"

namespace midlane {

// From now on MakeEnv knows grpc://HOST:PORT and its kin. Without gRPC: its error says so.
void RegisterRemoteEnvs();

// Adds `serve` and `keys`. Without gRPC: nothing. `context` must outlive `app`.
void AddRemoteCommands(CLI::App* app, CommandContext* context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_REMOTE_H_
