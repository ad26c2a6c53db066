// Learner: receives experience, trains by PPO, keeps the league, publishes versions, checkpoints.
// The public face of learner/: no torch header is included here, so that any main can hold one.
//
// Data flow:  LearnerTransport -> receiver (dedupe, check, staleness) -> batch of timesteps
//             -> GAE -> PPO epochs -> new version -> LearnerTransport (notice, parts)
//                                          \-> league, checkpoint, metrics (JSON lines,
//                                          TensorBoard)
// One iteration: `ppo.batch_steps` timesteps are gathered, trained on `ppo.epochs` times in
//   minibatches, and a version is published. Experience that arrives meanwhile waits (credits bound
//   it), so data is 0 or 1 versions old.
// Accounting: produced = trained + dropped(by reason) + in flight, to the chunk, over any faults.
// Thread-safety: Run on one thread, Stop from any thread or a signal handler.
// Ownership: a run folder belongs to one learner at a time (a lock file, refused in words).
// Files of a run folder: config.toml (by deploy), checkpoint.mdl, checkpoint-VERSION.mdl (kept
// ones),
//   metrics.jsonl (metrics.h), tensorboard/, learner.address (one line, the address that workers
//   connect to; written once the learner listens, removed when it ends), learner.version (the last
//   published), learner.lock.
// Errors: InvalidArgument (options, foreign checkpoint), DataLoss (corrupt checkpoint),
//   AlreadyExists (second learner, port in use), ResourceExhausted (disk full: the run goes on with
//   the old checkpoint and says so, and ends with this error if it never could write one).
#ifndef MIDLANE_LEARNER_LEARNER_H_
#define MIDLANE_LEARNER_LEARNER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bridge/spec.h"
#include "rollout/policy/network.h"

namespace midlane {

// A value that falls (or rises) linearly over training: `from` at timestep 0, `to` at `steps` and
// after. steps == 0: constant `from`.
struct Schedule {
  double from = 0;
  double to = 0;
  uint64_t steps = 0;
  double At(uint64_t timestep) const;
};

// Schulman et al. 2017, arXiv:1707.06347; names and defaults as usual there.
struct PpoOptions {
  uint32_t batch_steps = 8192;  // timesteps of an iteration
  uint32_t minibatch_steps = 2048;
  uint32_t epochs = 4;
  uint32_t window = 16;  // timesteps of a truncated-BPTT window (LSTM)
  Schedule learning_rate{5e-4, 5e-4, 0};
  Schedule entropy{0.002, 0.002, 0};
  double clip = 0.2;        // of the probability ratio
  double value_clip = 0.2;  // of the value, in normalised units; 0: not clipped
  double value_weight = 0.5;
  double gradient_norm_max = 0.5;
  double gamma = 0.99;  // discount a timestep
  double gae_lambda = 0.95;
  bool normalise_advantage = true;
  bool normalise_reward = true;  // by the running deviation of the discounted return
  bool normalise_observation = true;
  double target_kl = 0;        // an iteration's epochs end early above it; 0: never
  uint32_t staleness_max = 4;  // versions; older chunks are dropped and counted
};

struct ScriptedOpponent {
  std::string bot;
  std::string strength;  // empty: the environment's default
};

// arXiv:1912.06680 appendix N, with scripted bots beside past versions.
struct LeagueOptions {
  double latest_share = 0.8;    // of matches against itself; the rest meets past versions
  uint32_t add_every = 10;      // iterations between additions to the pool
  uint32_t pool_max = 50;       // past versions kept; the weakest leaves
  double quality_rate = 0.01;   // eta
  double scripted_share = 0.0;  // of all matches, taken before the two above
  std::vector<ScriptedOpponent> scripted;
  // Within the scripted share an opponent's weight is (loss rate + floor); 0 spreads evenly.
  bool scripted_by_loss_rate = true;
  // The scripted opponents are a ladder in the order given: one is met once the one before it is
  // beaten (League::kBeatenWinRate), and from then on.
  bool scripted_ladder = false;
};

struct LearnerOptions {
  std::string run_dir;
  std::string listen = "tcp://127.0.0.1:*";
  std::string device = "cpu";      // "cpu", "cuda", "cuda:N"
  std::string wire_dtype = "f32";  // "f32" or "bf16"
  uint32_t threads = 1;            // of torch's pool
  // "native": an MLP on a CPU without libtorch; "torch": any network; "auto": native where it can
  // and is the faster one (small networks).
  std::string engine = "auto";
  uint32_t credits_total = 0;  // chunks in flight; 0: one iteration's and a quarter more
  uint32_t chunk_steps = 256;  // what workers ship, for the credit arithmetic
  uint64_t seed = 1;
  NetworkConfig network;
  PpoOptions ppo;
  LeagueOptions league;
  // Weight of each term; unnamed terms weigh 0, but where none is named each weighs 1.
  std::map<std::string, Schedule> rewards;
  uint64_t timesteps_max = 0;  // stop after; 0: never
  double seconds_max = 0;      // of training time, over all resumes; 0: never
  double checkpoint_seconds = 30;
  // Timesteps over which the weights are averaged that evaluation plays with; 0: no mean is kept.
  double average_steps = 1e6;
  uint32_t checkpoints_keep = 0;  // numbered copies beside checkpoint.mdl; 0: only the league's
  double target_win_rate = 0;     // stop when every scripted opponent's recent win rate is above
  std::string config_text;        // kept in the checkpoint, so that a run describes itself
};

// InvalidArgument names the option that is out of its limits or does not fit the spec.
absl::Status ValidateLearnerOptions(const Spec& spec, const LearnerOptions& options);

class Learner {
 public:
  // Loads run_dir/checkpoint.mdl where there is one and goes on as if it had never stopped.
  static absl::StatusOr<std::unique_ptr<Learner>> Create(const Spec& spec, LearnerOptions options);
  virtual ~Learner() = default;
  virtual absl::Status Run() = 0;
  virtual void Stop() = 0;  // async-signal-safe; Run writes a checkpoint and returns
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_LEARNER_H_
