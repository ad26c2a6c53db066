#include "bridge/rpc/socket_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace midlane::rpc {
namespace {

absl::Status InUse(const std::string& path) {
  return absl::AlreadyExistsError(
      absl::StrCat("a live server listens on '", path, "': stop it, or choose another path"));
}

// OK where nobody listens; what a dead server left is removed.
absl::Status MakeFree(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("socket path '", path, "': ", strerror(errno), "; choose another folder"));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat("'", path, "' exists and is no socket: remove it, or choose another path"));
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return absl::InternalError(absl::StrCat("socket: ", strerror(errno)));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int connected = connect(probe, reinterpret_cast<sockaddr*>(&address), sizeof address);
  const int error = errno;
  close(probe);
  if (connected == 0 || error != ECONNREFUSED) return InUse(path);
  if (unlink(path.c_str()) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("the dead socket '", path,
                                                    "' cannot be removed (", strerror(errno),
                                                    "): remove it, or choose another path"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SocketFile>> SocketFile::Claim(const std::string& path) {
  const std::string lock_path = path + ".lock";
  for (;;) {
    const int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("'", lock_path, "' cannot be made (", strerror(errno),
                       "): choose a folder that exists and that you may write"));
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
      close(lock);
      return InUse(path);
    }
    // The one we hold may have been removed by a server that was just ending.
    struct stat held, there;
    if (fstat(lock, &held) != 0 || stat(lock_path.c_str(), &there) != 0 ||
        held.st_ino != there.st_ino) {
      close(lock);
      continue;
    }
    std::unique_ptr<SocketFile> file(new SocketFile(path, lock));
    const absl::Status free = MakeFree(path);
    if (!free.ok()) return free;
    return file;
  }
}

absl::Status SocketFile::Settle() {
  struct stat info;
  if (lstat(path_.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) {
    return absl::InternalError(
        absl::StrCat("the server's socket '", path_, "' is gone: something removed it"));
  }
  if ((info.st_mode & 0177) != 0 && chmod(path_.c_str(), 0600) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("socket '", path_, "' cannot be made private (",
                                                    strerror(errno),
                                                    "): choose a folder on a local file system"));
  }
  device_ = info.st_dev;
  inode_ = info.st_ino;
  return absl::OkStatus();
}

SocketFile::~SocketFile() {
  struct stat info;
  if (inode_ != 0 && lstat(path_.c_str(), &info) == 0 && info.st_ino == inode_ &&
      info.st_dev == device_) {
    unlink(path_.c_str());
  }
  unlink((path_ + ".lock").c_str());
  close(lock_);
}

}  // namespace midlane::rpc
