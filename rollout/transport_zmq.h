// What both ends of the transport share: owners of ZeroMQ's objects and the rules for addresses.
// Included by transport_worker.cc and transport_learner.cc alone.
//
// Thread-safety: a Socket and its Parts belong to one thread at a time; a Context to any.
#ifndef MIDLANE_ROLLOUT_TRANSPORT_ZMQ_H_
#define MIDLANE_ROLLOUT_TRANSPORT_ZMQ_H_

#include <zmq.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "rollout/transport.h"

namespace midlane::transport {

inline constexpr int kHeartbeatMs = 1000;
inline constexpr int kHeartbeatTimeoutMs = 5000;
inline constexpr int kReconnectMs = 100;
inline constexpr size_t kEnvelopeBytesMax = 1u << 20;
inline constexpr size_t kUnixPathMax = 107;  // sizeof(sockaddr_un::sun_path) - 1

class Context {
 public:
  Context() : context_(zmq_ctx_new()) {}
  ~Context() { zmq_ctx_term(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  void* get() const { return context_; }

 private:
  void* context_;
};

// One part of a message.
class Part {
 public:
  Part() { zmq_msg_init(&message_); }
  explicit Part(size_t bytes) { zmq_msg_init_size(&message_, bytes); }
  explicit Part(std::string_view bytes);
  // Takes `data`, to be freed by `release(data, hint)` on a thread of ZeroMQ's.
  Part(void* data, size_t bytes, zmq_free_fn* release, void* hint) {
    zmq_msg_init_data(&message_, data, bytes, release, hint);
  }
  ~Part() { zmq_msg_close(&message_); }
  Part(Part&& other) noexcept {
    zmq_msg_init(&message_);
    zmq_msg_move(&message_, &other.message_);
  }
  Part& operator=(Part&& other) noexcept {
    zmq_msg_move(&message_, &other.message_);
    return *this;
  }

  char* data() { return static_cast<char*>(zmq_msg_data(&message_)); }
  std::string_view bytes() const {
    auto* message = const_cast<zmq_msg_t*>(&message_);
    return {static_cast<const char*>(zmq_msg_data(message)), zmq_msg_size(message)};
  }
  bool more() const { return zmq_msg_more(&message_) != 0; }
  zmq_msg_t* get() { return &message_; }

 private:
  zmq_msg_t message_;
};

class Socket {
 public:
  Socket() = default;
  Socket(const Context& context, int type) : socket_(zmq_socket(context.get(), type)) {}
  ~Socket() { Close(); }
  Socket(Socket&& other) noexcept : socket_(std::exchange(other.socket_, nullptr)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }

  void* get() const { return socket_; }
  void Close() {
    if (socket_ != nullptr) zmq_close(std::exchange(socket_, nullptr));
  }
  void Set(int option, int value) { zmq_setsockopt(socket_, option, &value, sizeof value); }
  void Set(int option, int64_t value) { zmq_setsockopt(socket_, option, &value, sizeof value); }
  void Set(int option, std::string_view value) {
    zmq_setsockopt(socket_, option, value.data(), value.size());
  }
  // No high-water mark (credits bound what is in flight) and heartbeats, so that a peer that died
  // or froze is noticed.
  void SetCommonOptions();
  // Receives without waiting; false where nothing is there.
  bool Receive(Part* part) { return zmq_msg_recv(part->get(), socket_, ZMQ_DONTWAIT) >= 0; }
  // Sends; false with errno where it cannot (EHOSTUNREACH: the peer is gone).
  bool Send(Part part, bool more = false) {
    return zmq_msg_send(part.get(), socket_, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0;
  }
  // The address it is bound to, with the real port.
  std::string Endpoint() const;

 private:
  void* socket_ = nullptr;
};

// Makes malloc keep up to 64 MB that were freed, for this process and from now on. By default it
// gives a freed chunk back to the kernel, so that every chunk is faulted in anew page by page: more
// than the transfer itself costs.
void KeepFreedMemory();

// A received part as Frame; copied where its bytes are not aligned for the arrays in it.
std::unique_ptr<Frame> MakeFrame(Part part);

// InvalidArgument unless `address` is "tcp://HOST:PORT" or "ipc://PATH" with a path that a Unix
// socket can have. `field` names it in the message.
absl::Status CheckAddress(const std::string& address, const std::string& field);

}  // namespace midlane::transport

#endif  // MIDLANE_ROLLOUT_TRANSPORT_ZMQ_H_
