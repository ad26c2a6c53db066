// The experience path and the weights path against bare ZeroMQ, sockets and maps.
//
// experience_*: a worker process builds chunks from filled arrays (MutableChunk::Finish, hash
// included) and
//   ships them by credit; this process receives, parses and checks them and grants the credit
//   back. Primitive: zero-copy ZeroMQ PUSH to PULL of frames of the same sizes between the same two
//   processes, nothing looked at, out of as many buffers as the path has in flight (a buffer that
//   is sent over and over would stay in the cache, which no chunk does). Expected cost beside the
//   primitive: two XXH3 passes.
// weights_fanout: a notice goes out, eight worker processes fetch one 32 MB version through the
//   machine's cache and touch every page. Primitive: one 32 MB transfer over a loopback TCP socket,
//   one XXH3 pass, and eight maps of a memory-backed file with every page touched.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rollout/chunk.h"
#include "rollout/hash.h"
#include "rollout/transport.h"
#include "tests/bench/bench.h"

namespace midlane::bench {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "transport_bench: %s\n", what.c_str());
  _exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status().ToString());
  return *std::move(value);
}

void Must(const absl::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

pid_t Fork(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  return child;
}

void Reap(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) Fail("a child process failed");
}

// A one-shot message from one process to another.
class Mailbox {
 public:
  Mailbox() {
    if (pipe(ends_) != 0) Fail("pipe");
  }
  void Put(const std::string& text) {
    if (write(ends_[1], text.c_str(), text.size() + 1) < 0) Fail("write");
  }
  std::string Take() {
    std::string text;
    for (char c; read(ends_[0], &c, 1) == 1 && c != '\0';) text += c;
    return text;
  }

 private:
  int ends_[2];
};

// ---- Experience -----------------------------------------------------------------------------

ChunkShape ShapeOf() {
  ChunkShape shape;
  shape.inputs = 22;
  shape.logits = 6;
  shape.heads = 1;
  shape.terms = 5;
  shape.environment_hash = 1;
  shape.network_hash = 2;
  return shape;
}

constexpr uint32_t kCredits = 64;

// Bytes of payload a second over the whole path.
double MidlaneBytesPerSecond(uint32_t steps, uint64_t chunks) {
  Mailbox address;
  const ChunkShape shape = ShapeOf();
  const pid_t worker = Fork([&] {
    WorkerTransportOptions options;
    options.learner = address.Take();
    options.hello.set_worker(7);
    options.hello.set_environment_hash(shape.environment_hash);
    options.hello.set_network_hash(shape.network_hash);
    auto transport = Must(WorkerTransport::Connect(options));
    MutableChunk chunk(shape, steps);
    v1::ChunkHeader header;
    for (uint64_t i = 0; i < chunks;) {
      Must(transport->Poll(absl::ZeroDuration()));
      while (transport->credits() == 0) Must(transport->Poll(absl::Seconds(10)));
      for (; transport->credits() > 0 && i < chunks; ++i) {
        header.Clear();
        header.set_worker(7);
        header.set_episode(i);
        header.set_number(i);
        header.add_version(1);
        header.add_version_steps(steps);
        // Fresh memory may hold anything; the checks read these two.
        std::fill(chunk.arrays().ends.begin(), chunk.arrays().ends.end(), kGoesOn);
        std::fill(chunk.arrays().starts.begin(), chunk.arrays().starts.end(), 0);
        auto payload = chunk.Finish(steps, &header);
        Must(transport->SendChunk(header, std::move(payload)));
      }
    }
    v1::FromWorker goodbye;
    goodbye.mutable_goodbye()->set_worker(7);
    Must(transport->Send(goodbye));
    address.Take();
  });
  LearnerTransportOptions options;
  options.environment_hash = shape.environment_hash;
  options.network_hash = shape.network_hash;
  options.credits_total = kCredits;
  auto transport = Must(LearnerTransport::Bind(options));
  address.Put(transport->address());
  double start = 0;
  uint64_t bytes = 0;
  for (uint64_t received = 0; received < chunks;) {
    Received next = Must(transport->Receive(absl::Seconds(20)));
    if (!next.message.has_chunk()) continue;
    if (received == 0) start = Now();
    Must(ParseChunk(shape, next.message.chunk(), next.payload->bytes()).status());
    if (received > 0) bytes += next.payload->bytes().size();
    ++received;
    transport->Grant(7, 1);
  }
  const double seconds = Now() - start;
  address.Put("done");
  Reap(worker);
  return static_cast<double>(bytes) / seconds;
}

double RawBytesPerSecond(size_t payload, size_t envelope, uint64_t messages) {
  Mailbox address;
  const pid_t sender = Fork([&] {
    const std::string where = address.Take();
    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_PUSH);
    zmq_connect(socket, where.c_str());
    std::vector<std::vector<char>> buffers(kCredits, std::vector<char>(payload, 'p'));
    const std::string head(envelope, 'h');
    for (uint64_t i = 0; i < messages; ++i) {
      zmq_send(socket, head.data(), head.size(), ZMQ_SNDMORE);
      zmq_msg_t message;
      zmq_msg_init_data(
          &message, buffers[i % kCredits].data(), payload, [](void*, void*) {}, nullptr);
      zmq_msg_send(&message, socket, 0);
    }
    zmq_close(socket);
    zmq_ctx_term(context);
  });
  void* context = zmq_ctx_new();
  void* socket = zmq_socket(context, ZMQ_PULL);
  zmq_bind(socket, "tcp://127.0.0.1:*");
  char endpoint[256];
  size_t length = sizeof(endpoint);
  zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &length);
  address.Put(endpoint);
  double start = 0;
  for (uint64_t i = 0; i < messages; ++i) {
    zmq_msg_t head, body;
    zmq_msg_init(&head);
    zmq_msg_init(&body);
    zmq_msg_recv(&head, socket, 0);
    zmq_msg_recv(&body, socket, 0);
    if (i == 0) start = Now();
    zmq_msg_close(&head);
    zmq_msg_close(&body);
  }
  const double seconds = Now() - start;
  zmq_close(socket);
  zmq_ctx_term(context);
  Reap(sender);
  return static_cast<double>(payload) * static_cast<double>(messages - 1) / seconds;
}

void ExperienceRow(const std::string& name, size_t payload_bytes, double bound) {
  const ChunkShape shape = ShapeOf();
  uint32_t steps = 1;
  while (shape.payload_bytes(steps + 1) <= payload_bytes && steps + 1 <= kChunkStepsMax) ++steps;
  const size_t bytes = shape.payload_bytes(steps);
  Row row{.name = name, .unit = "MB/s", .primitive_name = "raw zero-copy ZeroMQ", .bound = bound};
  row.kind = Bound::kAtLeast;
  const double seconds = Seconds(1.0);
  const auto messages = static_cast<uint64_t>(
      std::max(200.0, seconds * std::min(1.5e9 / static_cast<double>(bytes), 120e3)));
  for (int i = Repeats(5); i > 0; --i) {
    row.measured.push_back(MidlaneBytesPerSecond(steps, messages) / 1e6);
    row.primitive.push_back(RawBytesPerSecond(bytes, 200, messages) / 1e6);
  }
  Print(row);
}

// ---- Weights --------------------------------------------------------------------------------

constexpr size_t kWeightsBytes = 32u << 20;
constexpr int kWorkers = 8;

uint64_t TouchPages(std::string_view bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 4096) sum += static_cast<unsigned char>(bytes[i]);
  return sum;
}

double LoopbackTransferSeconds(const std::string& blob) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(where);
  if (bind(listener, reinterpret_cast<sockaddr*>(&where), length) != 0 ||
      listen(listener, 1) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&where), &length) != 0) {
    Fail("loopback socket");
  }
  const pid_t sender = Fork([&] {
    const int out = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(out, reinterpret_cast<sockaddr*>(&where), sizeof(where)) != 0) Fail("connect");
    char go;
    if (read(out, &go, 1) != 1) Fail("read");
    for (size_t sent = 0; sent < blob.size();) {
      const ssize_t n = write(out, blob.data() + sent, blob.size() - sent);
      if (n <= 0) Fail("write");
      sent += static_cast<size_t>(n);
    }
    close(out);
  });
  const int in = accept(listener, nullptr, nullptr);
  std::vector<char> buffer(blob.size());
  const double start = Now();
  if (write(in, "g", 1) != 1) Fail("write");
  for (size_t got = 0; got < buffer.size();) {
    const ssize_t n = read(in, buffer.data() + got, buffer.size() - got);
    if (n <= 0) Fail("read");
    got += static_cast<size_t>(n);
  }
  const double seconds = Now() - start;
  close(in);
  close(listener);
  Reap(sender);
  return seconds;
}

double HashSeconds(const std::string& blob) {
  const double start = Now();
  volatile uint64_t hash = Hash64(blob);
  (void)hash;
  return Now() - start;
}

double MapsSeconds(const std::string& blob) {
  const int file = memfd_create("bench", MFD_CLOEXEC);
  if (write(file, blob.data(), blob.size()) != static_cast<ssize_t>(blob.size())) Fail("memfd");
  const double start = Now();
  for (int i = 0; i < kWorkers; ++i) {
    void* map = mmap(nullptr, blob.size(), PROT_READ, MAP_SHARED, file, 0);
    volatile uint64_t sum = TouchPages({static_cast<const char*>(map), blob.size()});
    (void)sum;
    munmap(map, blob.size());
  }
  const double seconds = Now() - start;
  close(file);
  return seconds;
}

void WeightsRow() {
  Row row{
      .name = "weights_fanout_32MB", .unit = "ms", .primitive_name = "transfer + XXH3 + 8 maps"};
  row.bound = 1.5;
  row.kind = Bound::kAtMost;
  std::string blob(kWeightsBytes, '\0');
  for (size_t i = 0; i < blob.size(); ++i) blob[i] = static_cast<char>(i * 2654435761u >> 13);
  Mailbox addresses[kWorkers], ready;
  const int repeats = Repeats(5);
  std::vector<pid_t> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.push_back(Fork([&, w] {
      WorkerTransportOptions options;
      options.learner = addresses[w].Take();
      options.hello.set_worker(static_cast<uint64_t>(w) + 1);
      options.hello.set_environment_hash(1);
      options.hello.set_network_hash(2);
      auto transport = Must(WorkerTransport::Connect(options));
      ready.Put("joined");
      for (uint64_t version = 1; version <= static_cast<uint64_t>(repeats); ++version) {
        while (transport->notice() == nullptr || transport->notice()->version() < version) {
          Must(transport->Poll(absl::Seconds(10)));
        }
        const v1::Notice notice = *transport->notice();
        auto frame = Must(transport->FetchWeights(version, notice.bytes(), notice.hash()));
        volatile uint64_t sum = TouchPages(frame->bytes());
        (void)sum;
        ready.Put("have");
      }
      addresses[w].Take();
    }));
  }
  LearnerTransportOptions options;
  options.environment_hash = 1;
  options.network_hash = 2;
  auto transport = Must(LearnerTransport::Bind(options));
  for (Mailbox& address : addresses) address.Put(transport->address());
  for (int w = 0; w < kWorkers; ++w) ready.Take();
  for (int repeat = 1; repeat <= repeats; ++repeat) {
    blob[0] = static_cast<char>(repeat);
    auto shared = std::make_shared<const std::string>(blob);
    v1::Notice notice;
    notice.set_version(static_cast<uint64_t>(repeat));
    notice.set_bytes(blob.size());
    notice.set_hash(Hash64(blob));
    usleep(200000);
    const double start = Now();
    transport->Serve(notice.version(), shared);
    transport->Announce(notice);
    for (int w = 0; w < kWorkers; ++w) ready.Take();
    row.measured.push_back(1e3 * (Now() - start));
    row.primitive.push_back(
        1e3 * (LoopbackTransferSeconds(blob) + HashSeconds(blob) + MapsSeconds(blob)));
    transport->Retire(notice.version());
  }
  for (Mailbox& address : addresses) address.Put("done");
  for (pid_t worker : workers) Reap(worker);
  Print(row);
}

}  // namespace
}  // namespace midlane::bench

int main() {
  midlane::bench::WeightsRow();
  midlane::bench::ExperienceRow("experience_256KB", 256u << 10, 0.8);
  midlane::bench::ExperienceRow("experience_6KB", 6u << 10, 0.6);
}
