// Inspect: what a finished or running training left in its checkpoint, without libtorch: for
// evaluation, rollouts with a fixed policy, and people.
// Thread-safety: pure but for reading the file; a learner may be writing it (it is replaced whole).
// Errors: NotFound (no such file), InvalidArgument (foreign, another format), DataLoss (truncated,
//   corrupt); one sentence that names the file and the section or field.
#ifndef MIDLANE_LEARNER_INSPECT_H_
#define MIDLANE_LEARNER_INSPECT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "learner/league.h"
#include "rollout/policy/network.h"
#include "rollout/policy/weights.h"

namespace midlane {

struct CheckpointContents {
  NetworkShape shape;
  Weights weights;  // of the last published version
  // The same with the mean of the last part of training as its parameters, for evaluation; where
  // none was kept, `weights` themselves.
  Weights average;
  bool averaged = false;  // one was kept
  std::string environment;
  uint64_t environment_hash = 0;
  std::string config_text;
  LeagueState league;
  uint64_t iteration = 0;
  uint64_t timesteps = 0;
  double seconds = 0;  // of training
};

// `path`: a checkpoint file, or a run folder (its checkpoint.mdl is read).
absl::StatusOr<CheckpointContents> LoadCheckpointWeights(const std::string& path);

// The weights of a past version of the pool. NotFound lists those that are there.
absl::StatusOr<Weights> LoadPastWeights(const std::string& path, uint64_t version);

}  // namespace midlane

#endif  // MIDLANE_LEARNER_INSPECT_H_
