// Checkpoint: the container that a run is saved in. It knows sections by name and nothing of what
// they hold (learner_state.h does).
//
// File (little endian; docs/formats.md):
//   offset 0   magic "MDLCKPT1"
//          8   u32 format version (1), u32 number of sections
//         16   u64 length of the whole file, hash included
//         24   for each section: u32 length of its name, name, u64 length of its bytes
//              the sections' bytes, in the same order
//   last 32    SHA-256 of everything before
// Limits: kSectionsMax, kSectionNameMax.
// Thread-safety: pure functions; WriteCheckpoint and ReadCheckpoint use the file system.
// Errors: InvalidArgument: foreign file, newer format, malformed table. DataLoss: truncated, or the
//   hash does not match. ResourceExhausted: disk full; the old file stands. All name the file.
#ifndef MIDLANE_LEARNER_CHECKPOINT_H_
#define MIDLANE_LEARNER_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace midlane {

inline constexpr uint32_t kCheckpointFormat = 1;
inline constexpr uint32_t kSectionsMax = 4096;
inline constexpr uint32_t kSectionNameMax = 256;

using Sections = std::map<std::string, std::string>;

std::string EncodeCheckpoint(const Sections& sections);
// `file` is only for messages.
absl::StatusOr<Sections> DecodeCheckpoint(const std::string& file, std::string_view bytes);

// Atomic and synced (files.h).
absl::Status WriteCheckpoint(const std::string& path, const Sections& sections);
absl::StatusOr<Sections> ReadCheckpoint(const std::string& path);

}  // namespace midlane

#endif  // MIDLANE_LEARNER_CHECKPOINT_H_
