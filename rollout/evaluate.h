// Evaluate: plays matches of one agent's policy against scripted bots or another policy and counts.
//
// Fairness: every opponent is met equally often from both sides, with match seeds base, base + 1,
//   ... that are the same for every policy evaluated and for both sides; quick matches are not
//   favoured (every started match is finished or cut), unless it is stopped or fails.
// Cut: a match that the frame limit ended, or that the world ended TRUNCATED, is counted as cut,
//   whatever its metrics say: never as won, lost or drawn. Training counts likewise (worker.cc).
// Determinism: a match's actions are sampled from its seed and side alone, so with a backend whose
//   rows do not depend on their batch (the native one) a seed reproduces the match in any process,
//   whatever runs beside it.
// Settings: those of `env` and `settings`, and of each match: `seed`, who plays each side
//   (docs/adapter_api.md), `frame_skip` where it is given, and `episode` = match where the
//   environment has that choice.
// Thread-safety: Evaluate is one thread; EvaluateOnCores starts a thread a core and joins them.
// Errors: InvalidArgument (options, a policy made for another environment, an unknown bot). A game
//   that dies is restarted and its match played again, a few times; then its error is answered.
#ifndef MIDLANE_ROLLOUT_EVALUATE_H_
#define MIDLANE_ROLLOUT_EVALUATE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bridge/env.h"
#include "rollout/policy/policy.h"

namespace midlane {

struct EvaluationOpponent {
  std::string name;                // for the table: "reduced", "hyp014:5", a run's name
  std::string bot;                 // scripted: the environment's name of it; empty: a policy
  std::string strength;            // scripted
  std::shared_ptr<Policy> policy;  // loaded; where bot is empty
};

struct MatchRecord {
  uint64_t seed = 0;
  int side = 0;                // agent index of the evaluated side
  int outcome = 0;             // v1::MatchResult::Outcome
  std::vector<float> metrics;  // Spec::metrics of the evaluated side, at the match's end
  uint64_t frames = 0;         // of the game, from the first timestep to the last
  uint64_t hash = 0;           // XXH3 of every observation and action of the match
};

struct EvaluationOptions {
  EnvOptions env;
  Settings settings;
  std::shared_ptr<Policy> policy;  // null: `bot` below is the one evaluated (a cross table)
  EvaluationOpponent subject_bot;  // where policy is null
  std::vector<EvaluationOpponent> opponents;
  uint32_t matches = 200;         // for each opponent, split evenly over the sides
  uint32_t games = 2;             // worlds at once
  uint64_t seed = 1000;           // of the first match; at least 1
  uint64_t frames_max = 4000000;  // of a match; longer ones are cut
  uint32_t frame_skip = 0;
  bool greedy = false;       // the likeliest action in place of a sample
  uint32_t crashes_max = 3;  // of one match, in a row; one more ends the evaluation
  std::function<void(const std::string& line)> progress;  // may be null
  // Called with a match's record so far at its first timestep, where a metric has changed since,
  // and at its end; the outcome is INVALID until then. May be null.
  std::function<void(const MatchRecord& record)> watch;
  // Once it is true nothing more is played: the result has the finished matches alone. May be null;
  // outlives the evaluation.
  const std::atomic<bool>* stop = nullptr;
};

struct OpponentScore {
  std::string opponent;
  std::vector<MatchRecord> matches;  // finished ones; sides alternate, seeds ascend
  uint64_t crashes = 0;              // games that died; their matches were played again
  std::string first_crash;           // why the first one did; one line
  uint64_t won = 0, lost = 0, drawn = 0, cut = 0;
  double win_rate = 0, wilson_low = 0, wilson_high = 0;  // 95 %
};

struct EvaluationResult {
  bool stopped = false;  // before every match was finished: quick matches are favoured
  // What ended it early where it was not `stop`: games that cannot be played any more. Where no
  // match was finished by then, it is the evaluation's error instead.
  absl::Status failure;
  std::vector<OpponentScore> opponents;
  double decision_us_p50 = 0, decision_us_p99 = 0;  // of one batch in the policy, sampling included
};

absl::StatusOr<EvaluationResult> Evaluate(EvaluationOptions options);

// The same on several cores: a thread for each element of `threads`, bound with its games to the
// core of that index in `cpus` (where there is one), all taking matches from one schedule. The
// elements are equal but for their policies, which belong to one thread each; `games` is the sum.
// `progress` and `watch` are called by one thread at a time.
// REQUIRES: `threads` is not empty.
absl::StatusOr<EvaluationResult> EvaluateOnCores(std::vector<EvaluationOptions> threads,
                                                 const std::vector<int>& cpus);

inline constexpr double kWilsonZ95 = 1.959964;

// Wilson score interval (Wilson 1927) for `won` of `played`; z = kWilsonZ95 is 95 %.
void WilsonInterval(uint64_t won, uint64_t played, double z, double* low, double* high);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_EVALUATE_H_
