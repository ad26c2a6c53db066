#include "learner/checkpoint_writer.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "learner/checkpoint.h"
#include "learner/files.h"

namespace midlane {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kCopyPrefix = "checkpoint-";
constexpr absl::string_view kCopySuffix = ".mdl";

// The version in a copy's name; false where `name` is not a copy's.
bool VersionOfCopy(absl::string_view name, uint64_t* version) {
  return absl::ConsumePrefix(&name, kCopyPrefix) && absl::ConsumeSuffix(&name, kCopySuffix) &&
         absl::SimpleAtoi(name, version);
}

}  // namespace

CheckpointWriter::CheckpointWriter(std::string run_dir, uint32_t copies)
    : run_dir_(std::move(run_dir)), copies_(copies) {}

std::string CheckpointWriter::path() const { return absl::StrCat(run_dir_, "/checkpoint.mdl"); }

void CheckpointWriter::Begin(LearnerState state) {
  writing_ =
      std::async(std::launch::async, [this, state = std::move(state)] { return Write(state); });
}

absl::Status CheckpointWriter::Poll() {
  if (!busy() || writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    return absl::OkStatus();
  }
  return writing_.get();
}

absl::Status CheckpointWriter::Wait() { return busy() ? writing_.get() : absl::OkStatus(); }

absl::Status CheckpointWriter::Write(const LearnerState& state) const {
  const absl::Status status = WriteCheckpoint(path(), EncodeLearnerState(state));
  if (!status.ok() || copies_ == 0) return status;
  return KeepCopy(state.weights.version);
}

// A hard link to the file just written, and none to the oldest beyond `copies_`.
absl::Status CheckpointWriter::KeepCopy(uint64_t version) const {
  const std::string copy = absl::StrCat(run_dir_, "/", kCopyPrefix, version, kCopySuffix);
  std::error_code error;
  fs::remove(copy, error);
  fs::create_hard_link(path(), copy, error);
  if (error) return FileError("link", copy, error.value());
  std::vector<std::pair<uint64_t, fs::path>> copies;
  for (const fs::directory_entry& entry : fs::directory_iterator(run_dir_, error)) {
    uint64_t number = 0;
    if (VersionOfCopy(entry.path().filename().string(), &number)) {
      copies.emplace_back(number, entry.path());
    }
  }
  std::sort(copies.begin(), copies.end());
  for (size_t i = 0; i + copies_ < copies.size(); ++i) fs::remove(copies[i].second, error);
  return absl::OkStatus();
}

}  // namespace midlane
