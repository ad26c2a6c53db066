// ClientLanes: one stream to a server, shared by all worlds that this process has there, and
// ClientLane: one dm_env_rpc connection in it (midlane/bridge/v1/lanes.proto).
//
// What is sent while a write is under way leaves in one message when it is done, and Send itself
//   writes nothing before the next Flush, TryReceive or Receive of any lane; so a worker that steps
//   a batch of worlds and then looks for answers sends one message.
// Thread-safety: ClientLanes any thread; a ClientLane one thread at a time; `arrived` is called on
//   the stream's thread, with the lanes' lock held: it may not call back.
// Ownership: a lane shares the stream; the last one to go cancels it and waits for its end.
// Errors of Receive and TryReceive: those that the server sent in the lane, as they came;
//   DeadlineExceeded; Unavailable and others where the stream itself broke (for good, for all its
//   lanes).
#ifndef MIDLANE_BRIDGE_RPC_CLIENT_LANES_H_
#define MIDLANE_BRIDGE_RPC_CLIENT_LANES_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bridge/rpc/tensors.h"
#include "google/protobuf/arena.h"
#include "midlane/bridge/v1/lanes.grpc.pb.h"

namespace midlane::rpc {

class ClientLane;

class ClientLanes {
 public:
  // `core`: that the thread which steps its worlds keeps to, if any.
  ClientLanes(std::shared_ptr<grpc::Channel> channel, std::optional<int> core);
  ~ClientLanes();
  ClientLanes(const ClientLanes&) = delete;
  ClientLanes& operator=(const ClientLanes&) = delete;

  // Sends what waits to be sent.
  void Flush();
  bool broken();

 private:
  friend class ClientLane;
  using LanesRequest = midlane::bridge::v1::LanesRequest;
  using LanesResponse = midlane::bridge::v1::LanesResponse;
  using Stream = grpc::ClientAsyncReaderWriter<LanesRequest, LanesResponse>;

  std::unique_ptr<Stream> Prepare(std::optional<int> core);
  // The stream's thread. gRPC's callback API would hand each event from one of its two threads to
  // the other, a switch that costs more than the event (docs/decisions/0007-lanes.md).
  void Run();
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnFinished();
  // Moves what waits into `written_`: true where the caller is to write it.
  bool TakeUnwritten() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<midlane::bridge::v1::Lanes::Stub> stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue events_;
  const std::unique_ptr<Stream> stream_;
  LanesResponse read_;
  LanesRequest written_;  // of the write under way
  grpc::Status finish_;

  absl::Mutex mu_;
  std::unordered_map<uint64_t, ClientLane*> lanes_ ABSL_GUARDED_BY(mu_);
  uint64_t ids_ ABSL_GUARDED_BY(mu_) = 0;
  LanesRequest unwritten_ ABSL_GUARDED_BY(mu_);
  std::atomic<bool> unwritten_any_{false};    // changes with mu_ held
  bool writing_ ABSL_GUARDED_BY(mu_) = true;  // the call's own beginning is the first
  bool ended_ ABSL_GUARDED_BY(mu_) = false;   // nothing is written any more
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);  // of a stream that is done; never OK then
  std::thread thread_;
};

class ClientLane {
 public:
  // `arrived` is called once for each Send (not for Ask), when TryReceive has something to say.
  ClientLane(std::shared_ptr<ClientLanes> lanes, std::function<void()> arrived);
  // The agent leaves its world.
  ~ClientLane();
  ClientLane(const ClientLane&) = delete;
  ClientLane& operator=(const ClientLane&) = delete;

  // True while an answer is on its way: whatever is sent now would end the stream, for all lanes.
  bool waiting() const;

  // REQUIRES: !waiting(); so too for Ask.
  void Send(const wire::EnvironmentRequest& request) { Send(request, /*announce=*/true); }

  // The answer, or null while it is on its way; valid until the next Send.
  absl::StatusOr<const wire::EnvironmentResponse*> TryReceive();
  absl::StatusOr<const wire::EnvironmentResponse*> Receive(absl::Time deadline);

  // Sends and receives; the error in the answer becomes the status.
  absl::StatusOr<const wire::EnvironmentResponse*> Ask(const wire::EnvironmentRequest& request,
                                                       absl::Time deadline);

 private:
  friend class ClientLanes;
  static constexpr size_t kArenaBytes = 4 << 10;

  void Send(const wire::EnvironmentRequest& request, bool announce);
  void Arrive() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lanes_->mu_);
  // What came: `status` of the stream where it is done.
  absl::StatusOr<const wire::EnvironmentResponse*> Result(const absl::Status& status);

  const std::shared_ptr<ClientLanes> lanes_;
  const std::function<void()> arrived_;
  uint64_t id_ = 0;
  char arena_block_[kArenaBytes];
  google::protobuf::Arena arena_;
  wire::EnvironmentResponse* response_ = nullptr;

  bool parsed_ = false;  // bytes_ into response_
  // With the stream's lock held, where `waiting_`; else the lane's thread's.
  bool waiting_ = false;
  bool announce_ = false;
  std::string bytes_;  // the answer, serialised
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_CLIENT_LANES_H_
