// ExecutableFile: what a program's file tells about whether it can be preloaded.
//
// Thread-safety: a value and a pure function.
#ifndef MIDLANE_BRIDGE_EXECUTABLE_FILE_H_
#define MIDLANE_BRIDGE_EXECUTABLE_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace midlane {

struct ExecutableFile {
  std::string path;     // without links
  bool is_elf = false;  // else a script, or nothing known
  bool is_64_bit = false;
  bool is_dynamic = false;    // has a program loader, which reads LD_PRELOAD
  bool is_native = false;     // for this machine's processor
  bool changes_user = false;  // set-user-id or set-group-id to somebody else than the caller
  std::string lua;            // "Lua 5.3", "LuaJIT 2.1" where its text names one, else empty
};

// NotFound where the file cannot be read.
absl::StatusOr<ExecutableFile> InspectExecutable(const std::string& path);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_EXECUTABLE_FILE_H_
