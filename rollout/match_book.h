// MatchBook: what an evaluation has to play, what came of it, and what its user is told meanwhile.
//
// Purpose: one book for the threads of an evaluation. Matches are taken in order of opponent and
//   side, so that a world seldom has to change who plays.
// Thread-safety: all methods, any thread. `progress` and `watch` of the options are called by one
//   thread at a time, under the book's lock: they may not call back.
// Ownership: refers to the options, which outlive it.
#ifndef MIDLANE_ROLLOUT_MATCH_BOOK_H_
#define MIDLANE_ROLLOUT_MATCH_BOOK_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "rollout/evaluate.h"

namespace midlane {

// One that is to be played, or is under way.
struct Match {
  size_t opponent = 0;  // in EvaluationOptions::opponents
  size_t index = 0;     // in OpponentScore::matches
  int side = 0;
  uint64_t seed = 0;
};

class MatchBook {
 public:
  explicit MatchBook(const EvaluationOptions& options) : options_(options) {}

  // Enters every match of every opponent, from `sides` sides in turn; once, whoever calls first.
  void Schedule(uint32_t sides);

  // The next match, or nothing where all are taken.
  std::optional<Match> Take();

  // The metrics of the evaluated side and the frames so far; told to `watch` where this is the
  // match's first timestep or a metric has changed.
  void Watch(const Match& match, bool first, std::vector<float> metrics, uint64_t frames);

  // `outcome`: v1::MatchResult::Outcome.
  void Finish(const Match& match, int outcome, std::vector<float> metrics, uint64_t frames,
              uint64_t hash);

  // The game of `match` died because of `why`, for the `times`th time in a row. OK where the match
  // is to be played again, else the error of the evaluation.
  absl::Status Crashed(const Match& match, uint32_t times, const absl::Status& why);

  // The match that has been under way longest: one that does not end is no silence.
  void TellLongest(const Match& match, uint64_t frames);

  // Whether nothing is left to play or under way.
  bool finished();

  // The scores of finished matches, with their rates. REQUIRES: every thread is done.
  std::vector<OpponentScore> TakeScores();

 private:
  // What of `score` is known, and `more`; at most once a second unless it is `due`.
  void Tell(const OpponentScore& score, const std::string& more, bool due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  MatchRecord& RecordOf(const Match& match) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return scores_[match.opponent].matches[match.index];
  }

  const EvaluationOptions& options_;
  absl::Mutex mu_;
  bool scheduled_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Match> schedule_ ABSL_GUARDED_BY(mu_);
  std::vector<OpponentScore> scores_ ABSL_GUARDED_BY(mu_);
  absl::Time last_told_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_MATCH_BOOK_H_
