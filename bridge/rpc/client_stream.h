// ClientStream: one dm_env_rpc stream from the client's side: one request at a time, its answer
// awaited or polled.
//
// Thread-safety: one thread at a time; `arrived` is called on gRPC's threads.
// Ownership: a request lives until its answer has come; an answer is valid until the next Send. The
//   destructor cancels the stream and waits for gRPC to let go of it.
// Errors of Receive and TryReceive: those that the server sent in the stream, as they came;
//   DeadlineExceeded; Unavailable and others where the stream itself broke (for good).
#ifndef MIDLANE_BRIDGE_RPC_CLIENT_STREAM_H_
#define MIDLANE_BRIDGE_RPC_CLIENT_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bridge/rpc/tensors.h"
#include "dm_env_rpc/v1/dm_env_rpc.grpc.pb.h"
#include "google/protobuf/arena.h"

namespace midlane::rpc {

class ClientStream final
    : private grpc::ClientBidiReactor<wire::EnvironmentRequest, wire::EnvironmentResponse> {
 public:
  // `arrived` is called once for each Send (not for Ask), when TryReceive has something to say.
  ClientStream(wire::Environment::Stub* stub, std::function<void()> arrived);
  ~ClientStream() override;
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;

  // REQUIRES: the answer to the last Send was received.
  void Send(const wire::EnvironmentRequest* request) { Send(request, /*announce=*/true); }

  // The answer, or null while it is on its way.
  absl::StatusOr<const wire::EnvironmentResponse*> TryReceive();
  absl::StatusOr<const wire::EnvironmentResponse*> Receive(absl::Time deadline);

  // Sends and receives; the error in the answer becomes the status.
  absl::StatusOr<const wire::EnvironmentResponse*> Ask(const wire::EnvironmentRequest& request,
                                                       absl::Time deadline);

 private:
  void Send(const wire::EnvironmentRequest* request, bool announce);
  static constexpr size_t kArenaBytes = 16 << 10;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  absl::StatusOr<const wire::EnvironmentResponse*> Result() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LetGo();

  const std::function<void()> arrived_;
  grpc::ClientContext context_;
  char arena_block_[kArenaBytes];
  google::protobuf::Arena arena_;
  wire::EnvironmentResponse* response_ = nullptr;

  absl::Mutex mu_;
  bool waiting_ ABSL_GUARDED_BY(mu_) = false;
  bool announce_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  const wire::EnvironmentRequest* next_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
  bool held_ ABSL_GUARDED_BY(mu_) = true;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_CLIENT_STREAM_H_
