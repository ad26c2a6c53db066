#include "rollout/transport_zmq.h"

#include <malloc.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace midlane::transport {
namespace {

constexpr size_t kFrameAlign = 8;  // what ZeroMQ gives to a message of its own

constexpr int kMmapThreshold = 32 << 20;  // the largest that glibc takes
constexpr int kTrimThreshold = 64 << 20;

class PartFrame final : public Frame {
 public:
  explicit PartFrame(Part part) : part_(std::move(part)) {}
  std::string_view bytes() const override { return part_.bytes(); }

 private:
  Part part_;
};

class CopiedFrame final : public Frame {
 public:
  explicit CopiedFrame(std::string_view bytes)
      : data_(static_cast<char*>(std::malloc(bytes.size())), std::free), bytes_(bytes.size()) {
    std::memcpy(data_.get(), bytes.data(), bytes_);
  }
  std::string_view bytes() const override { return {data_.get(), bytes_}; }

 private:
  std::unique_ptr<char, void (*)(void*)> data_;
  size_t bytes_;
};

}  // namespace

Part::Part(std::string_view bytes) {
  zmq_msg_init_size(&message_, bytes.size());
  if (!bytes.empty()) std::memcpy(data(), bytes.data(), bytes.size());
}

void KeepFreedMemory() {
  static const bool done = [] {
    mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
    mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
    return true;
  }();
  (void)done;
}

void Socket::SetCommonOptions() {
  Set(ZMQ_SNDHWM, 0);
  Set(ZMQ_RCVHWM, 0);
  Set(ZMQ_LINGER, 0);
  Set(ZMQ_HEARTBEAT_IVL, kHeartbeatMs);
  Set(ZMQ_HEARTBEAT_TIMEOUT, kHeartbeatTimeoutMs);
  Set(ZMQ_RECONNECT_IVL, kReconnectMs);
}

std::string Socket::Endpoint() const {
  char text[512];
  size_t bytes = sizeof text;
  if (zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, text, &bytes) != 0 || bytes == 0) return "";
  return std::string(text, bytes - 1);
}

std::unique_ptr<Frame> MakeFrame(Part part) {
  // Small messages are handed out in place of ZeroMQ's read buffer, at any address.
  if (reinterpret_cast<uintptr_t>(part.bytes().data()) % kFrameAlign == 0) {
    return std::make_unique<PartFrame>(std::move(part));
  }
  return std::make_unique<CopiedFrame>(part.bytes());
}

absl::Status CheckAddress(const std::string& address, const std::string& field) {
  if (address.starts_with("ipc://")) {
    const size_t path_bytes = address.size() - 6;
    if (path_bytes == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": \"", address, "\" has no path; write ipc://PATH"));
    }
    if (path_bytes > kUnixPathMax) {
      return absl::InvalidArgumentError(absl::StrCat(field, ": the path of \"", address, "\" has ",
                                                     path_bytes, " bytes, a Unix socket's at most ",
                                                     kUnixPathMax, "; choose a shorter folder"));
    }
    return absl::OkStatus();
  }
  if (address.starts_with("tcp://")) {
    const size_t colon = address.rfind(':');
    const bool has_host = colon > 6;
    const std::string port = address.substr(colon + 1);
    uint32_t number = 0;
    if (has_host && (port == "*" || (absl::SimpleAtoi(port, &number) && number <= 65535))) {
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      field, ": \"", address, "\" is not an address; write tcp://HOST:PORT or ipc://PATH"));
}

}  // namespace midlane::transport
