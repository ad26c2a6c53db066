#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "deploy/remote.h"

namespace midlane {

void RegisterRemoteEnvs() {}

void AddRemoteCommands(CLI::App* app, CommandContext* context) {
  for (const char* name : {"serve", "keys"}) {
    CLI::App* command = app->add_subcommand(name, "Not in this build: it has no gRPC.");
    command->allow_extras();
    command->callback([context, name] {
      context->exit_code = Report(absl::UnimplementedError(absl::StrCat(
          name,
          " is not in this build, which has no gRPC: install Debian's libgrpc++-dev and build "
          "with -DMIDLANE_RPC=ON")));
    });
  }
}

ServeEnvironment AddServer(CLI::App*) { return {}; }

}  // namespace midlane
