// WorkFolder: a game's private folder, removed with its owner, also after a kill -9.
//
// Each folder holds a locked file; making a new one first removes those under the same parent
// whose lock nobody holds any more.
// Thread-safety: different folders from any thread; one from one thread at a time.
// Errors: FailedPrecondition or ResourceExhausted with the path and the system's reason.
#ifndef MIDLANE_BRIDGE_WORK_FOLDER_H_
#define MIDLANE_BRIDGE_WORK_FOLDER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace midlane {

class WorkFolder {
 public:
  // A fresh folder under `parent` (made where missing); empty: the system's temporary folder.
  static absl::StatusOr<std::unique_ptr<WorkFolder>> Create(const std::string& parent);
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const std::string& path() const { return path_; }

  // A port of UDP and TCP that was free when the folder was made, for a game that listens.
  uint16_t port() const { return port_; }

  // Writes a file at once or not at all. REQUIRES: `relative` has no "..".
  absl::Status Write(const std::string& relative, absl::string_view text);

 private:
  WorkFolder(std::string path, uint16_t port, int lock)
      : path_(std::move(path)), port_(port), lock_(lock) {}

  std::string path_;
  uint16_t port_;
  int lock_;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_WORK_FOLDER_H_
