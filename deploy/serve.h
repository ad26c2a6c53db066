// Serving an environment until Ctrl-C: what `midlane serve` and `midlane preload --serve` share.
#ifndef MIDLANE_DEPLOY_SERVE_H_
#define MIDLANE_DEPLOY_SERVE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "bridge/env.h"
#include "bridge/rpc/server.h"

namespace CLI {
class App;
}  // namespace CLI

namespace midlane {

struct ServeArguments {
  std::string environment;
  rpc::ServerOptions server;
  EnvOptions env;
  double grace_seconds = 10;
  double barrier_seconds = 600;
  std::optional<double> timeout_seconds;
};

// Every option of a server but where it listens. `arguments` must outlive `command`.
void AddServeOptions(CLI::App* command, ServeArguments* arguments);

// Returns once a signal has ended it and every world is gone.
absl::Status Serve(ServeArguments arguments);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_SERVE_H_
