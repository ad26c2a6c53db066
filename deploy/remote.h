// What of the command line needs gRPC: remote.cc in a build with MIDLANE_RPC, else
// remote_absent.cc.
#ifndef MIDLANE_DEPLOY_REMOTE_H_
#define MIDLANE_DEPLOY_REMOTE_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "deploy/command.h"

namespace midlane {

// From now on MakeEnv knows grpc://HOST:PORT and its kin. Without gRPC: its error says so.
void RegisterRemoteEnvs();

// Adds `serve` and `keys`. Without gRPC: they say so. `context` must outlive `app`.
void AddRemoteCommands(CLI::App* app, CommandContext* context);

// Adds to `command` the options of a server, and answers what serves an environment by name, at an
// address as of `midlane serve --listen`, until a signal. Without gRPC: adds nothing and answers
// an empty function.
using ServeEnvironment =
    std::function<absl::Status(const std::string& environment, const std::string& listen)>;
ServeEnvironment AddServer(CLI::App* command);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_REMOTE_H_
