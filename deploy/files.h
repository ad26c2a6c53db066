// Files and places: reading whole files, writing them atomically, where the parts of Midlane lie.
//
// Thread-safety: free functions; any thread.
// Errors: NotFound, PermissionDenied, InvalidArgument (too large), ResourceExhausted (disk full),
//   each with the path.
#ifndef MIDLANE_DEPLOY_FILES_H_
#define MIDLANE_DEPLOY_FILES_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace midlane {

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max);

// Temporary file beside it, sync, rename: the old file or the new one, never half of one.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view text);

bool FileExists(const std::string& path);
absl::Status MakeFolders(const std::string& path);

// The last `lines` lines of a file, without its trailing newline; empty where it cannot be read.
std::string LastLines(const std::string& path, int lines);

// Folder of the running executable, for its siblings.
std::string ExecutableDir();

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_FILES_H_
