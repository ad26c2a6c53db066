// Files: whole-file reading, atomic writing, and the lock of a run folder.
// Thread-safety: functions; a RunLock may be moved between threads.
// Errors: every message names the file. ResourceExhausted: disk full; NotFound; PermissionDenied;
//   AlreadyExists: the lock is held; Unavailable: any other input-output error.
#ifndef MIDLANE_LEARNER_FILES_H_
#define MIDLANE_LEARNER_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace midlane {

// errno in words, with the code that fits and the remedy where there is one.
absl::Status FileError(std::string_view doing, const std::string& path, int error);

absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes a temporary beside `path`, syncs it, renames it over `path` and syncs the folder: after a
// crash the old content stands or the new, never a part. The temporary is removed on failure.
absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes);

// mkdir -p.
absl::Status MakeFolder(const std::string& path);

// A file that grows by whole records: what a full disk or a crash left of a half-written one is cut
// off before the next, so that the file always ends after a record.
class AppendFile {
 public:
  // Opens or makes `path` and goes on at its end; with `after_newline` behind its last newline.
  static absl::StatusOr<std::unique_ptr<AppendFile>> Open(const std::string& path,
                                                          bool after_newline = false);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  absl::Status Append(std::string_view record);
  const std::string& path() const { return path_; }

 private:
  AppendFile(std::string path, int descriptor, int64_t end)
      : path_(std::move(path)), descriptor_(descriptor), end_(end) {}

  std::string path_;
  int descriptor_;
  int64_t end_;
};

// Held as long as it lives (flock): the kernel drops it with the process, so a killed learner
// leaves nothing to clean up.
class RunLock {
 public:
  // Takes `run_dir`/learner.lock and writes the process id into it.
  static absl::StatusOr<std::unique_ptr<RunLock>> Take(const std::string& run_dir);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  explicit RunLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_FILES_H_
