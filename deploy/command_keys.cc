#include "deploy/command_keys.h"

#include <stdio.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "bridge/rpc/keys.h"
#include "deploy/option_checks.h"

namespace midlane {
namespace {

struct KeysArguments {
  rpc::KeyOptions keys;
  std::vector<std::string> hosts;
};

absl::Status Keys(KeysArguments arguments, const CommandContext& context) {
  rpc::KeyOptions& keys = arguments.keys;
  for (const std::string& host : keys.hosts) {
    const bool named =
        std::find(arguments.hosts.begin(), arguments.hosts.end(), host) != arguments.hosts.end();
    if (!named) arguments.hosts.push_back(host);
  }
  keys.hosts = arguments.hosts;
  const absl::Status status = rpc::MakeKeys(keys);
  if (!status.ok()) return status;
  const char* folder = keys.folder.c_str();
  const char* host = keys.hosts.front().c_str();
  const std::string hosts = absl::StrJoin(keys.hosts, ", ");
  const std::string program = context.program();
  printf(
      "%s/ holds a set of keys, valid for %d days:\n"
      "  ca.pem, ca.key          the authority; keep ca.key away from both machines\n"
      "  server.pem, server.key  for the machine that serves, as %s\n"
      "  client.pem, client.key  for the machines that connect\n"
      "Serve:\n"
      "  %s serve blobby --listen 0.0.0.0:5000 --tls-ca %s/ca.pem --tls-cert %s/server.pem "
      "--tls-key %s/server.key\n"
      "Connect (with ca.pem, client.pem and client.key copied over):\n"
      "  MIDLANE_TLS_DIR=%s %s train grpc+tls://%s:5000\n"
      "  Python: grpc.ssl_channel_credentials(ca, client_key, client_cert), the files' bytes\n"
      "Whoever holds client.key may play; make real keys with your own authority.\n",
      folder, keys.days, hosts.c_str(), program.c_str(), folder, folder, folder, folder,
      program.c_str(), host);
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
  command->callback(
      [arguments, context] { context->exit_code = Report(Keys(*arguments, *context)); });
}

}  // namespace midlane
