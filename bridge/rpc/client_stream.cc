#include "bridge/rpc/client_stream.h"

#include <utility>

namespace midlane::rpc {

ClientStream::ClientStream(wire::Environment::Stub* stub, std::function<void()> arrived)
    : arrived_(std::move(arrived)), arena_(arena_block_, sizeof arena_block_) {
  stub->async()->Process(&context_, this);
  AddHold();  // operations start outside of gRPC's own callbacks
  StartCall();
}

ClientStream::~ClientStream() {
  context_.TryCancel();
  LetGo();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(&done_));
}

void ClientStream::LetGo() {
  {
    absl::MutexLock lock(&mu_);
    if (!std::exchange(held_, false)) return;
  }
  RemoveHold();
}

void ClientStream::Send(const wire::EnvironmentRequest* request, bool announce) {
  bool broken = false, write = false;
  {
    absl::MutexLock lock(&mu_);
    broken = broken_;
    waiting_ = !broken_;
    announce_ = announce;
    write = !writing_ && !broken_;
    if (write) {
      writing_ = true;
    } else {
      next_ = request;
    }
  }
  if (broken) {
    if (announce) arrived_();
    return;
  }
  arena_.Reset();
  response_ = google::protobuf::Arena::CreateMessage<wire::EnvironmentResponse>(&arena_);
  StartRead(response_);
  if (write) StartWrite(request);
}

void ClientStream::OnWriteDone(bool ok) {
  const wire::EnvironmentRequest* next = nullptr;
  {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    next = std::exchange(next_, nullptr);
    if (!ok) next = nullptr;  // the read fails too, and says so
    writing_ = next != nullptr;
  }
  if (next != nullptr) StartWrite(next);
}

void ClientStream::OnReadDone(bool ok) {
  // Once it is not waiting for, the owner goes on; so what is still to be done is known before.
  bool announce = false;
  {
    absl::MutexLock lock(&mu_);
    announce = announce_;
    waiting_ = false;
    if (!ok) broken_ = true;
  }
  if (!ok) LetGo();
  if (announce) arrived_();
}

void ClientStream::OnDone(const grpc::Status& status) {
  absl::MutexLock lock(&mu_);
  status_ = status;
  done_ = true;
}

absl::StatusOr<const wire::EnvironmentResponse*> ClientStream::Result() {
  if (waiting_) return nullptr;
  if (!broken_) return response_;
  mu_.Await(absl::Condition(&done_));
  if (status_.ok()) return absl::UnavailableError("the server ended the stream");
  return absl::Status(static_cast<absl::StatusCode>(status_.error_code()), status_.error_message());
}

absl::StatusOr<const wire::EnvironmentResponse*> ClientStream::TryReceive() {
  absl::MutexLock lock(&mu_);
  return Result();
}

absl::StatusOr<const wire::EnvironmentResponse*> ClientStream::Receive(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  if (!mu_.AwaitWithDeadline(absl::Condition(
                                 +[](bool* waiting) { return !*waiting; }, &waiting_),
                             deadline)) {
    return absl::DeadlineExceededError("the server has not answered in time");
  }
  return Result();
}

absl::StatusOr<const wire::EnvironmentResponse*> ClientStream::Ask(
    const wire::EnvironmentRequest& request, absl::Time deadline) {
  Send(&request, /*announce=*/false);
  absl::StatusOr<const wire::EnvironmentResponse*> response = Receive(deadline);
  if (!response.ok()) return response;
  const absl::Status error = ErrorOf(**response);
  if (!error.ok()) return error;
  return response;
}

}  // namespace midlane::rpc
