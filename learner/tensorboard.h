// TensorBoardWriter: scalars into an event file that TensorBoard reads.
//
// File: TFRecord framing (u64 length, masked CRC32C of it, the record, masked CRC32C of it) of
// Event
//   messages: wall_time 1 (double), step 2 (varint), file_version 3 ("brain.Event:2"), summary 5
//   with value 1 of tag 1 and simple_value 2 (float). Encoded by hand: five fields need no schema.
// Every start of a learner makes a file of its own; TensorBoard joins the files of a folder.
// Thread-safety: one thread at a time.
// Errors: ResourceExhausted where the disk is full; the file ends before the record that failed.
#ifndef MIDLANE_LEARNER_TENSORBOARD_H_
#define MIDLANE_LEARNER_TENSORBOARD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "learner/files.h"

namespace midlane {

using Scalars = std::vector<std::pair<std::string, double>>;

// The bytes of one record, framed.
std::string EncodeEventRecord(double wall_time, uint64_t step, const Scalars& scalars);
std::string EncodeFileVersionRecord(double wall_time);

// CRC-32C (Castagnoli), and TFRecord's masking of it.
uint32_t Crc32c(std::string_view bytes);
uint32_t MaskedCrc32c(std::string_view bytes);

class TensorBoardWriter {
 public:
  // Makes `folder` and an event file in it.
  static absl::StatusOr<std::unique_ptr<TensorBoardWriter>> Create(const std::string& folder);

  absl::Status Add(uint64_t step, const Scalars& scalars);
  const std::string& path() const { return file_->path(); }

 private:
  explicit TensorBoardWriter(std::unique_ptr<AppendFile> file) : file_(std::move(file)) {}

  std::unique_ptr<AppendFile> file_;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_TENSORBOARD_H_
