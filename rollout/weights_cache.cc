#include "rollout/weights_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "bridge/descriptor.h"
#include "rollout/hash.h"

namespace midlane {
namespace {

constexpr absl::Duration kLockPoll = absl::Microseconds(500);
constexpr char kUsersFile[] = "users";
constexpr char kLockFile[] = "lock";
constexpr char kPartial[] = ".partial";

class MappedFrame final : public Frame {
 public:
  MappedFrame(void* data, size_t bytes) : data_(data), bytes_(bytes) {}
  ~MappedFrame() override { munmap(data_, bytes_); }
  std::string_view bytes() const override { return {static_cast<const char*>(data_), bytes_}; }

 private:
  void* data_;
  size_t bytes_;
};

class StringFrame final : public Frame {
 public:
  explicit StringFrame(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string_view bytes() const override { return bytes_; }

 private:
  std::string bytes_;
};

std::unique_ptr<Frame> Map(int fd, uint64_t bytes) {
  if (bytes == 0) return std::make_unique<StringFrame>("");
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (data == MAP_FAILED) return nullptr;
  return std::make_unique<MappedFrame>(data, bytes);
}

// Null where the file is not there or not complete.
std::unique_ptr<Frame> MapFile(const std::string& path, uint64_t bytes) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info;
  if (file.get() < 0 || fstat(file.get(), &info) != 0) return nullptr;
  if (static_cast<uint64_t>(info.st_size) != bytes) return nullptr;
  futimens(file.get(), nullptr);  // most recently used
  return Map(file.get(), bytes);
}

std::vector<std::string> Entries(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(dir);
  return names;
}

// REQUIRES: the exclusive lock on the folder's users file.
void RemoveFolder(const std::string& folder) {
  for (const std::string& name : Entries(folder)) {
    if (name != kUsersFile) unlink((folder + "/" + name).c_str());
  }
  // The users file last: whoever opened it meanwhile sees that it is gone and starts over.
  unlink((folder + "/" + kUsersFile).c_str());
  rmdir(folder.c_str());
}

// A folder that is ours alone: no link, our owner, closed to others.
bool IsPrivate(const std::string& folder) {
  struct stat info;
  return lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
         (info.st_mode & 0077) == 0;
}

bool SameFile(int fd, const std::string& path) {
  struct stat open_info, path_info;
  return fstat(fd, &open_info) == 0 && stat(path.c_str(), &path_info) == 0 &&
         open_info.st_ino == path_info.st_ino && open_info.st_dev == path_info.st_dev;
}

// Removes folders of this user whose workers are all gone.
void SweepStale(const std::string& root, const std::string& prefix) {
  for (const std::string& name : Entries(root)) {
    if (!name.starts_with(prefix)) continue;
    const std::string folder = absl::StrCat(root, "/", name);
    if (!IsPrivate(folder)) continue;
    const Descriptor users(open((folder + "/" + kUsersFile).c_str(), O_RDWR | O_CLOEXEC));
    if (users.get() < 0) {
      rmdir(folder.c_str());  // succeeds only where it is empty
    } else if (flock(users.get(), LOCK_EX | LOCK_NB) == 0) {
      RemoveFolder(folder);
    }
  }
}

}  // namespace

std::unique_ptr<WeightsCache> WeightsCache::Open(const std::string& run, const std::string& root) {
  const std::string prefix = absl::StrCat("midlane-weights-", geteuid(), "-");
  SweepStale(root, prefix);
  const std::string folder = absl::StrCat(root, "/", prefix, absl::StrFormat("%016x", Hash64(run)));
  const std::string users_path = folder + "/" + kUsersFile;
  // Another worker may remove the folder as the last one to leave, between any two of these calls.
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) break;
    if (!IsPrivate(folder)) break;
    Descriptor users(open(users_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (users.get() < 0) {
      if (errno == ENOENT) continue;
      break;
    }
    if (flock(users.get(), LOCK_SH) != 0) continue;
    if (!SameFile(users.get(), users_path)) continue;
    return std::unique_ptr<WeightsCache>(new WeightsCache(folder, users.release()));
  }
  return std::unique_ptr<WeightsCache>(new WeightsCache("", -1));
}

WeightsCache::~WeightsCache() {
  if (users_ < 0) return;
  if (flock(users_, LOCK_EX | LOCK_NB) == 0) RemoveFolder(folder_);
  close(users_);
}

absl::StatusOr<std::unique_ptr<Frame>> WeightsCache::Get(uint64_t version, uint64_t bytes,
                                                         uint64_t hash, absl::Duration timeout,
                                                         const Download& download) {
  if (folder_.empty()) return Fill("", bytes, hash, download);
  const std::string path =
      absl::StrCat(folder_, "/", absl::StrFormat("%d-%d-%016x", version, bytes, hash));
  if (auto frame = MapFile(path, bytes)) return frame;
  const Descriptor lock(
      open(absl::StrCat(folder_, "/", kLockFile).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0) return Fill("", bytes, hash, download);
  const absl::Time deadline = absl::Now() + timeout;
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("weights version ", version, ": another worker of this machine has been ",
                       "downloading for ", absl::FormatDuration(timeout), " (lock ", folder_, "/",
                       kLockFile, "); stop that worker if it hangs"));
    }
    absl::SleepFor(kLockPoll);
    if (auto frame = MapFile(path, bytes)) return frame;
  }
  if (auto frame = MapFile(path, bytes)) return frame;
  auto frame = Fill(path, bytes, hash, download);
  if (frame.ok()) Evict(path);
  return frame;
}

absl::StatusOr<std::unique_ptr<Frame>> WeightsCache::Fill(const std::string& path, uint64_t bytes,
                                                          uint64_t hash, const Download& download) {
  const std::string partial = path + kPartial;
  Descriptor file(path.empty() ? -1
                               : open(partial.c_str(),
                                      O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  Hasher64 hasher;
  uint64_t received = 0;
  bool full = false;  // no space in the folder
  std::string memory;
  const bool in_memory = file.get() < 0;
  if (in_memory) memory.reserve(bytes);
  const auto append = [&](std::string_view part) -> absl::Status {
    if (part.size() > bytes - received) {
      return absl::DataLossError(absl::StrCat("weights: more than the announced ", bytes,
                                              " bytes came; the learner's notice is wrong"));
    }
    hasher.Update(part);
    received += part.size();
    if (in_memory) {
      memory.append(part);
      return absl::OkStatus();
    }
    while (!part.empty()) {
      const ssize_t written = write(file.get(), part.data(), part.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        full = true;
        return absl::ResourceExhaustedError("weights cache: no space");
      }
      part.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  };
  absl::Status status = download(append);
  if (status.ok() && (received != bytes || hasher.Digest() != hash)) {
    status = absl::DataLossError(
        absl::StrCat("weights: ", received, " bytes came whose XXH3 is not the one announced; the ",
                     "version was discarded"));
  }
  if (in_memory) {
    if (!status.ok()) return status;
    return std::make_unique<StringFrame>(std::move(memory));
  }
  // Named before it is mapped: the others wait for the name.
  if (!status.ok() || rename(partial.c_str(), path.c_str()) != 0) unlink(partial.c_str());
  if (!status.ok() && !full) return status;
  if (status.ok()) {
    if (auto frame = Map(file.get(), bytes)) return frame;
  }
  return Fill("", bytes, hash, download);
}

void WeightsCache::Evict(const std::string& keep) {
  struct File {
    std::string path;
    timespec used;
    uint64_t bytes;
  };
  std::vector<File> files;
  for (const std::string& name : Entries(folder_)) {
    if (name == kUsersFile || name == kLockFile) continue;
    const std::string path = absl::StrCat(folder_, "/", name);
    struct stat info;
    if (stat(path.c_str(), &info) != 0) continue;
    if (name.ends_with(kPartial)) {
      unlink(path.c_str());  // we hold the lock: its writer died
    } else if (path != keep) {
      files.push_back({path, info.st_mtim, static_cast<uint64_t>(info.st_size)});
    }
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) > std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  uint64_t bytes = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    bytes += files[i].bytes;
    if (i + 1 >= kCacheVersionsMax || bytes > kCacheBytesMax) unlink(files[i].path.c_str());
  }
}

}  // namespace midlane
