// Session: one client's connection, without its transport: the state "joined or not", and the
// dispatch of requests to the registry and the world.
//
// Thread-safety: Handle from one thread at a time, and the next only when the last has completed;
//   Close from any thread, also during Handle.
// Ownership: the registry outlives the session. Requests and responses live until their Completion
//   is told.
// Errors: always a response, never a silence: unknown or empty payloads are InvalidArgument, an
//   extension of somebody else's is absl::StatusCode::kUnimplemented (the protocol's answer to what
//   a server does not know), the rest as WorldRegistry and World say.
#ifndef MIDLANE_BRIDGE_RPC_SESSION_H_
#define MIDLANE_BRIDGE_RPC_SESSION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "bridge/rpc/completion.h"
#include "bridge/rpc/registry.h"
#include "bridge/rpc/tensors.h"

namespace midlane::rpc {

class Session {
 public:
  // `id`: unique in the registry. `client`: names the connection in others' errors. `poller`: of
  // the worlds that it creates; null: the registry's own.
  Session(WorldRegistry* registry, uint64_t id, std::string client, EnvPoller* poller = nullptr);
  // REQUIRES: nothing pending, no call under way. Closes.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The answer is in `response`, or where a step succeeded in completion->step.
  void Handle(const wire::EnvironmentRequest& request, wire::EnvironmentResponse* response,
              Completion* completion);

  // Reads `bytes` as a request first; what cannot be read is INVALID_ARGUMENT. `request` is
  // scratch that must live as long as `response`.
  void HandleBytes(std::string_view bytes, wire::EnvironmentRequest* request,
                   wire::EnvironmentResponse* response, Completion* completion);

  // The client vanished: it leaves its world, and what is pending ends. Further calls do nothing.
  void Close();

 private:
  struct Place {
    std::shared_ptr<World> world;  // null: not joined
    Ticket ticket = 0;
  };

  Place place();
  template <typename Request>
  void Step(const Request& request, wire::EnvironmentResponse* response, Completion* completion);
  void Join(const wire::JoinWorldRequest& request, wire::EnvironmentResponse* response);
  void ResetWorld(const wire::ResetWorldRequest& request, wire::EnvironmentResponse* response,
                  Completion* completion);
  void Destroy(const wire::DestroyWorldRequest& request, wire::EnvironmentResponse* response,
               Completion* completion);
  void Extend(const google::protobuf::Any& request, wire::EnvironmentResponse* response);
  void Leave(const char* how);

  WorldRegistry* const registry_;
  const uint64_t id_;
  const std::string client_;
  EnvPoller* const poller_;
  absl::Mutex mu_;
  Place place_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<World> resetting_ ABSL_GUARDED_BY(mu_);  // by ResetWorld, pending
  Completion* resetting_completion_ ABSL_GUARDED_BY(mu_) = nullptr;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_SESSION_H_
