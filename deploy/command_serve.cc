#include "deploy/command_serve.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "deploy/serve.h"

namespace midlane {

void AddServeCommand(CLI::App* app, CommandContext* context) {
  CLI::App* command = app->add_subcommand(
      "serve",
      "Serve an environment to clients in any language, over gRPC (dm_env_rpc v1).\n"
      "Each CreateWorld starts a game of its own. docs/protocol.md shows a first client.");
  command->footer(
      "Examples:\n"
      "  midlane serve blobby --listen unix:///tmp/blobby.sock   for clients of this user\n"
      "  midlane serve blobby --listen 127.0.0.1:5005            for clients of this machine\n"
      "  midlane serve blobby --listen 0.0.0.0:5005 --tls-ca keys/ca.pem --tls-cert "
      "keys/server.pem \\\n"
      "      --tls-key keys/server.key                           for clients with a certificate "
      "(midlane keys)\n"
      "A game without a folder in envs/: midlane preload --serve");
  auto arguments = std::make_shared<ServeArguments>();
  command->add_option("environment", arguments->environment, "name of a folder of envs/, or null")
      ->required();
  command
      ->add_option("--listen", arguments->server.listen,
                   "unix:///PATH (a socket for this user only) or HOST:PORT (port 0: any free one)")
      ->required();
  AddServeOptions(command, arguments.get());
  command->callback([arguments, context] { context->exit_code = Report(Serve(*arguments)); });
}

}  // namespace midlane
