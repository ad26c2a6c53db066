// The learner's end: one thread owns the experience ROUTER, the books and the queue to Receive;
// another one, in a context of its own, answers requests for weights.
//
// Books. Every chunk of credits_total is in one place: the pool, held by a worker that may send it,
//   or in hand (received and not granted back): pool + sum(held) + sum(in_hand) = credits_total.
//   A chunk without credit behind it (a worker re-joined, its old chunks came after) is taken from
//   the pool, which may so be negative for a while. Credit goes to whoever holds least; unless
//   somebody holds none it waits until there is enough for a message to be worth while.
// Presence. The ROUTER is mandatory: a look every second fails with EHOSTUNREACH once a worker's
//   connection is gone (closed by its kernel, or by the heartbeat where it froze).
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <thread>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "rollout/hash.h"
#include "rollout/transport.h"
#include "rollout/transport_zmq.h"

namespace midlane {
namespace {

using transport::Context;
using transport::MakeFrame;
using transport::Part;
using transport::Socket;
using Clock = std::chrono::steady_clock;

constexpr auto kLookEvery = std::chrono::seconds(1);
constexpr int kMessagesABatch = 256;

// Makes a thread that sleeps in zmq_poll look up.
class Wakeup {
 public:
  Wakeup() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Wakeup() { close(fd_); }
  int fd() const { return fd_; }
  void Ring() {
    if (pending_.exchange(true)) return;
    const uint64_t one = 1;
    (void)!write(fd_, &one, sizeof one);
  }
  // Before looking at what was rung for.
  void Clear() {
    uint64_t count;
    (void)!read(fd_, &count, sizeof count);
    pending_.store(false);
  }

 private:
  const int fd_;
  std::atomic<bool> pending_{false};
};

// Keeps a second learner off a Unix socket's path, which ZeroMQ would silently take over.
class PathLock {
 public:
  ~PathLock() {
    if (fd_ < 0) return;
    unlink(path_.c_str());
    close(fd_);
  }

  absl::Status Take(const std::string& address) {
    if (!address.starts_with("ipc://") || address.starts_with("ipc://@") || address == "ipc://*") {
      return absl::OkStatus();
    }
    const std::string socket_path = address.substr(6);
    const auto in_use = [&] {
      return absl::AlreadyExistsError(
          absl::StrCat("\"", address, "\" is in use by a live process; stop that learner, or give ",
                       "this one another address"));
    };
    path_ = socket_path + ".lock";
    for (;;) {
      const int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      if (fd < 0) {
        return absl::InvalidArgumentError(absl::StrCat("\"", address, "\": cannot write ", path_,
                                                       " (", strerror(errno),
                                                       "); choose a folder that exists and is "
                                                       "yours"));
      }
      if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return in_use();
      }
      struct stat ours, named;
      if (fstat(fd, &ours) == 0 && stat(path_.c_str(), &named) == 0 &&
          ours.st_ino == named.st_ino) {
        fd_ = fd;
        break;
      }
      close(fd);  // its owner removed it between our two calls
    }
    return IsServed(socket_path) ? in_use() : absl::OkStatus();
  }

 private:
  // Whether somebody listens at `path`, one of ours or not.
  static bool IsServed(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, path.data(), std::min(path.size(), sizeof name.sun_path - 1));
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool served =
        connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0 || errno == EAGAIN;
    close(fd);
    return served;
  }

  std::string path_;
  int fd_ = -1;
};

absl::Status BindSocket(Socket* socket, const std::string& address, const std::string& field) {
  if (zmq_bind(socket->get(), address.c_str()) == 0) return absl::OkStatus();
  const int error = zmq_errno();
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(
        absl::StrCat(field, ": \"", address, "\" is in use; stop the learner that runs there, or ",
                     "write tcp://HOST:* for a free port"));
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ": cannot listen at \"", address, "\" (",
                                                 zmq_strerror(error),
                                                 "); name an address of this machine"));
}

// ---- Weights --------------------------------------------------------------------------------

class WeightsService {
 public:
  ~WeightsService() {
    if (!thread_.joinable()) return;
    stop_.store(true);
    wakeup_.Ring();
    thread_.join();
  }

  absl::Status Start(const std::string& address) {
    if (absl::Status status = lock_.Take(address); !status.ok()) return status;
    socket_ = Socket(context_, ZMQ_ROUTER);
    socket_.SetCommonOptions();
    socket_.Set(ZMQ_MAXMSGSIZE, int64_t{4096});
    if (absl::Status status = BindSocket(&socket_, address, "weights address"); !status.ok()) {
      return status;
    }
    address_ = socket_.Endpoint();
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  const std::string& address() const { return address_; }

  void Serve(uint64_t version, std::shared_ptr<const std::string> blob) {
    auto served = std::make_shared<Served>();
    served->part_hashes.resize((blob->size() + kWeightsPartBytes - 1) / kWeightsPartBytes);
    served->blob = std::move(blob);
    absl::MutexLock lock(&mutex_);
    served_[version] = std::move(served);
  }

  void Retire(uint64_t version) {
    absl::MutexLock lock(&mutex_);
    served_.erase(version);
  }

 private:
  struct Served {
    std::shared_ptr<const std::string> blob;
    std::vector<std::optional<uint64_t>> part_hashes;  // of the thread; made when first asked for
  };

  void Run() {
    while (!stop_.load()) {
      zmq_pollitem_t items[] = {{socket_.get(), 0, ZMQ_POLLIN, 0},
                                {nullptr, wakeup_.fd(), ZMQ_POLLIN, 0}};
      zmq_poll(items, 2, -1);
      Part identity, part;
      while (!stop_.load() && socket_.Receive(&identity)) {
        if (!identity.more() || !socket_.Receive(&part)) continue;
        const bool whole = !part.more();
        v1::WeightsRequest request;
        const bool parsed =
            request.ParseFromArray(part.bytes().data(), static_cast<int>(part.bytes().size()));
        while (part.more() && socket_.Receive(&part)) {
        }
        if (whole && parsed) Answer(std::move(identity), request);
      }
    }
    socket_.Close();
  }

  void Answer(Part identity, const v1::WeightsRequest& request) {
    std::shared_ptr<Served> served;
    {
      absl::MutexLock lock(&mutex_);
      const auto found = served_.find(request.version());
      if (found != served_.end()) served = found->second;
    }
    v1::WeightsPart answer;
    answer.set_version(request.version());
    answer.set_offset(request.offset());
    const bool valid = served != nullptr && request.offset() < served->blob->size() &&
                       request.offset() % kWeightsPartBytes == 0;
    if (!valid) {
      socket_.Send(std::move(identity), /*more=*/true);
      socket_.Send(Part(answer.SerializeAsString()));
      return;
    }
    const std::string_view bytes =
        std::string_view(*served->blob).substr(request.offset(), kWeightsPartBytes);
    std::optional<uint64_t>& hash = served->part_hashes[request.offset() / kWeightsPartBytes];
    if (!hash) hash = Hash64(bytes);
    answer.set_total_bytes(served->blob->size());
    answer.set_hash(*hash);
    socket_.Send(std::move(identity), /*more=*/true);
    socket_.Send(Part(answer.SerializeAsString()), /*more=*/true);
    using Blob = std::shared_ptr<const std::string>;
    auto* keep = new Blob(served->blob);
    socket_.Send(Part(
        const_cast<char*>(bytes.data()), bytes.size(),
        [](void*, void* hint) { delete static_cast<Blob*>(hint); }, keep));
  }

  PathLock lock_;
  Context context_;
  Wakeup wakeup_;
  std::atomic<bool> stop_{false};
  std::string address_;
  absl::Mutex mutex_;
  std::map<uint64_t, std::shared_ptr<Served>> served_ ABSL_GUARDED_BY(mutex_);
  Socket socket_;  // of the thread, once it runs
  std::thread thread_;
};

// ---- Experience -----------------------------------------------------------------------------

class ZmqLearnerTransport final : public LearnerTransport {
 public:
  explicit ZmqLearnerTransport(LearnerTransportOptions options)
      : options_(std::move(options)), pool_(options_.credits_total) {
    std::random_device random;
    learner_ = (static_cast<uint64_t>(random()) << 32 | random()) | 1;
  }

  ~ZmqLearnerTransport() override {
    if (!thread_.joinable()) return;
    stop_.store(true);
    wakeup_.Ring();
    thread_.join();
  }

  absl::Status Start() {
    if (absl::Status status = lock_.Take(options_.listen); !status.ok()) return status;
    socket_ = Socket(context_, ZMQ_ROUTER);
    socket_.SetCommonOptions();
    socket_.Set(ZMQ_ROUTER_MANDATORY, 1);
    socket_.Set(ZMQ_ROUTER_HANDOVER, 1);
    socket_.Set(ZMQ_MAXMSGSIZE, int64_t{kChunkBytesMax});
    if (absl::Status status = BindSocket(&socket_, options_.listen, "listen address");
        !status.ok()) {
      return status;
    }
    address_ = socket_.Endpoint();
    if (absl::Status status = weights_.Start(options_.weights); !status.ok()) return status;
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  std::string address() const override { return address_; }
  std::string weights_address() const override { return weights_.address(); }

  absl::StatusOr<Received> Receive(absl::Duration timeout) override {
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithTimeout(
            absl::Condition(
                +[](std::deque<Received>* received) { return !received->empty(); }, &received_),
            timeout)) {
      return absl::DeadlineExceededError("transport: nothing came in time");
    }
    Received first = std::move(received_.front());
    received_.pop_front();
    return first;
  }

  void Grant(uint64_t worker, uint32_t chunks) override {
    bool enough;
    {
      absl::MutexLock lock(&mutex_);
      grants_.emplace_back(worker, chunks);
      enough = grants_.size() >= deal_min_;
    }
    if (enough || somebody_starves_.load()) wakeup_.Ring();
  }

  void Serve(uint64_t version, std::shared_ptr<const std::string> blob) override {
    weights_.Serve(version, std::move(blob));
  }
  void Retire(uint64_t version) override { weights_.Retire(version); }

  void Announce(const v1::Notice& notice) override {
    v1::FromLearner message;
    *message.mutable_notice() = notice;
    {
      absl::MutexLock lock(&mutex_);
      announced_ = message.SerializeAsString();
    }
    wakeup_.Ring();
  }

  uint32_t workers() const override { return present_.load(); }

 private:
  struct Peer {
    std::string identity;
    bool present = false;  // greeted, and its connection stands
    int64_t held = 0;      // chunks that it may send
    int64_t in_hand = 0;   // received from it and not granted back
    uint32_t dealt = 0;    // in the present deal
  };

  void Run() {
    auto next_look = Clock::now() + kLookEvery;
    while (!stop_.load()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(next_look - Clock::now()).count();
      zmq_pollitem_t items[] = {{socket_.get(), 0, ZMQ_POLLIN, 0},
                                {nullptr, wakeup_.fd(), ZMQ_POLLIN, 0}};
      zmq_poll(items, 2, std::max<long>(0, left));
      for (bool more = true; more && !stop_.load();) {
        more = TakeMessages();
        HandOver();
      }
      TakeCommands();
      if (Clock::now() >= next_look) {
        LookForAll();
        next_look = Clock::now() + kLookEvery;
      }
      Deal();
      somebody_starves_.store(SomebodyStarves());
      // A grant that saw nobody starve did not ring.
      if (somebody_starves_.load() && HasCommands()) wakeup_.Ring();
    }
    socket_.Close();
  }

  bool HasCommands() {
    absl::MutexLock lock(&mutex_);
    return !grants_.empty() || announced_.has_value();
  }

  bool SomebodyStarves() const {
    for (const auto& [worker, peer] : peers_) {
      if (peer.present && peer.held == 0) return true;
    }
    return false;
  }

  // Reads up to a batch of messages; true where there may be more.
  bool TakeMessages() {
    Part identity, envelope, payload;
    for (int i = 0; i < kMessagesABatch; ++i) {
      if (!socket_.Receive(&identity)) return false;
      int parts = 0;  // behind the identity
      for (bool more = identity.more(); more; ++parts) {
        Part extra;
        Part* const part = parts == 0 ? &envelope : parts == 1 ? &payload : &extra;
        if (!socket_.Receive(part)) break;
        more = part->more();
      }
      Take(identity.bytes(), parts, envelope.bytes(), &payload);
    }
    return true;
  }

  // One message; what no worker of ours would send is ignored, and shows as a gap in the numbers.
  void Take(std::string_view identity, int parts, std::string_view envelope, Part* payload) {
    uint64_t worker = 0;
    if (identity.size() != 1 + sizeof worker || identity[0] != 'W') return;
    std::memcpy(&worker, identity.data() + 1, sizeof worker);
    Received received;
    v1::FromWorker& message = received.message;
    if (parts < 1 || envelope.size() > kEnvelopeBytes ||
        !message.ParseFromArray(envelope.data(), static_cast<int>(envelope.size()))) {
      return;
    }
    const bool is_chunk = message.body_case() == v1::FromWorker::kChunk;
    if (parts != (is_chunk ? 2 : 1)) return;
    switch (message.body_case()) {
      case v1::FromWorker::kHello:
        if (message.hello().worker() == worker) Welcome(worker, identity, message.hello());
        return;
      case v1::FromWorker::kChunk: {
        if (message.chunk().worker() != worker) return;
        Peer& peer = peers_[worker];
        (peer.held > 0 ? peer.held : pool_) -= 1;
        ++peer.in_hand;
        received.payload = MakeFrame(std::move(*payload));
        break;
      }
      case v1::FromWorker::kGoodbye:
        if (message.goodbye().worker() != worker) return;
        Leave(worker);
        break;
      case v1::FromWorker::kResult:
        if (message.result().worker() != worker) return;
        break;
      case v1::FromWorker::kReport:
        if (message.report().worker() != worker) return;
        break;
      case v1::FromWorker::BODY_NOT_SET:
        return;
    }
    batch_.push_back(std::move(received));
  }

  void HandOver() {
    if (batch_.empty()) return;
    absl::MutexLock lock(&mutex_);
    std::move(batch_.begin(), batch_.end(), std::back_inserter(received_));
    batch_.clear();
  }

  std::string WhyRefused(const v1::Hello& hello) const {
    const auto differs = [](const char* what, uint64_t theirs, uint64_t ours, const char* remedy) {
      return absl::StrFormat("the learner trains on %s %016x, this worker has %016x: %s", what,
                             ours, theirs, remedy);
    };
    if (hello.environment_hash() != options_.environment_hash) {
      return differs("environment", hello.environment_hash(), options_.environment_hash,
                     "start both with the same environment and the same version of its adapter");
    }
    if (hello.network_hash() != options_.network_hash) {
      return differs("network", hello.network_hash(), options_.network_hash,
                     "start both with the same [network] configuration");
    }
    return "";
  }

  void Welcome(uint64_t worker, std::string_view identity, const v1::Hello& hello) {
    v1::FromLearner answer;
    if (std::string reason = WhyRefused(hello); !reason.empty()) {
      answer.mutable_refusal()->set_reason(std::move(reason));
      SendTo(identity, answer.SerializeAsString());
      return;
    }
    Peer& peer = peers_[worker];
    peer.identity = std::string(identity);
    pool_ += std::exchange(peer.held, 0);
    if (!std::exchange(peer.present, true)) ++present_;
    answer.mutable_welcome()->set_learner(learner_);
    answer.mutable_welcome()->set_weights_address(weights_.address());
    if (!SendTo(identity, answer.SerializeAsString())) {
      Leave(worker);
    } else if (!notice_.empty()) {
      SendTo(identity, notice_);
    }
  }

  // The worker is gone: what it was allowed is dealt to others. What is in hand stays on the books.
  void Leave(uint64_t worker) {
    const auto found = peers_.find(worker);
    if (found == peers_.end()) return;
    Peer& peer = found->second;
    pool_ += std::exchange(peer.held, 0);
    if (std::exchange(peer.present, false)) --present_;
    if (peer.in_hand == 0) peers_.erase(found);
  }

  bool SendTo(std::string_view identity, std::string_view message) {
    return socket_.Send(Part(identity), /*more=*/true) && socket_.Send(Part(message));
  }

  // Sends `message` to every worker present, and takes leave of those that are gone.
  void SendToAll(std::string_view message) {
    std::vector<uint64_t> gone;
    for (const auto& [worker, peer] : peers_) {
      if (peer.present && !SendTo(peer.identity, message)) gone.push_back(worker);
    }
    for (uint64_t worker : gone) Leave(worker);
  }

  void LookForAll() { SendToAll(v1::FromLearner().SerializeAsString()); }

  void TakeCommands() {
    wakeup_.Clear();
    std::optional<std::string> announced;
    {
      absl::MutexLock lock(&mutex_);
      granted_.swap(grants_);
      announced.swap(announced_);
    }
    for (const auto& [worker, chunks] : granted_) {
      const auto found = peers_.find(worker);
      if (found == peers_.end()) continue;
      Peer& peer = found->second;
      const int64_t back = std::min<int64_t>(chunks, peer.in_hand);
      peer.in_hand -= back;
      pool_ += back;
      if (!peer.present && peer.in_hand == 0) peers_.erase(found);
    }
    granted_.clear();
    if (announced) {
      notice_ = std::move(*announced);
      SendToAll(notice_);
    }
  }

  void Deal() {
    while (pool_ > 0 && present_.load() > 0 && (pool_ >= deal_min_ || SomebodyStarves())) {
      const int64_t share =
          std::max<int64_t>(1, (options_.credits_total + present_.load() - 1) / present_.load());
      std::vector<Peer*> dealt_to;
      for (;;) {
        Peer* least = nullptr;
        for (auto& [worker, peer] : peers_) {
          if (!peer.present || peer.held >= share) continue;
          if (least == nullptr ||
              std::pair(peer.held, peer.in_hand) < std::pair(least->held, least->in_hand)) {
            least = &peer;
          }
        }
        if (least == nullptr || pool_ <= 0) break;
        if (least->dealt++ == 0) dealt_to.push_back(least);
        ++least->held;
        --pool_;
      }
      if (dealt_to.empty()) return;
      std::vector<uint64_t> gone;
      for (auto& [worker, peer] : peers_) {
        if (peer.dealt == 0) continue;
        v1::FromLearner message;
        message.mutable_credit()->set_chunks(std::exchange(peer.dealt, 0));
        if (!SendTo(peer.identity, message.SerializeAsString())) gone.push_back(worker);
      }
      for (uint64_t worker : gone) Leave(worker);
      if (gone.empty()) return;
    }
  }

  const LearnerTransportOptions options_;
  const uint32_t deal_min_ = std::max(1u, options_.credits_total / 16);
  uint64_t learner_ = 0;
  PathLock lock_;
  Context context_;
  Wakeup wakeup_;
  WeightsService weights_;
  std::string address_;
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> present_{0};
  std::atomic<bool> somebody_starves_{false};  // of those present: holds no credit

  absl::Mutex mutex_;
  std::deque<Received> received_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<uint64_t, uint32_t>> grants_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::string> announced_ ABSL_GUARDED_BY(mutex_);

  // Of the thread, once it runs.
  static constexpr size_t kEnvelopeBytes = transport::kEnvelopeBytesMax;
  Socket socket_;
  std::unordered_map<uint64_t, Peer> peers_;
  int64_t pool_;
  std::string notice_;  // the newest, serialized
  std::vector<Received> batch_;
  std::vector<std::pair<uint64_t, uint32_t>> granted_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LearnerTransport>> LearnerTransport::Bind(
    LearnerTransportOptions options) {
  for (const auto& [address, field] : {std::pair(&options.listen, "listen address"),
                                       std::pair(&options.weights, "weights address")}) {
    if (absl::Status status = transport::CheckAddress(*address, field); !status.ok()) {
      return status;
    }
  }
  transport::KeepFreedMemory();
  auto transport = std::make_unique<ZmqLearnerTransport>(std::move(options));
  if (absl::Status status = transport->Start(); !status.ok()) return status;
  return transport;
}

}  // namespace midlane
