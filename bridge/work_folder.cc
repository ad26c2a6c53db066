#include "bridge/work_folder.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "midlane-game-";
constexpr char kOwner[] = ".owner";

absl::Status Failed(absl::string_view what, absl::string_view path, int error) {
  const std::string sentence = absl::StrCat("cannot ", what, " ", path, " (", strerror(error),
                                            "): free space there or name another folder");
  return error == ENOSPC || error == EMFILE || error == EDQUOT
             ? absl::ResourceExhaustedError(sentence)
             : absl::FailedPreconditionError(sentence);
}

void RemoveAbandoned(const fs::path& parent) {
  std::error_code error;
  for (fs::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
    if (!absl::StartsWith(it->path().filename().string(), kPrefix)) continue;
    const int lock = open((it->path() / kOwner).c_str(), O_RDWR | O_CLOEXEC);
    if (lock < 0) continue;
    std::error_code ignored;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) fs::remove_all(it->path(), ignored);
    close(lock);
  }
}

// Taken from the system for both protocols at once and given back; 0 where there is none.
uint16_t FreePort() {
  for (int attempt = 0; attempt < 16; ++attempt) {
    const int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    socklen_t bytes = sizeof address;
    const bool free = tcp >= 0 && udp >= 0 &&
                      bind(tcp, reinterpret_cast<sockaddr*>(&address), bytes) == 0 &&
                      getsockname(tcp, reinterpret_cast<sockaddr*>(&address), &bytes) == 0 &&
                      bind(udp, reinterpret_cast<sockaddr*>(&address), bytes) == 0;
    if (tcp >= 0) close(tcp);
    if (udp >= 0) close(udp);
    if (free) return ntohs(address.sin_port);
  }
  return 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkFolder>> WorkFolder::Create(const std::string& parent) {
  std::error_code error;
  const fs::path base = parent.empty() ? fs::temp_directory_path(error) : fs::path(parent);
  if (error) return Failed("find the temporary folder", "TMPDIR", error.value());
  fs::create_directories(base, error);
  if (error) return Failed("create", base.string(), error.value());
  RemoveAbandoned(base);
  std::string path = (fs::absolute(base) / absl::StrCat(kPrefix, "XXXXXX")).string();
  if (mkdtemp(path.data()) == nullptr) return Failed("create a folder in", base.string(), errno);
  // Locked before it gets its name, so that nobody finds it unlocked.
  const std::string owner = absl::StrCat(path, "/", kOwner);
  const std::string unnamed = absl::StrCat(owner, ".new");
  const int lock = open(unnamed.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0 ||
      rename(unnamed.c_str(), owner.c_str()) != 0) {
    const absl::Status status = Failed("create", owner, errno);
    if (lock >= 0) close(lock);
    fs::remove_all(path, error);
    return status;
  }
  return std::unique_ptr<WorkFolder>(new WorkFolder(std::move(path), FreePort(), lock));
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  close(lock_);
}

absl::Status WorkFolder::Write(const std::string& relative, absl::string_view text) {
  const fs::path target = fs::path(path_) / relative;
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error) return Failed("create", target.parent_path().string(), error.value());
  const std::string temporary = absl::StrCat(target.string(), ".new");
  const int fd = open(temporary.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return Failed("write", temporary, errno);
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t result = write(fd, text.data() + written, text.size() - written);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) {
      const absl::Status status = Failed("write", temporary, errno);
      close(fd);
      unlink(temporary.c_str());
      return status;
    }
    written += static_cast<size_t>(result);
  }
  close(fd);
  if (rename(temporary.c_str(), target.c_str()) != 0)
    return Failed("write", target.string(), errno);
  return absl::OkStatus();
}

}  // namespace midlane
