// GameEnv: an Env whose world is a game process under the shim.
//
// Purpose: launches the game of a description, exchanges through the channel, resets without a
//   relaunch (a relaunch happens only where a setting changes the game's command or environment),
//   supervises, restarts. A process whose virtual clock has reached the description's limit is
//   replaced where a match begins.
// Thread-safety, ownership: as Env. stats() is as of the last timestep.
// Errors: as Env. The sentences name the game, what happened and the remedy, and end with the last
//   lines that the game wrote.
// Cost: with `spin` 0 an exchange is one futex wake and one wait on each side; Ready is one atomic
//   load where a timestep is there; nothing is allocated between two Resets.
#ifndef MIDLANE_BRIDGE_GAME_ENV_H_
#define MIDLANE_BRIDGE_GAME_ENV_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bridge/description.h"
#include "bridge/env.h"

namespace midlane {

// Starts the game and waits until its adapter declared the spec. `preload`: the shim's path, or
// empty for a game that speaks the channel by itself.
absl::StatusOr<std::unique_ptr<Env>> MakeGameEnv(const EnvOptions& options,
                                                 GameDescription description,
                                                 const std::string& preload);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_GAME_ENV_H_
