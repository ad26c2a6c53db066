// SocketFile: the place of a Unix socket in the file system, ours alone while it exists.
//
// Claim takes an advisory lock on PATH.lock, so two servers never share a path; it removes a socket
// that a dead server left, and refuses one that somebody listens on, or a path that holds anything
// else. Settle, after binding, notes which file is ours and checks that only its owner may connect.
// The destructor removes the socket where it is still ours, and the lock.
// Thread-safety: one thread at a time.
// Errors: AlreadyExists (somebody is there), PermissionDenied and FailedPrecondition (the folder),
//   each one sentence with the path and the remedy.
#ifndef MIDLANE_BRIDGE_RPC_SOCKET_FILE_H_
#define MIDLANE_BRIDGE_RPC_SOCKET_FILE_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace midlane::rpc {

class SocketFile {
 public:
  static absl::StatusOr<std::unique_ptr<SocketFile>> Claim(const std::string& path);
  ~SocketFile();
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

  absl::Status Settle();

 private:
  SocketFile(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_SOCKET_FILE_H_
