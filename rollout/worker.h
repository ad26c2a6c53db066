// Worker: runs N worlds, gathers ready ones into a batch through one doorbell, acts with the
// newest policy, and ships each learning agent's experience as chunks.
//
// Data flow:  games --doorbell--> batch --Policy--> sampler --> slots --> games
//                                   \--> MutableChunk --credits--> WorkerTransport --> learner
//   Worlds are split into two groups, so that one group's games run while the other's batch is in
//   the network. Opponents come from the newest Notice: LATEST plays every side and learns from
//   every side; PAST sides act with another Policy; SCRIPTED sides are the game's own bots.
// Thread-safety: Run on one thread; Stop from any thread or a signal handler.
// Errors: Run answers when stopped (OK) or when it cannot go on (the learner refused, no game can
// be
//   started). A game that dies is restarted and counted; what it had in hand is dropped unproduced.
#ifndef MIDLANE_ROLLOUT_WORKER_H_
#define MIDLANE_ROLLOUT_WORKER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
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
  uint32_t restarts_max = 10;  // of one world in a row, without a timestep between
  std::function<std::unique_ptr<Policy>(const NetworkShape&)> make_policy;  // null: native
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
