// CheckpointWriter: a run's checkpoint.mdl, written beside training, and numbered copies of it.
//
// Thread-safety: one thread.
// Ownership: the destructor waits for a write under way.
// Errors: those of WriteCheckpoint and of the file system, with the path. The file that was there
//   stays where a write fails.
#ifndef MIDLANE_LEARNER_CHECKPOINT_WRITER_H_
#define MIDLANE_LEARNER_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <future>
#include <string>

#include "absl/status/status.h"
#include "learner/learner_state.h"

namespace midlane {

class CheckpointWriter {
 public:
  // `copies`: how many checkpoint-VERSION.mdl stay beside the checkpoint; 0: none are made.
  CheckpointWriter(std::string run_dir, uint32_t copies);

  std::string path() const;

  // Starts to write `state`. REQUIRES: !busy().
  void Begin(LearnerState state);
  // Whether a write is under way, or its outcome not yet taken.
  bool busy() const { return writing_.valid(); }
  // The outcome of what Begin started, once; OK while it is under way, and where there is none.
  absl::Status Poll();
  // The same, after waiting for it.
  absl::Status Wait();

  // On the calling thread. REQUIRES: !busy().
  absl::Status Write(const LearnerState& state) const;

 private:
  absl::Status KeepCopy(uint64_t version) const;

  const std::string run_dir_;
  const uint32_t copies_;
  std::future<absl::Status> writing_;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_CHECKPOINT_WRITER_H_
