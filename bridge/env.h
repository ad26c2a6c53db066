// Env: one running world of an environment, with one or several agents. The only seam between
// Midlane and games: game-backed, remote and in-process environments look the same through it, and
// every implementation passes the suite in tests/bridge/env_conformance.h.
//
// Life cycle: Reset -> (Ready -> read agents, write actions -> Step)* -> Reset ... Reset and Step
//   return at once; their result becomes readable when Ready() (or Wait()) says so. In between,
//   slots must not be touched. An Env that is not Ready after an error stays in that error until
//   Restart().
// Semantics: an episode's last timestep is flagged TERMINATED or TRUNCATED and shows the final
//   observation and the last rewards. Its actions are ignored; the next call must be Reset. Where
//   only some agents ended, the others go on: Step, and the ended agent's next timestep is FIRST.
//   Where MATCH_OVER is set the world starts afresh, and only then (and at the first Reset) may
//   Reset change settings without cutting a match short; at any other time a Reset with changed
//   settings truncates what is running. Reset with equal settings after an end of episode is cheap.
// Thread-safety: one thread at a time. Different Envs are independent, also under one Doorbell.
// Ownership: slots are read and written in place and live until the next Reset or Restart.
// Errors: absl::Status whose message is one sentence with the remedy.
//   InvalidArgument: settings or actions (nothing was changed). DeadlineExceeded: the game did not
//   answer in time. Unavailable: the game is gone (its last stderr lines are in the message).
//   FailedPrecondition: a call out of order. Internal: the adapter reported a fault.
#ifndef MIDLANE_BRIDGE_ENV_H_
#define MIDLANE_BRIDGE_ENV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bridge/doorbell.h"
#include "bridge/setting.h"
#include "bridge/spec.h"

namespace midlane {

// One agent's side of the current timestep.
struct AgentView {
  uint32_t flags = 0;           // midlane_slot_flag
  uint64_t observed_frame = 0;  // game frame that the observation shows
  uint64_t effect_frame = 0;    // first frame that the previous action acted on
  uint32_t episode = 0;
  const unsigned char* observation = nullptr;  // Spec::observation_bytes, laid out by the spec
  const float* rewards = nullptr;              // Spec::terms.size(), since the previous timestep
  const float* metrics = nullptr;              // Spec::metrics.size()
  int32_t* actions = nullptr;                  // Spec::heads.size(), written by the caller

  bool active() const { return flags & MIDLANE_SLOT_ACTIVE; }
  bool wants_action() const {
    return active() &&
           !(flags & (MIDLANE_SLOT_PASSIVE | MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_TRUNCATED));
  }
  bool first() const { return flags & MIDLANE_SLOT_FIRST; }
  bool terminated() const { return flags & MIDLANE_SLOT_TERMINATED; }
  bool truncated() const { return flags & MIDLANE_SLOT_TRUNCATED; }
  bool last() const { return terminated() || truncated(); }
  bool match_over() const { return flags & MIDLANE_SLOT_MATCH_OVER; }
};

// Running figures of one Env.
struct EnvStats {
  uint64_t frames = 0;      // game frames
  uint64_t timesteps = 0;   // exchanges
  double game_seconds = 0;  // game time passed
  uint64_t restarts = 0;    // game processes beyond the first
};

class Env {
 public:
  virtual ~Env() = default;

  virtual const Spec& spec() const = 0;

  // Begins an episode under `settings`; unnamed settings take their defaults.
  virtual absl::Status Reset(const Settings& settings) = 0;

  // Gives the actions that stand in the slots to the world.
  // REQUIRES: Ready, and no agent's episode has ended without another agent's going on.
  virtual absl::Status Step() = 0;

  // True where the timestep after the last Reset or Step is readable. Never blocks. Also what sends
  // a Reset or Step that the Env held back to join it with others', so a caller looks before it
  // waits on the doorbell; and what notices that a world died or is late, so it comes back at least
  // every second.
  virtual absl::StatusOr<bool> Ready() = 0;

  // Blocks until Ready; DeadlineExceeded after `timeout`.
  virtual absl::Status Wait(absl::Duration timeout) = 0;

  // The current timestep of agent `index`. REQUIRES: Ready.
  virtual AgentView agent(int index) = 0;

  // Throws the world away and makes a fresh one, also after an error. Reset must follow.
  virtual absl::Status Restart() = 0;

  virtual EnvStats stats() const = 0;
};

struct EnvOptions {
  // An environment's name (a folder of envs/, or null, probe), or grpc://HOST:PORT.
  std::string name;
  // Rung by the environment when a timestep is readable. Null: the Env makes one of its own.
  std::shared_ptr<Doorbell> doorbell;
  // Seeds everything random in the world that no `seed` setting covers.
  uint64_t seed = 1;
  // World settings at the start. Settings that shape the spec (null's `inputs`, say) can be given
  // only here: Reset may repeat but not change them.
  Settings settings;
  // Game seconds per real second; 0: as fast as it goes.
  double speed = 0;
  // Draw every n-th frame; 0: never.
  uint32_t render_every = 0;
  // Longest wait for a timestep.
  absl::Duration timeout = absl::Seconds(20);
  // Longest wait for a game's start; 0: what its description names.
  absl::Duration start_timeout;
  // Polls before sleeping, of game and host alike; 0 where cores are short.
  uint32_t spin = 0;
  // Where a game's private files go; empty: a fresh folder under the system's temporary one.
  std::string work_dir;
};

// Makes an Env by name: NotFound names the known ones.
absl::StatusOr<std::unique_ptr<Env>> MakeEnv(const EnvOptions& options);

// The spec of a world that is started for it and ended again.
absl::StatusOr<Spec> SpecOf(const EnvOptions& options);

// What is known of an environment without starting it.
struct EnvironmentInfo {
  std::string name;
  bool at_once = false;  // its worlds live in the caller's process and answer within the call
  // Of a server: names, descriptions, defaults and choices alone.
  std::vector<SettingSpec> settings;
  std::vector<std::string> bots;  // scripted opponents, values of the settings named like agents
  std::string default_strength;
};

// NotFound names the known ones; InvalidArgument where the game's description is wrong. Of
// grpc://HOST:PORT the server is asked: its errors, Unavailable where it is not reached.
absl::StatusOr<EnvironmentInfo> DescribeEnvironment(const std::string& name);

// Names that MakeEnv knows (not the grpc ones), sorted.
std::vector<std::string> KnownEnvironments();

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_ENV_H_
