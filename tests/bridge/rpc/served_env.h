// Servers in this process and Envs that reach their worlds over gRPC, for tests.
#ifndef MIDLANE_TESTS_BRIDGE_RPC_SERVED_ENV_H_
#define MIDLANE_TESTS_BRIDGE_RPC_SERVED_ENV_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bridge/make_env.h"
#include "bridge/rpc/grpc_env.h"
#include "bridge/rpc/server.h"

namespace midlane {

// Worlds of one environment that MakeEnv knows.
inline rpc::WorldEnvFactory Factory(const std::string& name) {
  return
      [name](const Settings& settings, uint64_t seed, const std::shared_ptr<Doorbell>& doorbell) {
        EnvOptions options;
        options.name = name;
        options.doorbell = doorbell;
        options.settings = settings;
        options.seed = seed;
        return MakeEnv(options);
      };
}

// A server of `environment`, on a Unix socket where `options` names none; null after a failure.
inline std::unique_ptr<rpc::Server> Serve(const std::string& environment,
                                          rpc::ServerOptions options = {}) {
  if (options.listen.empty()) {
    options.listen =
        absl::StrCat("unix://", testing::TempDir(), "/", environment, getpid(), ".sock");
  }
  options.registry.environment = environment;
  const absl::StatusOr<EnvironmentInfo> info = DescribeEnvironment(environment);
  if (info.ok()) options.registry.info = *info;
  auto server = rpc::Server::Start(options, Factory(environment));
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

// Options of an Env whose world `server` holds.
inline EnvOptions To(const rpc::Server& server, Settings settings = {}) {
  EnvOptions options;
  const std::string address = server.address();
  options.name = address.starts_with("unix://") ? "grpc+" + address : "grpc://" + address;
  options.settings = std::move(settings);
  return options;
}

// Makes a server with each Env, so that a case needs no global state.
class ServedEnv final : public Env {
 public:
  ServedEnv(std::unique_ptr<rpc::Server> server, std::unique_ptr<Env> env)
      : server_(std::move(server)), env_(std::move(env)) {}
  const Spec& spec() const override { return env_->spec(); }
  absl::Status Reset(const Settings& settings) override { return env_->Reset(settings); }
  absl::Status Step() override { return env_->Step(); }
  absl::StatusOr<bool> Ready() override { return env_->Ready(); }
  absl::Status Wait(absl::Duration timeout) override { return env_->Wait(timeout); }
  AgentView agent(int index) override { return env_->agent(index); }
  absl::Status Restart() override { return env_->Restart(); }
  EnvStats stats() const override { return env_->stats(); }

 private:
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<Env> env_;
};

// A server of `environment` on a socket that no other has.
inline std::unique_ptr<rpc::Server> ServeAnew(const std::string& environment) {
  static int made = 0;
  rpc::ServerOptions options;
  options.listen = absl::StrCat("unix://", testing::TempDir(), "/", getpid(), "-", ++made, ".sock");
  return Serve(environment, options);
}

inline absl::StatusOr<std::unique_ptr<Env>> MakeServedBy(std::unique_ptr<rpc::Server> server,
                                                         const EnvOptions& options) {
  EnvOptions remote = options;
  remote.name = To(*server).name;
  absl::StatusOr<std::unique_ptr<Env>> env = rpc::MakeGrpcEnv(remote);
  if (!env.ok()) return env.status();
  return std::make_unique<ServedEnv>(std::move(server), *std::move(env));
}

// A maker for EnvCase: of any environment that MakeEnv knows, behind a server of its own.
inline absl::StatusOr<std::unique_ptr<Env>> MakeServed(const EnvOptions& options) {
  std::unique_ptr<rpc::Server> server = ServeAnew(options.name);
  if (server == nullptr) return absl::InternalError("no server");
  return MakeServedBy(std::move(server), options);
}

}  // namespace midlane

#endif  // MIDLANE_TESTS_BRIDGE_RPC_SERVED_ENV_H_
