// ProbeEnv: a game that reports its own timing, so that delays and leaks are asserted, not
// believed.
//
// One frame counter; a timestep every `frame_skip` frames. An action given at frame f acts from
// frame f + `delay` on (1 by default; at most frame_skip). Observations (i32, width 1 each):
//   frame        the frame observed
//   own_action   the action of this side that acted last in this episode, -1 before one did
//   own_effect   the first frame it acted on, 0 before one did
//   other_action, other_effect   the same of the other side, known only once it has acted
//   steps_left   timesteps until the episode's end
// and `mask` (u8), which allows all four choices, or with `masks` = true forbids (frame / skip)
// % 4. Reward term `step` is 1 a timestep, `echo` the action that acted since the last timestep.
// Metrics: won, lost (1 for the side with the larger sum of `echo`), frames.
// Settings: `agents` 1 or 2 (shapes the spec), `frame_skip`, `delay`, `masks`, `length` and
//   `length_right` (timesteps of left's and right's episodes; 0: as left's), `ends` ("terminated",
//   "truncated"), `match` (episodes of `left` in a match), `left`, `right` ("agent", or "idle": the
//   side is PASSIVE and acts 0), `seed` (offsets the first frame; empty: the world's).
// Thread-safety, ownership, errors: as Env; never Unavailable.
#ifndef MIDLANE_BRIDGE_PROBE_ENV_H_
#define MIDLANE_BRIDGE_PROBE_ENV_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "bridge/env.h"
#include "bridge/setting.h"

namespace midlane {

std::vector<SettingSpec> ProbeEnvSettings();
absl::StatusOr<std::unique_ptr<Env>> MakeProbeEnv(const EnvOptions& options);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_PROBE_ENV_H_
