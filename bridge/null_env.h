// NullEnv: answers at once. For measuring everything but a game, and the smallest example of an
// Env.
//
// Settings `inputs` (16), `actions` (6), `agents` (1): shape the spec; `length` (128): timesteps of
// an episode, every one a match of its own; `seed`. Observations are noise in [-1, 1], the reward
// term `reward` is 1 where action 0 was chosen; the agent with more of them has `won`.
// Thread-safety, ownership, errors: as Env; never Unavailable.
#ifndef MIDLANE_BRIDGE_NULL_ENV_H_
#define MIDLANE_BRIDGE_NULL_ENV_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "bridge/env.h"
#include "bridge/setting.h"

namespace midlane {

std::vector<SettingSpec> NullEnvSettings();
absl::StatusOr<std::unique_ptr<Env>> MakeNullEnv(const EnvOptions& options);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_NULL_ENV_H_
