// League: whom the learning policy meets. The latest version itself, past versions drawn by quality
// scores (arXiv:1912.06680 appendix N), and scripted bots whose shares follow how often they win.
//
// Shares are of game time: scripted_share goes to the scripted bots, in proportion to loss rate +
//   kLossRateFloor (evenly where !scripted_by_loss_rate; with scripted_ladder only those that were
//   met before, and one whose forerunner is beaten); of the rest latest_share to LATEST
//   and the remainder to past versions, p_i = e^{q_i} / sum_j e^{q_j}. Where a kind has no member
//   its share goes to LATEST. Workers draw an opponent for each match, and matches differ in length
//   by orders of magnitude (two equal players rally on and on), so an opponent is drawn in
//   proportion to its share divided by its matches' recent length.
// Quality: a version joins with the highest q there is (0 in an empty pool); a win against i lowers
//   q_i by eta / (N p_i), N the size of the pool; nothing else moves it.
// Ids: 0 is LATEST; the others are never used twice in a run.
// Thread-safety: one thread at a time. No I/O and no message types here.
#ifndef MIDLANE_LEARNER_LEAGUE_H_
#define MIDLANE_LEARNER_LEAGUE_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "learner/learner.h"

namespace midlane {

enum class OpponentKind : uint32_t { kLatest = 1, kPast = 2, kScripted = 3 };
enum class Outcome : uint32_t { kWon = 1, kLost = 2, kDrawn = 3, kCut = 4 };

const char* KindName(OpponentKind kind);  // "latest", "past", "scripted"

// Matches against one opponent.
struct Tally {
  static constexpr size_t kRecentMax = 40;  // the sliding window, in matches

  struct Match {
    Outcome outcome = Outcome::kCut;
    uint64_t frames = 0;
    std::vector<float> metrics;  // Spec::metrics
  };

  uint64_t won = 0, lost = 0, drawn = 0, cut = 0;
  std::deque<Match> recent;

  void Add(Match match);
  uint64_t matches() const { return won + lost + drawn + cut; }
  // Of the last matches_max at most; a cut match is never won. 0 where there is none.
  double recent_win_rate(size_t matches_max = kRecentMax) const;
  double recent_metric(size_t index) const;
  double recent_frames() const;
  // Mean length of the last kLengthMax matches, in game frames; 0 before the first.
  double expected_frames() const;
  static constexpr size_t kLengthMax = 10;
};

struct LeagueEntry {
  uint32_t id = 0;
  OpponentKind kind = OpponentKind::kLatest;
  uint64_t version = 0;  // kPast: as served, with the size and XXH3 of its blob
  uint64_t bytes = 0;
  uint64_t hash = 0;
  std::string bot;  // kScripted
  std::string strength;
  double quality = 0;  // kPast
  Tally tally;

  std::string name() const;  // "latest", "version 120", "reduced:0"
};

// What a checkpoint keeps.
struct LeagueState {
  std::vector<LeagueEntry> entries;
  uint32_t next_id = 1;
};

class League {
 public:
  // Added to a scripted opponent's loss rate, so that beaten ones are still met.
  static constexpr double kLossRateFloor = 0.1;
  // A rung of the ladder is beaten from this win rate over its last so many matches on.
  static constexpr double kBeatenWinRate = 0.8;
  static constexpr size_t kBeatenMatches = 20;

  explicit League(LeagueOptions options);

  // Goes on from `state`; scripted opponents that the options no longer name are left out.
  void Restore(LeagueState state);
  LeagueState state() const { return {entries_, next_id_}; }

  // LATEST first; past and scripted after it.
  const std::vector<LeagueEntry>& entries() const { return entries_; }
  // Share of game time of each of entries(), summing to 1.
  std::vector<double> Shares() const;
  // Probability that a match is against each of entries(), summing to 1.
  std::vector<double> MatchProbabilities() const;

  // Adds a past version. Answers the version that left to keep pool_max, if one did: the lowest
  // quality, the oldest of equals, never the one just added.
  std::optional<uint64_t> AddPast(uint64_t version, uint64_t bytes, uint64_t hash);

  // False where no opponent has this id (it left the pool meanwhile).
  bool Record(uint32_t id, Tally::Match match);

  // Whether every scripted opponent's recent win rate exceeds `win_rate`, over a full window each.
  // False without scripted opponents.
  bool Beats(double win_rate) const;

 private:
  std::vector<double> PastProbabilities() const;  // of each of entries(), 0 where not kPast

  LeagueOptions options_;
  std::vector<LeagueEntry> entries_;
  uint32_t next_id_ = 1;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_LEAGUE_H_
