// The worker's end: a DEALER for experience whose connection is watched by a monitor socket (each
// new connection is greeted with Hello, so that a restarted learner learns of this worker and both
// books begin again from nothing), and a DEALER for weights, made when the first version is wanted.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "rollout/hash.h"
#include "rollout/transport.h"
#include "rollout/transport_zmq.h"
#include "rollout/weights_cache.h"

namespace midlane {
namespace {

using transport::Context;
using transport::MakeFrame;
using transport::Part;
using transport::Socket;
using Clock = std::chrono::steady_clock;

constexpr int kGoodbyeLingerMs = 2000;
constexpr uint32_t kPartsInFlight = 8;
constexpr int kDownloadAttempts = 3;
constexpr char kMonitor[] = "inproc://monitor";

// Wildcards of the learner's listening address mean the host that we reached it at.
std::string ReachableAddress(const std::string& learner, const std::string& weights) {
  for (std::string_view wildcard : {"tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"}) {
    if (!weights.starts_with(wildcard) || !learner.starts_with("tcp://")) continue;
    return learner.substr(0, learner.rfind(':') + 1) + weights.substr(wildcard.size());
  }
  return weights;
}

class ZmqWorkerTransport final : public WorkerTransport {
 public:
  explicit ZmqWorkerTransport(WorkerTransportOptions options) : options_(std::move(options)) {}

  ~ZmqWorkerTransport() override {
    if (joined_) experience_.Set(ZMQ_LINGER, kGoodbyeLingerMs);
  }

  absl::Status Start() {
    experience_ = Socket(context_, ZMQ_DEALER);
    experience_.SetCommonOptions();
    std::string identity = "W";
    const uint64_t worker = options_.hello.worker();
    identity.append(reinterpret_cast<const char*>(&worker), sizeof worker);
    experience_.Set(ZMQ_ROUTING_ID, identity);
    if (zmq_socket_monitor(experience_.get(), kMonitor,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0) {
      return absl::InternalError(
          absl::StrCat("transport: no monitor socket: ", zmq_strerror(zmq_errno())));
    }
    monitor_ = Socket(context_, ZMQ_PAIR);
    zmq_connect(monitor_.get(), kMonitor);
    if (zmq_connect(experience_.get(), options_.learner.c_str()) != 0) {
      return absl::InvalidArgumentError(absl::StrCat("learner: \"", options_.learner,
                                                     "\" cannot be connected to (",
                                                     zmq_strerror(zmq_errno()), ")"));
    }
    lost_since_ = Clock::now();
    while (!joined_) {
      if (stopped()) return absl::CancelledError("transport: stopped while joining");
      if (absl::Status status = Poll(absl::Milliseconds(200)); !status.ok()) return status;
    }
    cache_ = WeightsCache::Open(options_.learner);
    return absl::OkStatus();
  }

  absl::Status Poll(absl::Duration wait) override {
    const auto deadline = Clock::now() + absl::ToChronoNanoseconds(wait);
    for (;;) {
      TakeMonitorEvents();
      const bool came = TakeMessages();
      if (!refusal_.empty()) return absl::FailedPreconditionError(refusal_);
      const auto now = Clock::now();
      if (!joined_ && now - lost_since_ > absl::ToChronoNanoseconds(options_.timeout)) {
        return absl::UnavailableError(absl::StrCat(
            "no learner has answered at ", options_.learner, " for ",
            absl::FormatDuration(options_.timeout),
            "; start one there, or name the address of the one that runs (learner.address in its "
            "run folder)"));
      }
      if (came || now >= deadline) return absl::OkStatus();
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
      zmq_pollitem_t items[] = {{experience_.get(), 0, ZMQ_POLLIN, 0},
                                {monitor_.get(), 0, ZMQ_POLLIN, 0}};
      zmq_poll(items, 2, left);
    }
  }

  uint64_t credits() const override { return credits_; }
  bool joined() const override { return joined_; }
  const v1::Notice* notice() const override { return notice_ ? &*notice_ : nullptr; }
  uint64_t notices() const override { return notices_; }

  absl::Status SendChunk(const v1::ChunkHeader& header, MutableChunk::Payload payload) override {
    if (credits_ == 0) {
      return absl::FailedPreconditionError("transport: no credit; Poll until credits() > 0");
    }
    --credits_;
    produced_ = std::max(produced_, header.number() + 1);
    // FromWorker{chunk: header}, written around the header without a copy of it.
    const size_t header_bytes = header.ByteSizeLong();
    uint8_t prefix[11] = {v1::FromWorker::kChunkFieldNumber << 3 | 2};
    size_t prefix_bytes = 1;
    size_t length = header_bytes;
    for (; length >= 0x80; length >>= 7) {
      prefix[prefix_bytes++] = static_cast<uint8_t>(length | 0x80);
    }
    prefix[prefix_bytes++] = static_cast<uint8_t>(length);
    Part envelope(prefix_bytes + header_bytes);
    auto* out = reinterpret_cast<uint8_t*>(envelope.data());
    std::memcpy(out, prefix, prefix_bytes);
    header.SerializeWithCachedSizesToArray(out + prefix_bytes);
    const auto release = [](void* data, void* hint) {
      reinterpret_cast<void (*)(void*)>(hint)(data);
    };
    void* const hint = reinterpret_cast<void*>(payload.data.get_deleter());
    Part body(payload.data.release(), payload.bytes, release, hint);
    if (!experience_.Send(std::move(envelope), /*more=*/true) ||
        !experience_.Send(std::move(body))) {
      return absl::UnavailableError(
          absl::StrCat("transport: sending a chunk failed: ", zmq_strerror(zmq_errno())));
    }
    return absl::OkStatus();
  }

  absl::Status Send(const v1::FromWorker& message) override {
    if (!experience_.Send(Part(message.SerializeAsString()))) {
      return absl::UnavailableError(
          absl::StrCat("transport: sending failed: ", zmq_strerror(zmq_errno())));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Frame>> FetchWeights(uint64_t version, uint64_t bytes,
                                                      uint64_t hash) override {
    if (bytes > kWeightsBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("weights version ", version, " has ", bytes,
                                                     " bytes, the limit is ", kWeightsBytesMax));
    }
    if (!joined_) {
      return absl::UnavailableError(absl::StrCat("weights version ", version, ": the learner at ",
                                                 options_.learner, " is away"));
    }
    absl::StatusOr<std::unique_ptr<Frame>> frame;
    for (int attempt = 0; attempt < kDownloadAttempts; ++attempt) {
      frame = cache_->Get(
          version, bytes, hash, options_.timeout,
          [&](const WeightsCache::Append& append) { return Download(version, bytes, append); });
      if (frame.ok() || frame.status().code() != absl::StatusCode::kDataLoss) break;
    }
    return frame;
  }

 private:
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  void TakeMonitorEvents() {
    Part event, address;
    while (monitor_.Receive(&event)) {
      monitor_.Receive(&address);
      uint16_t number = 0;
      if (event.bytes().size() >= sizeof number) {
        std::memcpy(&number, event.bytes().data(), sizeof number);
      }
      if (joined_) lost_since_ = Clock::now();
      joined_ = false;
      greeted_ = false;
      credits_ = 0;
      if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) SendHello();
    }
  }

  void SendHello() {
    v1::FromWorker message;
    *message.mutable_hello() = options_.hello;
    message.mutable_hello()->set_produced(std::max(options_.hello.produced(), produced_));
    greeted_ = experience_.Send(Part(message.SerializeAsString()));
  }

  bool TakeMessages() {
    bool came = false;
    Part part;
    while (experience_.Receive(&part)) {
      const bool whole = !part.more();
      while (part.more() && experience_.Receive(&part)) {
      }
      if (!whole ||
          !inbox_.ParseFromArray(part.bytes().data(), static_cast<int>(part.bytes().size()))) {
        continue;
      }
      came = Take() || came;
    }
    return came;
  }

  // What came before the Welcome of this connection belongs to an earlier one and is void.
  bool Take() {
    switch (inbox_.body_case()) {
      case v1::FromLearner::kWelcome:
        if (!greeted_) return false;
        joined_ = true;
        credits_ = 0;
        weights_address_ = ReachableAddress(options_.learner, inbox_.welcome().weights_address());
        return true;
      case v1::FromLearner::kCredit:
        if (joined_) credits_ += inbox_.credit().chunks();
        return joined_;
      case v1::FromLearner::kNotice:
        if (!joined_) return false;
        notice_ = inbox_.notice();
        ++notices_;
        return true;
      case v1::FromLearner::kRefusal:
        refusal_ = inbox_.refusal().reason();
        return true;
      case v1::FromLearner::BODY_NOT_SET:
        return false;
    }
    return false;
  }

  absl::Status Request(uint64_t version, uint64_t offset, uint64_t bytes) {
    v1::WeightsRequest request;
    request.set_version(version);
    request.set_offset(offset);
    request.set_bytes(static_cast<uint32_t>(std::min<uint64_t>(kWeightsPartBytes, bytes - offset)));
    if (!weights_.Send(Part(request.SerializeAsString()))) {
      return absl::UnavailableError(
          absl::StrCat("weights: asking failed: ", zmq_strerror(zmq_errno())));
    }
    return absl::OkStatus();
  }

  absl::Status Download(uint64_t version, uint64_t bytes, const WeightsCache::Append& append) {
    // A socket of its own for each download: nothing of an aborted one can be in it.
    weights_ = Socket(context_, ZMQ_DEALER);
    weights_.SetCommonOptions();
    weights_.Set(ZMQ_MAXMSGSIZE, int64_t{kWeightsPartBytes} + 4096);
    if (zmq_connect(weights_.get(), weights_address_.c_str()) != 0) {
      return absl::UnavailableError(absl::StrCat("weights: cannot connect to \"", weights_address_,
                                                 "\": ", zmq_strerror(zmq_errno())));
    }
    uint64_t asked = 0;
    for (uint64_t at = 0; at < bytes;) {
      for (; asked < bytes && asked < at + uint64_t{kPartsInFlight} * kWeightsPartBytes;
           asked += kWeightsPartBytes) {
        if (absl::Status status = Request(version, asked, bytes); !status.ok()) return status;
      }
      absl::StatusOr<Part> part = ReceivePart(version, at, bytes);
      if (!part.ok()) return part.status();
      if (absl::Status status = append(part->bytes()); !status.ok()) return status;
      at += part->bytes().size();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Part> ReceivePart(uint64_t version, uint64_t offset, uint64_t bytes) {
    Part header, body;
    const auto deadline = Clock::now() + absl::ToChronoNanoseconds(options_.timeout);
    while (!weights_.Receive(&header)) {
      zmq_pollitem_t items[] = {{weights_.get(), 0, ZMQ_POLLIN, 0},
                                {monitor_.get(), 0, ZMQ_POLLIN, 0}};
      zmq_poll(items, 2, 1000);
      TakeMonitorEvents();
      if (stopped()) return absl::CancelledError("transport: stopped while fetching weights");
      if (!joined_ || Clock::now() > deadline) {
        return absl::UnavailableError(absl::StrCat("weights version ", version, ": the learner at ",
                                                   weights_address_,
                                                   joined_ ? " does not answer" : " is gone"));
      }
    }
    v1::WeightsPart part;
    const bool parsed =
        part.ParseFromArray(header.bytes().data(), static_cast<int>(header.bytes().size()));
    if (parsed && part.total_bytes() == 0 && !header.more()) {
      return absl::NotFoundError(absl::StrCat("weights version ", version,
                                              " is no longer served; wait for the next notice"));
    }
    if (!header.more() || !weights_.Receive(&body) || body.more() || !parsed ||
        part.version() != version || part.offset() != offset || part.total_bytes() != bytes ||
        body.bytes().size() != std::min<uint64_t>(kWeightsPartBytes, bytes - offset) ||
        Hash64(body.bytes()) != part.hash()) {
      return absl::DataLossError(absl::StrCat("weights version ", version, ": the part at offset ",
                                              offset, " came damaged (its XXH3 or size is wrong)"));
    }
    return body;
  }

  WorkerTransportOptions options_;
  Context context_;
  Socket experience_;
  Socket monitor_;
  Socket weights_;
  bool greeted_ = false;  // Hello went out on this connection
  bool joined_ = false;   // and was answered
  Clock::time_point lost_since_;
  std::string refusal_;
  std::string weights_address_;
  uint64_t credits_ = 0;
  uint64_t produced_ = 0;
  v1::FromLearner inbox_;
  std::optional<v1::Notice> notice_;
  uint64_t notices_ = 0;
  std::unique_ptr<WeightsCache> cache_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerTransport>> WorkerTransport::Connect(
    WorkerTransportOptions options) {
  if (absl::Status status = transport::CheckAddress(options.learner, "learner"); !status.ok()) {
    return status;
  }
  if (options.hello.worker() == 0) {
    return absl::InvalidArgumentError("hello.worker is 0; give each worker process its own number");
  }
  transport::KeepFreedMemory();
  auto transport = std::make_unique<ZmqWorkerTransport>(std::move(options));
  if (absl::Status status = transport->Start(); !status.ok()) return status;
  return transport;
}

}  // namespace midlane
