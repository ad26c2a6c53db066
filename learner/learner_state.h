// LearnerState: everything that a run goes on from, and the sections of a checkpoint that hold it.
//
// Sections: network, environment, weights (the wire form of a version, float32), average (likewise;
//   only where there is one), adam, normaliser, counters, league, accounts, config, and
//   past/VERSION for the blob of each past version.
// Thread-safety: values and pure functions.
// Errors: those of ReadCheckpoint; InvalidArgument names the section and its field.
#ifndef MIDLANE_LEARNER_LEARNER_STATE_H_
#define MIDLANE_LEARNER_LEARNER_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "learner/checkpoint.h"
#include "learner/chunk_accounts.h"
#include "learner/league.h"
#include "learner/ppo_engine.h"
#include "learner/running_statistics.h"
#include "rollout/policy/network.h"
#include "rollout/policy/weights.h"

namespace midlane {

struct LearnerState {
  NetworkShape shape;
  std::string environment;
  uint64_t environment_hash = 0;
  Weights weights;             // version: the one published last
  std::vector<float> average;  // parameters (weight_average.h); empty: none
  AdamState adam;
  RunningMoments observations;
  RunningMoments returns{1};
  uint64_t seed = 1;  // of all that is random: iterations draw from streams of their own
  uint64_t iteration = 0;
  uint64_t timesteps = 0;
  double seconds = 0;  // of training
  LeagueState league;
  std::map<uint64_t, std::shared_ptr<const std::string>> past;  // blobs, by version
  ChunkAccounts::State accounts;
  std::string config_text;
};

Sections EncodeLearnerState(const LearnerState& state);
absl::StatusOr<LearnerState> DecodeLearnerState(const std::string& file, const Sections& sections);

// InvalidArgument where the network that `file` was made for is not the one asked for.
absl::Status CheckSameNetwork(const std::string& file, const NetworkShape& made_for,
                              const NetworkShape& asked);

}  // namespace midlane

#endif  // MIDLANE_LEARNER_LEARNER_STATE_H_
