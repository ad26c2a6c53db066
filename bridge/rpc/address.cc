#include "bridge/rpc/address.h"

#include <sys/un.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace midlane::rpc {
namespace {

// With the terminating NUL it must fit sockaddr_un.
constexpr size_t kPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

absl::StatusOr<Address> UnixAddress(const std::string& text, std::string path) {
  if (absl::StartsWith(path, "//")) path = path.substr(2);
  if (path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("address '", text, "' names no path: write unix:///run/midlane.sock, say"));
  }
  std::error_code error;
  path = std::filesystem::absolute(path, error).lexically_normal().string();
  if (path.size() > kPathBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("socket path '", path, "' has ", path.size(),
                                                   " bytes: at most ", kPathBytesMax,
                                                   " are possible, use a shorter folder"));
  }
  Address address;
  address.path = std::move(path);
  return address;
}

}  // namespace

bool Address::is_loopback() const {
  return host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
}

std::string Address::Target() const {
  if (is_unix()) return "unix:" + path;
  const bool v6 = host.find(':') != std::string::npos;
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

absl::StatusOr<Address> ParseAddress(const std::string& text) {
  if (absl::StartsWith(text, "unix:")) return UnixAddress(text, text.substr(5));
  const size_t colon = text.rfind(':');
  Address address;
  if (colon != std::string::npos) {
    address.host = text.substr(0, colon);
    if (address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']') {
      address.host = address.host.substr(1, address.host.size() - 2);
    } else if (address.host.find(':') != std::string::npos) {
      address.host.clear();
    }
  }
  if (address.host.empty() || !absl::SimpleAtoi(text.substr(colon + 1), &address.port) ||
      address.port < 0 || address.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "address '", text,
        "' is neither unix:///PATH nor HOST:PORT (IPv6: [::1]:5000): write one of them"));
  }
  return address;
}

}  // namespace midlane::rpc
