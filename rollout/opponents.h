// Opponents: draws who meets whom in each match from the newest notice's distribution, and keeps
// the past policies that are being played.
//
// LATEST: every side learns. PAST and SCRIPTED: one side learns, the others are a past version or
//   the game's bot; the learning side alternates match by match for each opponent, so that both
//   sides are met equally often. A world with a single agent has no other side: it always learns.
// Thread-safety: one thread at a time.
// Errors: a past version that is no longer served is no error: the match is played against the
//   latest instead. Others are passed on.
#ifndef MIDLANE_ROLLOUT_OPPONENTS_H_
#define MIDLANE_ROLLOUT_OPPONENTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "bridge/env.h"
#include "rollout/experience.pb.h"
#include "rollout/policy/policy.h"
#include "rollout/sampler.h"
#include "rollout/transport.h"

namespace midlane {

inline constexpr size_t kIdlePastPoliciesMax = 4;

// Who plays one match.
struct Assignment {
  uint32_t opponent = 0;         // league id
  int learner = -1;              // the one agent that learns; -1: every agent does
  std::shared_ptr<Policy> past;  // plays the other sides; null: nobody of ours does
  std::string bot, strength;     // plays the other sides, where not empty

  bool learns(int agent) const { return learner < 0 || learner == agent; }
  // Whether experience of `agent` may go on in one chunk from this match to a match of `other`.
  bool SameFor(int agent, const Assignment& other) const {
    return opponent == other.opponent && learns(agent) == other.learns(agent);
  }
};

class Opponents {
 public:
  using MakePolicy = std::function<absl::StatusOr<std::unique_ptr<Policy>>()>;
  using Fetch = std::function<absl::StatusOr<std::unique_ptr<Frame>>(
      uint64_t version, uint64_t bytes, uint64_t hash)>;

  // `agents`: of a world. `seed`: of the draws.
  Opponents(int agents, uint64_t seed, MakePolicy make_policy, Fetch fetch);

  // The distribution to draw from now on.
  void Update(const v1::Notice& notice);

  // The latest version, too, where a past one cannot be had now. Errors of `fetch` that say more
  // than that, and of its weights, are answered.
  absl::StatusOr<Assignment> Draw();

 private:
  struct Past {
    uint64_t version;
    uint64_t used;  // grows with each use
    std::shared_ptr<Policy> policy;
  };

  const v1::Opponent* DrawEntry();
  Assignment Latest() const;
  absl::StatusOr<std::shared_ptr<Policy>> PastPolicy(const v1::Opponent& entry);

  const int agents_;
  const MakePolicy make_policy_;
  const Fetch fetch_;
  Random random_;
  std::vector<v1::Opponent> entries_;
  std::unordered_map<uint32_t, uint32_t> matches_;  // met so far, by league id
  std::vector<Past> past_;
  uint64_t uses_ = 0;
};

// `base` with the sides of a match: the settings named like an agent say who plays it, those named
// AGENT_strength how strong its bot is.
Settings MatchSettings(const Settings& base, const std::vector<std::string>& agents,
                       const Assignment& assignment);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_OPPONENTS_H_
