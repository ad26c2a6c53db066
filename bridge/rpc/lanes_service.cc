#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge/rpc/buffers.h"
#include "bridge/rpc/core_hint.h"
#include "bridge/rpc/service.h"
#include "bridge/rpc/session.h"
#include "google/protobuf/arena.h"

namespace midlane::rpc {
namespace {

using midlane::bridge::v1::LaneRequest;
using midlane::bridge::v1::LanesRequest;
using midlane::bridge::v1::LanesResponse;

// How long an answer waits for others to requests of the same message.
constexpr absl::Duration kHoldAnswer = absl::Milliseconds(1);

class LanesStream;

// One connection among those of a stream.
class Lane final : public Completion {
 public:
  Lane(LanesStream* stream, WorldRegistry* registry, uint64_t id, uint64_t client, std::string name,
       EnvPoller* poller)
      : stream_(stream),
        id_(id),
        session_(registry, client, std::move(name), poller),
        arena_(block_, sizeof block_) {}

  void Handle(std::string_view bytes) {
    arena_.Reset();
    response_ = google::protobuf::Arena::CreateMessage<wire::EnvironmentResponse>(&arena_);
    session_.HandleBytes(bytes,
                         google::protobuf::Arena::CreateMessage<wire::EnvironmentRequest>(&arena_),
                         response_, this);
  }
  void Close() { session_.Close(); }
  void Done() override;

  // Of the stream, under its mutex.
  bool busy = false;                // has a request under way
  std::shared_ptr<int> unanswered;  // requests of the message that it came in
  bool closed = false;              // by the client

 private:
  static constexpr size_t kArenaBytes = 2 << 10;  // of small requests; the arena takes more itself

  LanesStream* const stream_;
  const uint64_t id_;
  Session session_;
  char block_[kArenaBytes];
  google::protobuf::Arena arena_;
  wire::EnvironmentResponse* response_ = nullptr;
};

class LanesStream final : public ServerStream,
                          public Timed,
                          public std::enable_shared_from_this<LanesStream> {
 public:
  // `poller`: of a client that keeps to a core, else null.
  LanesStream(StreamTable* table, WorldRegistry* registry, std::string peer, EnvPoller* poller)
      : ServerStream(table),
        table_(table),
        registry_(registry),
        peer_(std::move(peer)),
        poller_(poller) {}
  ~LanesStream() override {
    for (size_t i = 0; i < lanes_.size(); ++i) table_->DropConnection();
  }

  void Begin() override { StartRead(&incoming_); }

  void OnReadDone(bool ok) override {
    if (!ok) return End();
    if (!Hold()) return;
    if (poller_ == nullptr) return TakeMessage();
    poller_->Do([this] { TakeMessage(); });
  }

  void OnWriteDone(bool ok) override {
    if (!ok) End();
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
    }
    Flush();
    Release();
  }

  // Writes what is ready, unless a write is under way, which does so when it is done.
  void Flush() {
    bool write = false;
    {
      absl::MutexLock lock(&mu_);
      if (writing_ || ready_.responses_size() == 0) return;
      writing_ = write = Writable();
      if (write) outgoing_ = ToBuffer(ready_);
      ready_.clear_responses();
    }
    if (write) {
      StartWrite(&outgoing_);
    } else {
      Release();
    }
  }

  // The request of `lane` has been answered. Its client wants the answers of a message together.
  void Answer(uint64_t id, Lane* lane, std::string response) {
    const std::shared_ptr<LanesStream> self = shared_from_this();
    bool kept = false;
    std::shared_ptr<int> unanswered;
    {
      absl::MutexLock lock(&mu_);
      lane->busy = false;  // from now on it may begin another request, or go
      unanswered = std::move(lane->unanswered);
      if (!lane->closed) kept = Keep(id, std::move(response));
    }
    Answered(unanswered.get());
    // What was kept first holds the stream in place of the request, until it is written.
    if (!kept) Release();
  }

  absl::Time OnTime(absl::Time now) override {
    {
      absl::MutexLock lock(&mu_);
      timed_ = ready_.responses_size() > 0 && held_until_ > now;
      if (timed_) return held_until_;
    }
    Flush();
    return absl::InfiniteFuture();
  }

 private:
  // One less of a message is unanswered: what is ready is written with the last, or when it is
  // late.
  void Answered(int* unanswered) {
    bool arm = false;
    {
      absl::MutexLock lock(&mu_);
      if (--*unanswered > 0) {
        if (dispatching_ || timed_ || ready_.responses_size() == 0) return;
        arm = timed_ = true;
      }
    }
    if (!arm) return Flush();
    EnvPoller* const poller = poller_ != nullptr ? poller_ : registry_->poller();
    poller->At(absl::Now() + kHoldAnswer, weak_from_this());
  }

  // What was read; the stream is held for it.
  void TakeMessage() {
    if (Dispatch()) StartRead(&incoming_);
    Release();
  }

  void CloseSessions() override {
    std::vector<std::shared_ptr<Lane>> lanes;
    {
      absl::MutexLock lock(&mu_);
      gone_ = true;
      for (const auto& [id, lane] : lanes_) lanes.push_back(lane);
    }
    for (const std::shared_ptr<Lane>& lane : lanes) lane->Close();
  }

  // Hands each request of the message to its lane. False where the stream ends instead.
  bool Dispatch() {
    grpc::Slice slice;
    const std::string_view bytes = View(incoming_, &slice);
    if (!requests_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      Refuse({grpc::StatusCode::INVALID_ARGUMENT,
              absl::StrCat("the ", bytes.size(),
                           " bytes of the message are no midlane.bridge.v1.LanesRequest: send one, "
                           "serialised whole")});
      return false;
    }
    DropClosed();
    const auto unanswered = std::make_shared<int>(1);  // this dispatch
    SetDispatching(true);
    const bool goes_on = HandleEach(unanswered);
    SetDispatching(false);
    Answered(unanswered.get());
    return goes_on;
  }

  bool HandleEach(const std::shared_ptr<int>& unanswered) {
    for (const LaneRequest& request : requests_.requests()) {
      if (request.close()) {
        CloseLane(request.lane());
        continue;
      }
      const std::shared_ptr<Lane> lane = LaneOf(request.lane());
      if (lane == nullptr) continue;
      if (!Begin(lane.get(), unanswered)) {
        Refuse({grpc::StatusCode::FAILED_PRECONDITION,
                absl::StrCat("lane ", request.lane(),
                             " has a request under way: send its next when the answer has come, "
                             "or use another lane")});
        return false;
      }
      lane->Handle(request.request());
    }
    return true;
  }

  // No answer is late before the message has been dispatched.
  void SetDispatching(bool dispatching) {
    absl::MutexLock lock(&mu_);
    dispatching_ = dispatching;
  }

  // Null where there may be no more: then the request is answered.
  std::shared_ptr<Lane> LaneOf(uint64_t id) {
    absl::MutexLock lock(&mu_);
    std::shared_ptr<Lane>& lane = lanes_[id];
    if (lane != nullptr) return lane;
    uint64_t client = 0;
    const grpc::Status admitted = table_->AddConnection(&client);
    if (admitted.ok() && !gone_) {
      lane = std::make_shared<Lane>(this, registry_, id, client,
                                    absl::StrCat("client ", client, " at ", peer_), poller_);
      return lane;
    }
    if (admitted.ok()) table_->DropConnection();
    lanes_.erase(id);
    wire::EnvironmentResponse refusal;
    SetError(absl::ResourceExhaustedError(admitted.error_message()), &refusal);
    if (Keep(id, refusal.SerializeAsString())) Hold();
    return nullptr;  // written when the message has been dispatched, or with what is late
  }

  // False where the lane has a request under way.
  bool Begin(Lane* lane, const std::shared_ptr<int>& unanswered) {
    Hold();
    absl::MutexLock lock(&mu_);
    if (lane->busy) {
      // The stream is held by who dispatches, so this is not its end.
      Release();
      return false;
    }
    lane->unanswered = unanswered;
    ++*unanswered;
    return lane->busy = true;
  }

  void CloseLane(uint64_t id) {
    std::shared_ptr<Lane> lane;
    {
      absl::MutexLock lock(&mu_);
      const auto found = lanes_.find(id);
      if (found == lanes_.end()) return;
      lane = std::move(found->second);
      lanes_.erase(found);
      lane->closed = true;
      closed_.push_back(lane);
    }
    lane->Close();
    table_->DropConnection();
  }

  void DropClosed() {
    absl::MutexLock lock(&mu_);
    closed_.erase(std::remove_if(closed_.begin(), closed_.end(),
                                 [](const std::shared_ptr<Lane>& lane) { return !lane->busy; }),
                  closed_.end());
  }

  // True where nothing was kept before: one hold of the stream is for what is kept.
  bool Keep(uint64_t id, std::string response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto* answer = ready_.add_responses();
    answer->set_lane(id);
    answer->set_response(std::move(response));
    if (ready_.responses_size() > 1) return false;
    held_until_ = absl::Now() + kHoldAnswer;
    return true;
  }

  StreamTable* const table_;
  WorldRegistry* const registry_;
  const std::string peer_;
  EnvPoller* const poller_;
  grpc::ByteBuffer incoming_, outgoing_;
  LanesRequest requests_;

  absl::Mutex mu_;
  std::unordered_map<uint64_t, std::shared_ptr<Lane>> lanes_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<Lane>> closed_ ABSL_GUARDED_BY(mu_);  // until nothing is under way
  LanesResponse ready_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  absl::Time held_until_ ABSL_GUARDED_BY(mu_);
  bool dispatching_ ABSL_GUARDED_BY(mu_) = false;
  bool timed_ ABSL_GUARDED_BY(mu_) = false;  // OnTime will be called
  bool gone_ ABSL_GUARDED_BY(mu_) = false;   // the client; no lane begins any more
};

void Lane::Done() {
  std::string response = step.empty() ? response_->SerializeAsString() : std::move(step);
  step.clear();
  stream_->Answer(id_, this, std::move(response));
}

}  // namespace

StreamTable::Reactor* LanesService::Process(grpc::CallbackServerContext* context) {
  EnvPoller* poller = nullptr;
  const auto hint = context->client_metadata().find(kCoreHintKey);
  if (hint != context->client_metadata().end()) {
    const auto core = ReadCoreHint({hint->second.data(), hint->second.size()});
    if (core) poller = registry_->PollerOf(*core);
  }
  return table_->Admit(std::make_shared<LanesStream>(table_, registry_, context->peer(), poller));
}

}  // namespace midlane::rpc
