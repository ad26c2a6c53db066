#include "learner/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int Release() {
    const int value = value_;
    value_ = -1;
    return value;
  }

 private:
  int value_;
};

absl::Status WriteAll(int descriptor, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return FileError("write", path, errno);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FileError(std::string_view doing, const std::string& path, int error) {
  const std::string what = absl::StrCat("cannot ", std::string(doing), " ", path, ": ");
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, "the disk is full; free some space there"));
    case ENOENT:
      return absl::NotFoundError(absl::StrCat(what, "no such file or folder"));
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(
          absl::StrCat(what, strerror(error),
                       "; choose a folder that this user may write, or change its owner"));
    default:
      return absl::UnavailableError(absl::StrCat(what, strerror(error)));
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return FileError("open", path, errno);
  struct stat info;
  if (fstat(file.get(), &info) != 0) return FileError("read", path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a file"));
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t got = read(file.get(), bytes.data() + at, bytes.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError("read", path, errno);
    if (got == 0) break;
    at += static_cast<size_t>(got);
  }
  bytes.resize(at);
  return bytes;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  absl::Status status;
  {
    Descriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) return FileError("create", temporary, errno);
    status = WriteAll(file.get(), temporary, bytes);
    if (status.ok() && fsync(file.get()) != 0) status = FileError("sync", temporary, errno);
    if (close(file.Release()) != 0 && status.ok()) status = FileError("close", temporary, errno);
  }
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = FileError("rename to", path, errno);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  Descriptor parent(
      open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0 || fsync(parent.get()) != 0) return FileError("sync", folder, errno);
  return absl::OkStatus();
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return FileError("make the folder", path, error.value());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AppendFile>> AppendFile::Open(const std::string& path,
                                                             bool after_newline) {
  Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file.get() < 0) return FileError("open", path, errno);
  int64_t end = lseek(file.get(), 0, SEEK_END);
  if (end < 0) return FileError("read", path, errno);
  if (after_newline) {
    char c = 0;
    while (end > 0) {
      if (pread(file.get(), &c, 1, end - 1) != 1) return FileError("read", path, errno);
      if (c == '\n') break;
      --end;
    }
  }
  return std::unique_ptr<AppendFile>(new AppendFile(path, file.Release(), end));
}

AppendFile::~AppendFile() { close(descriptor_); }

absl::Status AppendFile::Append(std::string_view record) {
  if (ftruncate(descriptor_, end_) != 0) return FileError("write", path_, errno);
  if (lseek(descriptor_, end_, SEEK_SET) < 0) return FileError("write", path_, errno);
  if (absl::Status status = WriteAll(descriptor_, path_, record); !status.ok()) {
    if (ftruncate(descriptor_, end_) != 0) return FileError("write", path_, errno);
    return status;
  }
  end_ += static_cast<int64_t>(record.size());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RunLock>> RunLock::Take(const std::string& run_dir) {
  const std::string path = absl::StrCat(run_dir, "/learner.lock");
  Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file.get() < 0) return FileError("open", path, errno);
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FileError("lock", path, errno);
    char holder[32] = {};
    const ssize_t got = read(file.get(), holder, sizeof(holder) - 1);
    std::string pid(holder, got > 0 ? static_cast<size_t>(got) : 0);
    while (!pid.empty() && (pid.back() == '\n')) pid.pop_back();
    return absl::AlreadyExistsError(
        absl::StrCat("another learner", pid.empty() ? "" : absl::StrCat(" (process ", pid, ")"),
                     " is training in ", run_dir, "; stop it first, or choose another run name"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(file.get(), 0) != 0) return FileError("write", path, errno);
  if (absl::Status status = WriteAll(file.get(), path, pid); !status.ok()) return status;
  return std::unique_ptr<RunLock>(new RunLock(file.Release()));
}

RunLock::~RunLock() { close(descriptor_); }

}  // namespace midlane
