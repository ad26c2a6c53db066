#include "deploy/command_keys.h"

#include <stdio.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "bridge/rpc/keys.h"
#include "deploy/option_checks.h"

namespace midlane {
namespace {

struct KeysArguments {
  rpc::KeyOptions keys;
  std::vector<std::string> hosts;
};

absl::Status Keys(KeysArguments arguments) {
  rpc::KeyOptions& keys = arguments.keys;
  keys.hosts.insert(keys.hosts.begin(), arguments.hosts.begin(), arguments.hosts.end());
  const absl::Status status = rpc::MakeKeys(keys);
  if (!status.ok()) return status;
  const char* folder = keys.folder.c_str();
  const char* host = keys.hosts.front().c_str();
  printf(
      "%s/ holds a set of keys, valid for %d days:\n"
      "  ca.pem, ca.key          the authority; keep ca.key away from both machines\n"
      "  server.pem, server.key  for the machine that serves, as %s\n"
      "  client.pem, client.key  for the machines that connect\n"
      "Serve:\n"
      "  midlane serve blobby --listen 0.0.0.0:5000 --tls-ca %s/ca.pem --tls-cert %s/server.pem "
      "--tls-key %s/server.key\n"
      "Connect (with ca.pem, client.pem and client.key copied over):\n"
      "  MIDLANE_TLS_DIR=%s midlane rollout ... --env grpc+tls://%s:5000\n"
      "  Python: grpc.ssl_channel_credentials(ca, client_key, client_cert), the files' bytes\n"
      "Whoever holds client.key may play; make real keys with your own authority.\n",
      folder, keys.days, host, folder, folder, folder, folder, host);
  return absl::OkStatus();
}

}  // namespace

void AddKeysCommand(CLI::App* app, CommandContext* context) {
  CLI::App* command = app->add_subcommand(
      "keys",
      "Make a certificate authority and keys of one server and one client, for trying\n"
      "`midlane serve` between machines, and say how to use them.");
  auto arguments = std::make_shared<KeysArguments>();
  command->add_option("folder", arguments->keys.folder, "where they go; made where it is missing")
      ->required();
  command->add_option("--host", arguments->hosts,
                      "name or IP address that clients connect to (repeats)");
  command->add_option("--days", arguments->keys.days, "how long they are valid")
      ->capture_default_str()
      ->transform(Count(1, 3650));
  command->callback([arguments, context] { context->exit_code = Report(Keys(*arguments)); });
}

}  // namespace midlane
