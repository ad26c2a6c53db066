// Keys for trying a bridge beyond this machine: one certificate authority, one server, one client.
//
// MakeKeys writes, into a folder that it makes (0700): ca.pem, ca.key, server.pem, server.key,
//   client.pem, client.key; keys with mode 0600. P-256, valid from an hour ago for `days`.
// The server's certificate names every one of `hosts` (DNS names and IP addresses).
// Thread-safety: a pure function but for the files.
// Errors: InvalidArgument (days, hosts), AlreadyExists (nothing is overwritten), PermissionDenied
//   and Unavailable (the folder cannot be written), Internal (libcrypto).
#ifndef MIDLANE_BRIDGE_RPC_KEYS_H_
#define MIDLANE_BRIDGE_RPC_KEYS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace midlane::rpc {

struct KeyOptions {
  std::string folder;
  std::vector<std::string> hosts = {"localhost", "127.0.0.1", "::1"};
  int days = 90;  // 1..3650; negative: expired as long ago (for tests)
};

absl::Status MakeKeys(const KeyOptions& options);

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_KEYS_H_
