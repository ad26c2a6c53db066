// ServerStream: how a stream of the server comes to its end, and the table of those that exist.
//
// A stream ends when its client sends no more, when it is cancelled, or when the server drains;
//   each time once what is under way has been answered (or, cancelled, has been told so).
// Thread-safety: all methods, any thread.
// Ownership: the table keeps a stream until gRPC is done with it, and outlives it.
#ifndef MIDLANE_BRIDGE_RPC_SERVER_STREAM_H_
#define MIDLANE_BRIDGE_RPC_SERVER_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace midlane::rpc {

class StreamTable;

// Raw bytes both ways, so that a message that is no request is answered like every other mistake.
class ServerStream : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit ServerStream(StreamTable* table) : table_(table) {}

  // Called once it is in the table.
  virtual void Begin() = 0;

  // Ends the stream where it only waits for the client; else after the answers under way.
  void Drain();

 protected:
  // The client of the stream is gone.
  virtual void CloseSessions() = 0;

  // Something is under way that Finish has to wait for. False where the stream has come to its end:
  // then there is nothing to do any more.
  bool Hold();
  // The stream may be gone when it returns.
  void Release();
  // The client sends no more.
  void End();
  // The stream ends with `status`. REQUIRES: it is held.
  void Refuse(const grpc::Status& status);
  // False where nobody reads answers any more.
  bool Writable();

 private:
  friend class StreamTable;
  void OnCancel() override { Cancel(); }
  void OnDone() override;
  void Cancel();
  // Makes `change` with mu_ held and finishes where that is due then.
  template <typename Change>
  void FinishWhereDue(const Change& change);

  StreamTable* const table_;
  absl::Mutex mu_;
  int holds_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status refused_ ABSL_GUARDED_BY(mu_);
};

class StreamTable {
 public:
  explicit StreamTable(int connections_max) : connections_max_(connections_max) {}

  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;
  // Begins `stream`, or answers one that refuses: the server drains.
  Reactor* Admit(std::shared_ptr<ServerStream> stream);

  // Connections are what the limit counts: streams of dm_env_rpc, and lanes. `client` gets the
  // number of this one, used once; RESOURCE_EXHAUSTED where there are connections_max of them.
  grpc::Status AddConnection(uint64_t* client);
  void DropConnection();
  int connections();

  // Ends every stream with UNAVAILABLE once what it is doing is answered, and new ones at once.
  void Drain();
  // False at `deadline` where a stream still exists.
  bool WaitUntilEmpty(absl::Time deadline);

 private:
  friend class ServerStream;
  using Streams = std::unordered_map<ServerStream*, std::shared_ptr<ServerStream>>;
  void Forget(ServerStream* stream);

  const int connections_max_;
  absl::Mutex mu_;
  Streams streams_ ABSL_GUARDED_BY(mu_);
  int connections_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t clients_ ABSL_GUARDED_BY(mu_) = 0;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
};

// A reactor that ends its stream with `status`.
StreamTable::Reactor* RefuseStream(const grpc::Status& status);

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_SERVER_STREAM_H_
