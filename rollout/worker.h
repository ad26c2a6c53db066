// Worker: runs N worlds, gathers ready ones into a batch through one doorbell, acts with the
// newest policy, and ships each learning agent's experience as chunks.
//
// Data flow:  games --doorbell--> batch --Policy--> sampler --> slots --> games
//                                   \--> Recorder --credits--> WorkerTransport --> learner
//   A batch begins as soon as a group's worth of worlds (games / groups) is ready, so that with two
//   groups one half's games run while the other half is in the network. A world that is late is not
//   waited for. Opponents come from the newest Notice: LATEST plays every side and learns from
//   every side; PAST sides act with another Policy; SCRIPTED sides are the game's own bots.
// Experience: exact to the timestep. A terminated step has no bootstrap, a truncated one the value
// of
//   the final observation, a chunk that goes on the value of the next one. Nothing is generated
//   without credit: a finished chunk that may not be sent stops the games until it may.
// Faults: a game that dies is restarted with another seed, counted, and plays its match again. Its
//   agents' complete timesteps are shipped, bootstrapped from the pending step's value; the pending
//   step itself never happened. A learner that went away is waited for.
// Thread-safety: Run on one thread; Stop from any thread or a signal handler.
// Errors: Create: InvalidArgument (options, by field), or why no game can be started. Run answers
//   when stopped (OK) or when it cannot go on: FailedPrecondition (the learner refused),
//   Unavailable (no learner for a minute), DataLoss (weights), or the error of a world that failed
//   more than restarts_max times in a row.
#ifndef MIDLANE_ROLLOUT_WORKER_H_
#define MIDLANE_ROLLOUT_WORKER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bridge/env.h"
#include "rollout/policy/policy.h"
#include "rollout/transport.h"

namespace midlane {

struct WorkerOptions {
  EnvOptions env;       // `seed` is the first world's; the others count up from it
  Settings settings;    // of every world; sides and seeds are set by the league
  std::string learner;  // "tcp://HOST:PORT" or "ipc://PATH"
  NetworkConfig network;
  uint32_t games = 4;
  uint32_t frame_skip = 0;     // 0: the spec's default
  uint32_t chunk_steps = 256;  // timesteps of a full chunk
  uint32_t window = 16;        // timesteps of a training window
  uint32_t groups = 2;         // 1: no double buffering
  uint64_t seed = 1;
  // A longer episode is truncated by the worker, with its match; 0: never. Without it a match that
  // comes to a standstill (who is to serve does not) holds its world for ever.
  uint32_t episode_steps_max = 0;
  uint32_t restarts_max = 10;  // of one world in a row, without a timestep between
  // How long worlds behind a server wait for it where it went away; meanwhile nothing else counts
  // as a restart.
  double server_wait_seconds = 60;
  // Null: native. Its errors are Create's.
  std::function<absl::StatusOr<std::unique_ptr<Policy>>(const NetworkShape&)> make_policy;
  std::function<void()> on_joined;  // the learner's weights are here, games begin; may be null
  std::function<void(bool there)> on_learner;  // it went away, it is back; may be null
};

class Worker {
 public:
  static absl::StatusOr<std::unique_ptr<Worker>> Create(WorkerOptions options);
  virtual ~Worker() = default;
  virtual absl::Status Run() = 0;
  virtual void Stop() = 0;  // async-signal-safe
};

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_WORKER_H_
