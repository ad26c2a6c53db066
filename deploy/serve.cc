#include "deploy/serve.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bridge/make_env.h"
#include "deploy/command.h"
#include "deploy/config.h"
#include "deploy/option_checks.h"

namespace midlane {
namespace {

// How much longer a world waits for its Env than the Env for its game.
constexpr absl::Duration kBeyondEnv = absl::Seconds(10);

}  // namespace

void AddServeOptions(CLI::App* command, ServeArguments* arguments) {
  command->add_option("--tls-ca", arguments->server.tls.ca,
                      "PEM file: the authority whose certificates clients must have");
  command->add_option("--tls-cert", arguments->server.tls.cert,
                      "PEM file: this server's certificate");
  command->add_option("--tls-key", arguments->server.tls.key, "PEM file: its key");
  command->add_option("--worlds", arguments->server.registry.worlds_max, "worlds (games) at once")
      ->capture_default_str()
      ->transform(Count(1, 4096));
  command
      ->add_option("--connections", arguments->server.connections_max,
                   "streams at once; an agent is one, and so is a lane")
      ->capture_default_str()
      ->transform(Count(1, 65536));
  command->add_option("--message-bytes", arguments->server.message_bytes_max, "longest request")
      ->capture_default_str()
      ->transform(Count(1024, 1 << 30));
  command
      ->add_option("--grace-seconds", arguments->grace_seconds,
                   "how long a world lives on when its creator and all agents are gone")
      ->capture_default_str()
      ->check(InRange(0.0, 1e6));
  command
      ->add_option("--barrier-seconds", arguments->barrier_seconds,
                   "how long an agent's step waits for the other agents")
      ->capture_default_str()
      ->check(InRange(0.001, 1e6));
  command
      ->add_option("--timeout-seconds", arguments->timeout_seconds,
                   "how long a game may take to answer (default 20), and to start (default: "
                   "start_timeout_seconds of its game.toml)")
      ->check(InRange(0.1, 1e6));
  command
      ->add_option("--seed", arguments->server.registry.seed,
                   "of the first world; the next gets the next")
      ->capture_default_str()
      ->transform(Count(0));
  command
      ->add_option("--speed", arguments->env.speed, "game seconds a second; 0: as fast as it goes")
      ->capture_default_str()
      ->check(InRange(0.0, 1e6));
  command
      ->add_option("--render-every", arguments->env.render_every, "draw every n-th frame; 0: never")
      ->capture_default_str()
      ->transform(Count(0, 1000000));
}

absl::Status Serve(ServeArguments arguments) {
  if (IsServerName(arguments.environment)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", arguments.environment,
                     "' is behind a server already: have clients connect to that one"));
  }
  const absl::StatusOr<EnvironmentInfo> info = DescribeEnvironment(arguments.environment);
  if (!info.ok()) return info.status();
  rpc::ServerOptions& server_options = arguments.server;
  rpc::RegistryOptions& registry = server_options.registry;
  registry.environment = arguments.environment;
  registry.info = *info;
  const absl::StatusOr<Config> config = EnvironmentConfig(arguments.environment);
  if (!config.ok()) return config.status();
  for (const auto& [term, weight] : config->learner.rewards) {
    registry.weights[term] = weight.to;  // where training ends
  }
  registry.grace = absl::Seconds(arguments.grace_seconds);
  registry.barrier_timeout = absl::Seconds(arguments.barrier_seconds);
  EnvOptions env_options = arguments.env;
  env_options.name = arguments.environment;
  if (arguments.timeout_seconds) {
    env_options.timeout = env_options.start_timeout = absl::Seconds(*arguments.timeout_seconds);
  }
  registry.env_timeout = env_options.timeout + kBeyondEnv;

  const int stopped = eventfd(0, EFD_CLOEXEC);
  if (stopped < 0) return absl::InternalError("eventfd failed: raise the limit of open files");
  const StopOnSignal stop([stopped] {
    const uint64_t one = 1;
    (void)!write(stopped, &one, sizeof one);
  });
  auto server = rpc::Server::Start(server_options, [&](const Settings& settings, uint64_t seed,
                                                       const std::shared_ptr<Doorbell>& doorbell) {
    EnvOptions options = env_options;
    if (!info->at_once) options.doorbell = doorbell;
    options.settings = settings;
    options.seed = seed;
    return MakeEnv(options);
  });
  if (!server.ok()) {
    close(stopped);
    return server.status();
  }
  printf("serving %s on %s (dm_env_rpc v1, health, reflection); Ctrl-C ends it\n",
         arguments.environment.c_str(), (*server)->address().c_str());
  fflush(stdout);
  uint64_t count;
  while (read(stopped, &count, sizeof count) < 0) {
  }
  (*server)->Shutdown();
  close(stopped);
  return absl::OkStatus();
}

}  // namespace midlane
