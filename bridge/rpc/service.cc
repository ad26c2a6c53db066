#include "bridge/rpc/service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bridge/rpc/session.h"
#include "google/protobuf/arena.h"

namespace midlane::rpc {
namespace {

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

constexpr size_t kArenaBytes = 16 << 10;  // holds request and answer of most steps

// A stream that was refused before it began.
class RefusedStream final : public Reactor {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

grpc::Status Draining() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE,
                      "the server is shutting down: connect to another");
}

grpc::ByteBuffer Serialise(const google::protobuf::MessageLite& message) {
  const size_t bytes = message.ByteSizeLong();
  grpc::Slice slice(bytes);
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer Bytes(const std::string& text) {
  grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

class Stream final : public Reactor, private Completion {
 public:
  Stream(EnvironmentService* service, WorldRegistry* registry, uint64_t id, const std::string& peer)
      : service_(service),
        session_(registry, id, absl::StrCat("client ", id, " at ", peer)),
        arena_(arena_block_, sizeof arena_block_) {}

  void Begin() { StartRead(&incoming_); }

  // Ends the stream where it only waits for the client; else after the answer under way.
  void Drain() {
    bool finish = false;
    {
      absl::MutexLock lock(&mu_);
      draining_ = true;
      finish = ShouldFinish();
    }
    if (finish) Finish(Draining());
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      bool finish = false;
      {
        absl::MutexLock lock(&mu_);
        ended_ = true;
        finish = ShouldFinish();
      }
      if (finish) Finish(grpc::Status::OK);
      return;
    }
    bool finish = false;
    {
      absl::MutexLock lock(&mu_);
      if (finished_) return;
      finish = ShouldFinish();
      handling_ = !finish;
    }
    if (finish) return Finish(EndStatus());
    arena_.Reset();
    request_ = google::protobuf::Arena::CreateMessage<wire::EnvironmentRequest>(&arena_);
    response_ = google::protobuf::Arena::CreateMessage<wire::EnvironmentResponse>(&arena_);
    grpc::Slice slice;
    if (!incoming_.TrySingleSlice(&slice).ok() && !incoming_.DumpToSingleSlice(&slice).ok()) {
      slice = grpc::Slice();
    }
    session_.HandleBytes(
        std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size()), request_,
        response_, this);
  }

  void OnWriteDone(bool ok) override {
    bool read = false, finish = false;
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
      if (!ok) ended_ = true;
      read = StartsReading();
      finish = ShouldFinish();
    }
    if (read) StartRead(&incoming_);
    if (finish) Finish(EndStatus());
  }

  void OnCancel() override {
    {
      absl::MutexLock lock(&mu_);
      cancelled_ = true;
    }
    session_.Close();
    bool finish = false;
    {
      absl::MutexLock lock(&mu_);
      finish = ShouldFinish();
    }
    if (finish) Finish(EndStatus());
  }

  void OnDone() override {
    session_.Close();
    service_->Forget(this);  // destructs this
  }

 private:
  // The request under way has its answer. The next is read when it is written: reading at once
  // costs sixteen clients a fifth of their steps (tests/bench/rpc_bench.cc).
  void Done() override {
    outgoing_ = step.empty() ? Serialise(*response_) : Bytes(step);
    step.clear();
    bool write = false, finish = false;
    {
      absl::MutexLock lock(&mu_);
      handling_ = false;
      writing_ = write = !cancelled_ && !finished_;
      finish = ShouldFinish();
    }
    if (write) StartWrite(&outgoing_);
    if (finish) Finish(EndStatus());
  }

  bool StartsReading() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (ended_ || cancelled_ || draining_ || finished_) return false;
    return true;
  }

  // True once, when nothing is under way and the stream has come to its end.
  bool ShouldFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (finished_ || handling_ || writing_) return false;
    if (!ended_ && !cancelled_ && !draining_) return false;
    finished_ = true;
    return true;
  }

  grpc::Status EndStatus() {
    absl::MutexLock lock(&mu_);
    if (cancelled_) return grpc::Status::CANCELLED;
    return draining_ && !ended_ ? Draining() : grpc::Status::OK;
  }

  EnvironmentService* const service_;
  Session session_;
  char arena_block_[kArenaBytes];
  google::protobuf::Arena arena_;
  wire::EnvironmentRequest* request_ = nullptr;
  wire::EnvironmentResponse* response_ = nullptr;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;

  absl::Mutex mu_;
  bool handling_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;  // the client sends no more
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* EnvironmentService::Process(
    grpc::CallbackServerContext* context) {
  std::shared_ptr<Stream> stream;
  {
    absl::MutexLock lock(&mu_);
    if (draining_) return new RefusedStream(Draining());
    if (static_cast<int>(streams_.size()) >= connections_max_) {
      return new RefusedStream(grpc::Status(
          grpc::StatusCode::RESOURCE_EXHAUSTED,
          absl::StrCat("the server has its ", connections_max_,
                       " connections: close one, or serve with a larger --connections")));
    }
    stream = std::make_shared<Stream>(this, registry_, ++clients_, context->peer());
    streams_[stream.get()] = stream;
  }
  stream->Begin();
  return stream.get();
}

void EnvironmentService::Drain() {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    absl::MutexLock lock(&mu_);
    draining_ = true;
    for (const auto& [key, stream] : streams_) streams.push_back(stream);
  }
  for (const std::shared_ptr<Stream>& stream : streams) stream->Drain();
}

void EnvironmentService::Forget(Stream* stream) {
  std::shared_ptr<Stream> forgotten;  // destructed under no lock
  absl::MutexLock lock(&mu_);
  const auto found = streams_.find(stream);
  forgotten = std::move(found->second);
  streams_.erase(found);
}

bool EnvironmentService::WaitUntilEmpty(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithDeadline(absl::Condition(
                                   +[](Streams* streams) { return streams->empty(); }, &streams_),
                               deadline);
}

int EnvironmentService::streams() {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(streams_.size());
}

}  // namespace midlane::rpc
