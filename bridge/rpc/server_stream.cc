#include "bridge/rpc/server_stream.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace midlane::rpc {
namespace {

class RefusedStream final : public StreamTable::Reactor {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

grpc::Status Draining() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE,
                      "the server is shutting down: connect to another");
}

}  // namespace

StreamTable::Reactor* RefuseStream(const grpc::Status& status) { return new RefusedStream(status); }

bool ServerStream::Hold() {
  absl::MutexLock lock(&mu_);
  if (finished_) return false;
  ++holds_;
  return true;
}

void ServerStream::Release() {
  FinishWhereDue([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { --holds_; });
}

void ServerStream::End() {
  FinishWhereDue([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { ended_ = true; });
}

void ServerStream::Drain() {
  FinishWhereDue([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { draining_ = true; });
}

void ServerStream::Refuse(const grpc::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (refused_.ok()) refused_ = status;
  }
  CloseSessions();
}

bool ServerStream::Writable() {
  absl::MutexLock lock(&mu_);
  return !cancelled_ && !finished_;
}

void ServerStream::Cancel() {
  {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
  }
  CloseSessions();
  FinishWhereDue([] {});
}

void ServerStream::OnDone() {
  CloseSessions();
  table_->Forget(this);  // destructs this
}

// Finish is called once, with no lock held. Whoever does not call it must not touch this after the
// lock: the stream may be gone.
template <typename Change>
void ServerStream::FinishWhereDue(const Change& change) {
  grpc::Status status;
  {
    absl::MutexLock lock(&mu_);
    change();
    if (finished_ || holds_ > 0) return;
    if (!ended_ && !cancelled_ && !draining_ && refused_.ok()) return;
    finished_ = true;
    if (cancelled_) {
      status = grpc::Status::CANCELLED;
    } else if (!refused_.ok()) {
      status = refused_;
    } else if (draining_ && !ended_) {
      status = Draining();
    }
  }
  Finish(status);
}

StreamTable::Reactor* StreamTable::Admit(std::shared_ptr<ServerStream> stream) {
  ServerStream* const admitted = stream.get();
  {
    absl::MutexLock lock(&mu_);
    if (draining_) return RefuseStream(Draining());
    streams_[admitted] = std::move(stream);
  }
  admitted->Begin();
  return admitted;
}

grpc::Status StreamTable::AddConnection(uint64_t* client) {
  absl::MutexLock lock(&mu_);
  if (connections_ < connections_max_) {
    ++connections_;
    *client = ++clients_;
    return grpc::Status::OK;
  }
  return grpc::Status(
      grpc::StatusCode::RESOURCE_EXHAUSTED,
      absl::StrCat("the server has its ", connections_max_,
                   " connections: close one, or serve with a larger --connections"));
}

void StreamTable::DropConnection() {
  absl::MutexLock lock(&mu_);
  --connections_;
}

int StreamTable::connections() {
  absl::MutexLock lock(&mu_);
  return connections_;
}

void StreamTable::Drain() {
  std::vector<std::shared_ptr<ServerStream>> streams;
  {
    absl::MutexLock lock(&mu_);
    draining_ = true;
    for (const auto& [key, stream] : streams_) streams.push_back(stream);
  }
  for (const std::shared_ptr<ServerStream>& stream : streams) stream->Drain();
}

void StreamTable::Forget(ServerStream* stream) {
  std::shared_ptr<ServerStream> forgotten;  // destructed under no lock
  absl::MutexLock lock(&mu_);
  const auto found = streams_.find(stream);
  forgotten = std::move(found->second);
  streams_.erase(found);
}

bool StreamTable::WaitUntilEmpty(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithDeadline(absl::Condition(
                                   +[](Streams* streams) { return streams->empty(); }, &streams_),
                               deadline);
}

}  // namespace midlane::rpc
