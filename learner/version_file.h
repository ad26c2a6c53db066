// VersionFile: the last published version of a run, beside its checkpoint, so that a learner that
// was killed never gives a number to two different sets of weights.
//
// Thread-safety: one thread.
#ifndef MIDLANE_LEARNER_VERSION_FILE_H_
#define MIDLANE_LEARNER_VERSION_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace midlane {

class VersionFile {
 public:
  explicit VersionFile(const std::string& run_dir);
  ~VersionFile();
  VersionFile(const VersionFile&) = delete;
  VersionFile& operator=(const VersionFile&) = delete;

  uint64_t Read() const;  // 0 where nothing was published, or nothing can be read
  // Cheap enough for each version: in place, into the page cache. Unavailable, with the path.
  absl::Status Write(uint64_t version);

 private:
  const std::string path_;
  int descriptor_ = -1;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_VERSION_FILE_H_
