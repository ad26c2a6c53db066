#include "bridge/rpc/service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bridge/rpc/buffers.h"
#include "bridge/rpc/session.h"
#include "google/protobuf/arena.h"

namespace midlane::rpc {
namespace {

constexpr size_t kArenaBytes = 16 << 10;  // holds request and answer of most steps

class EnvironmentStream final : public ServerStream, private Completion {
 public:
  EnvironmentStream(StreamTable* table, WorldRegistry* registry, uint64_t client, std::string name)
      : ServerStream(table),
        table_(table),
        session_(registry, client, std::move(name)),
        arena_(block_, sizeof block_) {}
  ~EnvironmentStream() override { table_->DropConnection(); }

  void Begin() override { StartRead(&incoming_); }

  void OnReadDone(bool ok) override {
    if (!ok) return End();
    if (!Hold()) return;
    arena_.Reset();
    request_ = google::protobuf::Arena::CreateMessage<wire::EnvironmentRequest>(&arena_);
    response_ = google::protobuf::Arena::CreateMessage<wire::EnvironmentResponse>(&arena_);
    grpc::Slice slice;
    session_.HandleBytes(View(incoming_, &slice), request_, response_, this);
  }

  void OnWriteDone(bool ok) override {
    if (ok) {
      StartRead(&incoming_);
    } else {
      End();
    }
    Release();
  }

 private:
  void CloseSessions() override { session_.Close(); }

  // The request under way has its answer. The next is read when it is written: reading at once
  // costs sixteen clients a fifth of their steps (tests/bench/rpc_bench.cc).
  void Done() override {
    outgoing_ = step.empty() ? ToBuffer(*response_) : ToBuffer(step);
    step.clear();
    if (!Writable()) return Release();
    StartWrite(&outgoing_);
  }

  StreamTable* const table_;
  Session session_;
  char block_[kArenaBytes];
  google::protobuf::Arena arena_;
  wire::EnvironmentRequest* request_ = nullptr;
  wire::EnvironmentResponse* response_ = nullptr;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
};

}  // namespace

StreamTable::Reactor* EnvironmentService::Process(grpc::CallbackServerContext* context) {
  uint64_t client = 0;
  const grpc::Status admitted = table_->AddConnection(&client);
  if (!admitted.ok()) return RefuseStream(admitted);
  return table_->Admit(std::make_shared<EnvironmentStream>(
      table_, registry_, client, absl::StrCat("client ", client, " at ", context->peer())));
}

}  // namespace midlane::rpc
