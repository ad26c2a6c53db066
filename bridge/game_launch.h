// How a described game is started: its folder filled, its command and environment made.
//
// Thread-safety: pure functions but for the files of the work folder.
// Errors: NotFound where the game or the shim is missing, with what to install or build.
#ifndef MIDLANE_BRIDGE_GAME_LAUNCH_H_
#define MIDLANE_BRIDGE_GAME_LAUNCH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bridge/channel_host.h"
#include "bridge/description.h"
#include "bridge/doorbell.h"
#include "bridge/launcher.h"
#include "bridge/work_folder.h"

namespace midlane {

// The description's files in one work folder.
class GameFiles {
 public:
  // Writes those whose text under these settings is not what stands there.
  absl::Status Write(const GameDescription& description, const Settings& settings,
                     WorkFolder* work);

 private:
  std::vector<std::string> written_;  // by index of the description's files
};

// The game's command, environment and descriptors. `preload` may be empty: no shim.
absl::StatusOr<LaunchOptions> PlanLaunch(const GameDescription& description,
                                         const Settings& settings, bool draws,
                                         const std::string& preload, const WorkFolder& work,
                                         int channel_fd, int doorbell_fd);

// OK where `preload` names a shim, or is empty.
absl::Status CheckPreload(const std::string& preload);

// "; its last lines:\n..." or ", and it wrote nothing".
std::string OutputText(const std::string& last_lines);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_GAME_LAUNCH_H_
