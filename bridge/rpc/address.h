// Address: where a server listens or is found: `unix:///PATH` (also `unix:PATH`) or `HOST:PORT`.
//
// Thread-safety: values and pure functions.
// Errors: InvalidArgument with one sentence that names the address and the remedy.
#ifndef MIDLANE_BRIDGE_RPC_ADDRESS_H_
#define MIDLANE_BRIDGE_RPC_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"

namespace midlane::rpc {

struct Address {
  std::string path;  // of a Unix socket, absolute; empty: TCP
  std::string host;  // without brackets
  int port = 0;      // 0: any free one (for servers)

  bool is_unix() const { return !path.empty(); }
  // 127.0.0.0/8, ::1, localhost.
  bool is_loopback() const;
  std::string Target() const;  // as gRPC writes it
};

absl::StatusOr<Address> ParseAddress(const std::string& text);

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_ADDRESS_H_
