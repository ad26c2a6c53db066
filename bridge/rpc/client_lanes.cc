#include "bridge/rpc/client_lanes.h"

#include <utility>

#include "bridge/rpc/core_hint.h"

namespace midlane::rpc {
namespace {

// What the stream's completion queue tells, by its tag. kWritten: also that the call has begun,
// before which gRPC takes no write.
enum class Event : intptr_t { kRead, kWritten, kFinished };
void* TagOf(Event event) { return reinterpret_cast<void*>(event); }
Event EventOf(void* tag) { return static_cast<Event>(reinterpret_cast<intptr_t>(tag)); }

}  // namespace

ClientLanes::ClientLanes(std::shared_ptr<grpc::Channel> channel, std::optional<int> core)
    : channel_(std::move(channel)),
      stub_(midlane::bridge::v1::Lanes::NewStub(channel_)),
      stream_(Prepare(core)) {
  stream_->StartCall(TagOf(Event::kWritten));
  stream_->Read(&read_, TagOf(Event::kRead));
  thread_ = std::thread(&ClientLanes::Run, this);
}

std::unique_ptr<ClientLanes::Stream> ClientLanes::Prepare(std::optional<int> core) {
  const std::string hint = core ? CoreHint(*core) : "";
  if (!hint.empty()) context_.AddMetadata(kCoreHintKey, hint);
  return stub_->PrepareAsyncProcess(&context_, &events_);
}

ClientLanes::~ClientLanes() {
  context_.TryCancel();
  thread_.join();
}

bool ClientLanes::broken() {
  absl::MutexLock lock(&mu_);
  return ended_;
}

bool ClientLanes::TakeUnwritten() {
  if (writing_ || ended_ || unwritten_.requests_size() == 0) return false;
  written_.Swap(&unwritten_);
  unwritten_.clear_requests();
  unwritten_any_.store(false, std::memory_order_relaxed);
  writing_ = true;
  return true;
}

void ClientLanes::Flush() {
  if (!unwritten_any_.load(std::memory_order_relaxed)) return;
  bool write = false;
  {
    absl::MutexLock lock(&mu_);
    write = TakeUnwritten();
  }
  if (write) stream_->Write(written_, TagOf(Event::kWritten));
}

void ClientLanes::Run() {
  void* tag = nullptr;
  bool ok = false;
  bool finished = false;
  while (events_.Next(&tag, &ok)) {
    switch (EventOf(tag)) {
      case Event::kRead:
        OnRead(ok);
        break;
      case Event::kWritten:
        OnWritten(ok);
        break;
      case Event::kFinished:
        OnFinished();
        finished = true;
        break;
    }
    absl::MutexLock lock(&mu_);
    // A write that was taken begins outside of the lock, and may not meet a queue that is shut.
    if (finished && !writing_) {
      finished = false;
      events_.Shutdown();
    }
  }
}

void ClientLanes::OnWritten(bool ok) {
  bool write = false;
  {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (ok) write = TakeUnwritten();  // else the read fails too, and says so
  }
  if (write) stream_->Write(written_, TagOf(Event::kWritten));
}

void ClientLanes::OnRead(bool ok) {
  {
    absl::MutexLock lock(&mu_);
    ended_ |= !ok;
    if (ok) {
      for (auto& response : *read_.mutable_responses()) {
        const auto found = lanes_.find(response.lane());
        if (found == lanes_.end() || !found->second->waiting_) continue;
        found->second->bytes_.swap(*response.mutable_response());
        found->second->Arrive();
      }
    }
  }
  if (ok) {
    stream_->Read(&read_, TagOf(Event::kRead));
  } else {
    stream_->Finish(&finish_, TagOf(Event::kFinished));
  }
}

void ClientLanes::OnFinished() {
  absl::MutexLock lock(&mu_);
  status_ = finish_.ok() ? absl::UnavailableError("the server ended the stream")
                         : absl::Status(static_cast<absl::StatusCode>(finish_.error_code()),
                                        finish_.error_message());
  for (const auto& [id, lane] : lanes_) {
    if (lane->waiting_) lane->Arrive();
  }
  done_ = true;
}

ClientLane::ClientLane(std::shared_ptr<ClientLanes> lanes, std::function<void()> arrived)
    : lanes_(std::move(lanes)),
      arrived_(std::move(arrived)),
      arena_(arena_block_, sizeof arena_block_) {
  absl::MutexLock lock(&lanes_->mu_);
  id_ = ++lanes_->ids_;
  lanes_->lanes_[id_] = this;
}

ClientLane::~ClientLane() {
  {
    absl::MutexLock lock(&lanes_->mu_);
    lanes_->lanes_.erase(id_);
    auto* close = lanes_->unwritten_.add_requests();
    close->set_lane(id_);
    close->set_close(true);
    lanes_->unwritten_any_.store(true, std::memory_order_relaxed);
  }
  lanes_->Flush();
}

bool ClientLane::waiting() const {
  absl::MutexLock lock(&lanes_->mu_);
  return waiting_;
}

void ClientLane::Arrive() {
  waiting_ = false;
  if (announce_) arrived_();
}

void ClientLane::Send(const wire::EnvironmentRequest& request, bool announce) {
  parsed_ = false;
  absl::MutexLock lock(&lanes_->mu_);
  announce_ = announce;
  waiting_ = true;
  if (lanes_->done_) return Arrive();
  auto* sent = lanes_->unwritten_.add_requests();
  sent->set_lane(id_);
  sent->set_close(false);
  request.SerializeToString(sent->mutable_request());
  lanes_->unwritten_any_.store(true, std::memory_order_relaxed);
}

absl::StatusOr<const wire::EnvironmentResponse*> ClientLane::Result(const absl::Status& status) {
  if (!status.ok()) return status;
  if (!parsed_) {
    arena_.Reset();
    response_ = google::protobuf::Arena::CreateMessage<wire::EnvironmentResponse>(&arena_);
    if (!response_->ParseFromString(bytes_)) {
      return absl::InternalError("the server's answer is no EnvironmentResponse");
    }
    parsed_ = true;
  }
  return response_;
}

absl::StatusOr<const wire::EnvironmentResponse*> ClientLane::TryReceive() {
  lanes_->Flush();
  absl::Status status;
  {
    absl::MutexLock lock(&lanes_->mu_);
    if (waiting_) return nullptr;
    status = lanes_->status_;
  }
  return Result(status);
}

absl::StatusOr<const wire::EnvironmentResponse*> ClientLane::Receive(absl::Time deadline) {
  lanes_->Flush();
  absl::Status status;
  {
    absl::MutexLock lock(&lanes_->mu_);
    if (!lanes_->mu_.AwaitWithDeadline(absl::Condition(
                                           +[](bool* waiting) { return !*waiting; }, &waiting_),
                                       deadline)) {
      return absl::DeadlineExceededError("the server has not answered in time");
    }
    status = lanes_->status_;
  }
  return Result(status);
}

absl::StatusOr<const wire::EnvironmentResponse*> ClientLane::Ask(
    const wire::EnvironmentRequest& request, absl::Time deadline) {
  Send(request, /*announce=*/false);
  absl::StatusOr<const wire::EnvironmentResponse*> response = Receive(deadline);
  if (!response.ok()) return response;
  const absl::Status error = ErrorOf(**response);
  if (!error.ok()) return error;
  return response;
}

}  // namespace midlane::rpc
