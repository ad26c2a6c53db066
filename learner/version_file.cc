#include "learner/version_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "learner/files.h"

namespace midlane {

VersionFile::VersionFile(const std::string& run_dir)
    : path_(absl::StrCat(run_dir, "/learner.version")) {}

VersionFile::~VersionFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

uint64_t VersionFile::Read() const {
  const absl::StatusOr<std::string> text = ReadFile(path_);
  uint64_t version = 0;
  return text.ok() && absl::SimpleAtoi(*text, &version) ? version : 0;
}

absl::Status VersionFile::Write(uint64_t version) {
  if (descriptor_ < 0) descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  const std::string text = absl::StrFormat("%020d\n", version);
  if (descriptor_ < 0 || pwrite(descriptor_, text.data(), text.size(), 0) < 0) {
    return FileError("write", path_, errno);
  }
  return absl::OkStatus();
}

}  // namespace midlane
