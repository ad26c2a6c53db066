// EnvironmentService: the gRPC face of sessions, on the callback API with raw bytes, so that a
// message that is no request is answered in the stream like every other mistake.
//
// One stream is one Session. A request is read when the one before it has been answered and the
// answer is written, so a client that does not read stops being read. No lock is held across a
// read, write or finish.
// Thread-safety: all methods, any thread.
// Ownership: the registry outlives the service; streams live until gRPC is done with them.
#ifndef MIDLANE_BRIDGE_RPC_SERVICE_H_
#define MIDLANE_BRIDGE_RPC_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bridge/rpc/registry.h"
#include "dm_env_rpc/v1/dm_env_rpc.grpc.pb.h"

namespace midlane::rpc {

class Stream;

class EnvironmentService final
    : public wire::Environment::WithRawCallbackMethod_Process<wire::Environment::Service> {
 public:
  EnvironmentService(WorldRegistry* registry, int connections_max)
      : registry_(registry), connections_max_(connections_max) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Process(
      grpc::CallbackServerContext* context) override;

  // Ends every stream with UNAVAILABLE once what it is doing is answered, and new ones at once.
  void Drain();
  // False at `deadline` where a stream still exists.
  bool WaitUntilEmpty(absl::Time deadline);

  int streams();

 private:
  friend class Stream;
  using Streams = std::unordered_map<Stream*, std::shared_ptr<Stream>>;
  void Forget(Stream* stream);

  WorldRegistry* const registry_;
  const int connections_max_;
  absl::Mutex mu_;
  Streams streams_ ABSL_GUARDED_BY(mu_);
  uint64_t clients_ ABSL_GUARDED_BY(mu_) = 0;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_SERVICE_H_
