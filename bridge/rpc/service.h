// EnvironmentService and LanesService: the gRPC faces of sessions, on the callback API.
//
// Process of dm_env_rpc.v1.Environment: one stream is one Session. A request is read when the one
//   before it has been answered and the answer is written, so a client that does not read stops
//   being read.
// Process of midlane.bridge.v1.Lanes: one stream is many Sessions. Each has at most one request
//   under way, which bounds what waits for a client that does not read.
// No lock is held across a read, write or finish.
// Thread-safety: all methods, any thread.
// Ownership: the registry and the table outlive the services.
#ifndef MIDLANE_BRIDGE_RPC_SERVICE_H_
#define MIDLANE_BRIDGE_RPC_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "bridge/rpc/registry.h"
#include "bridge/rpc/server_stream.h"
#include "dm_env_rpc/v1/dm_env_rpc.grpc.pb.h"
#include "midlane/bridge/v1/lanes.grpc.pb.h"

namespace midlane::rpc {

class EnvironmentService final
    : public wire::Environment::WithRawCallbackMethod_Process<wire::Environment::Service> {
 public:
  EnvironmentService(WorldRegistry* registry, StreamTable* table)
      : registry_(registry), table_(table) {}

  StreamTable::Reactor* Process(grpc::CallbackServerContext* context) override;

 private:
  WorldRegistry* const registry_;
  StreamTable* const table_;
};

class LanesService final : public midlane::bridge::v1::Lanes::WithRawCallbackMethod_Process<
                               midlane::bridge::v1::Lanes::Service> {
 public:
  LanesService(WorldRegistry* registry, StreamTable* table) : registry_(registry), table_(table) {}

  StreamTable::Reactor* Process(grpc::CallbackServerContext* context) override;

 private:
  WorldRegistry* const registry_;
  StreamTable* const table_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_SERVICE_H_
