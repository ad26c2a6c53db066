// Metrics: what a learner tells of itself, one JSON object a line in run_dir/metrics.jsonl, and the
// same figures as TensorBoard scalars under run_dir/tensorboard/.
//
// Lines, by "event":
//   "start"      resumed (bool), version, iteration, timesteps, seconds; once for each process
//   "iteration"  one for each iteration; those that take less than 100 ms share one: figures of
//                training are then its last iteration's, sums and rates are since the line before
//   "warning"    text: a checkpoint that could not be written, a lost worker
//   "stop"       reason, and the keys of an iteration with the final counts
// Keys (units in the names):
//   wall_time (Unix), iteration, version, timesteps (trained, total), seconds (of training, over
//   all resumes), timesteps_per_s, decisions_per_s (made by workers), game_speed (multiple of real
//   time), staleness_mean, staleness_max (versions), sample_reuse (times a timestep is trained on),
//   policy_loss, value_loss, entropy, kl, clip_fraction, explained_variance, gradient_norm,
//   learning_rate, entropy_weight, minibatches, reward_deviation, behaviour_log_prob_error,
//   reward {TERM: per timestep}, reward_weight {TERM: present weight}, reward_total (weighted, per
//   timestep), episodes {ended, truncated, length_mean},
//   opponents [{id, name, kind, share (of game time), quality (past), matches, won, lost, drawn,
//   cut,
//     recent_matches, recent_win_rate, recent_frames, metrics {NAME: mean over recent matches}}]
//     (past versions only in one line each ten seconds),
//   time {receive, train, publish, checkpoint, other}: shares of the learner's time, summing to 1
//   workers {count, games, policy, credit, other: shares of the workers' time; restarts,
//     lost, resident_bytes, last_error},
//   chunks {produced, trained, in_flight, dropped {REASON: n}}: totals of the run,
//     produced = trained + sum(dropped) + in_flight
//   resident_bytes (learner), verdict (one sentence: where the loop's time goes)
// Thread-safety: values; a MetricsLog belongs to one thread.
#ifndef MIDLANE_LEARNER_METRICS_H_
#define MIDLANE_LEARNER_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "learner/files.h"
#include "learner/league.h"
#include "learner/tensorboard.h"

namespace midlane {

struct OpponentMetrics {
  const LeagueEntry* entry = nullptr;
  double share = 0;
};

using Named = std::vector<std::pair<std::string, double>>;

struct IterationMetrics {
  double wall_time = 0;
  uint64_t iteration = 0, version = 0, timesteps = 0;
  double seconds = 0, timesteps_per_s = 0, decisions_per_s = 0, game_speed = 0;
  double staleness_mean = 0, staleness_max = 0, sample_reuse = 0;
  double policy_loss = 0, value_loss = 0, entropy = 0, kl = 0, clip_fraction = 0;
  double explained_variance = 0, gradient_norm = 0, learning_rate = 0, entropy_weight = 0;
  uint64_t minibatches = 0;
  double reward_deviation = 1, behaviour_log_prob_error = 0;
  Named reward, reward_weight;
  double reward_total = 0;
  uint64_t episodes_ended = 0, episodes_truncated = 0;
  double episode_length_mean = 0;
  std::vector<OpponentMetrics> opponents;
  std::vector<std::string> metric_names;  // Spec::metrics
  double time_receive = 0, time_train = 0, time_publish = 0, time_checkpoint = 0, time_other = 0;
  uint64_t workers = 0;
  double workers_games = 0, workers_policy = 0, workers_credit = 0, workers_other = 0;
  uint64_t game_restarts = 0, workers_lost = 0, workers_resident_bytes = 0;
  std::string last_error;
  uint64_t chunks_produced = 0, chunks_trained = 0, chunks_in_flight = 0;
  std::vector<std::pair<std::string, uint64_t>> chunks_dropped;
  uint64_t resident_bytes = 0;
  std::string verdict;
};

// One line, without the newline. `event` is "iteration" or "stop" (then with `reason`).
std::string IterationJson(const IterationMetrics& metrics, const std::string& event,
                          const std::string& reason);
Scalars IterationScalars(const IterationMetrics& metrics);

// Where the loop's time goes, in words, from the shares in `metrics`.
std::string Verdict(const IterationMetrics& metrics);

// Resident memory of this process.
uint64_t ResidentBytes();

class MetricsLog {
 public:
  static absl::StatusOr<std::unique_ptr<MetricsLog>> Open(const std::string& run_dir);

  absl::Status Start(bool resumed, uint64_t version, uint64_t iteration, uint64_t timesteps,
                     double seconds);
  absl::Status Iteration(const IterationMetrics& metrics);
  absl::Status TensorBoard(const IterationMetrics& metrics);
  absl::Status Warning(const std::string& text);
  absl::Status Stop(const IterationMetrics& metrics, const std::string& reason);

 private:
  MetricsLog(std::unique_ptr<AppendFile> lines, std::unique_ptr<TensorBoardWriter> tensorboard)
      : lines_(std::move(lines)), tensorboard_(std::move(tensorboard)) {}

  std::unique_ptr<AppendFile> lines_;
  std::unique_ptr<TensorBoardWriter> tensorboard_;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_METRICS_H_
