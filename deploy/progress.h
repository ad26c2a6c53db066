// Progress: what `midlane train` shows of a run, read from the learner's metrics.jsonl.
//
// Thread-safety: one thread.
// Errors: none: a line that is no JSON or lacks a key is skipped or shown without it.
#ifndef MIDLANE_DEPLOY_PROGRESS_H_
#define MIDLANE_DEPLOY_PROGRESS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "deploy/config.h"

namespace midlane {

struct OpponentProgress {
  std::string name;  // "reduced:0", "latest", "version 120"
  std::string kind;  // "latest", "past", "scripted"
  uint64_t recent_matches = 0;
  double recent_win_rate = 0;
};

// One line of metrics.jsonl; keys in learner/metrics.h.
struct MetricsLine {
  std::string event;
  std::string reason;  // of a stop
  std::string text;    // of a warning
  uint64_t iteration = 0, version = 0, timesteps = 0;
  double seconds = 0, timesteps_per_s = 0, game_speed = 0;
  double staleness_mean = 0, sample_reuse = 0, entropy = 0;
  std::vector<OpponentProgress> opponents;
  uint64_t workers = 0, game_restarts = 0, workers_lost = 0;
  std::string last_error, verdict;
  uint64_t chunks_produced = 0, chunks_trained = 0, chunks_in_flight = 0;
  std::map<std::string, uint64_t> chunks_dropped;
};

// Timesteps a second since `before`; of `now` alone where that is not an earlier line of its start.
double RateSince(const MetricsLine& before, const MetricsLine& now);

// False where `line` is not of this kind.
bool ParseMetricsLine(const std::string& line, MetricsLine* out);

// Reads a growing file line by line.
class MetricsFollower {
 public:
  explicit MetricsFollower(std::string path) : path_(std::move(path)) {}
  // The complete lines that came since the last call, at most kLinesMax of them.
  std::vector<MetricsLine> Poll();
  static constexpr size_t kLinesMax = 100000;

 private:
  std::string path_;
  std::string rest_;
  int64_t offset_ = 0;
};

// Steps of the ladder: each scripted opponent, once its recent win rate is kMilestoneWinRate over
// at least kMilestoneMatches matches.
inline constexpr double kMilestoneWinRate = 0.9;
inline constexpr uint64_t kMilestoneMatches = 40;

class Ladder {
 public:
  // The sentences for what `line` reached that no earlier line did.
  std::vector<std::string> Reached(const MetricsLine& line);
  size_t reached() const { return names_.size(); }

 private:
  std::set<std::string> names_;
};

// "12.3M timesteps  71,204/s  game 1,910x  reduced:0 93 % of 100  ..." The win rate is that of the
// first scripted opponent of `config`, else against past versions.
std::string ProgressLine(const MetricsLine& line, const Config& config);

// What became of every chunk, and where the time went: the closing lines of a run.
std::string AccountingLine(const MetricsLine& line);

std::string ShortCount(double count);        // "950", "12.3k", "4.56M"
std::string WithThousands(uint64_t number);  // "1,234,567"
std::string ShortDuration(double seconds);   // "3:07", "2:00:09"

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_PROGRESS_H_
