// GameDescription: envs/GAME/game.toml as docs/description.md defines it, checked.
//
// Thread-safety: a value and pure functions; reading touches only the description's folder.
// Errors: InvalidArgument whose sentence begins "FILE:LINE: " and names the key and the remedy;
//   NotFound where a file is missing.
#ifndef MIDLANE_BRIDGE_DESCRIPTION_H_
#define MIDLANE_BRIDGE_DESCRIPTION_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bridge/env.h"
#include "bridge/setting.h"

namespace midlane {

struct GameDescription {
  struct File {
    std::string path;           // relative, inside the private folder
    std::string template_name;  // for messages
    std::string template_text;
  };
  struct Keys {
    std::string name;
    std::vector<std::string> keys;
  };

  std::string folder;                              // of the description, absolute
  std::string name, executable, package, adapter;  // adapter: absolute path
  std::vector<std::string> command;
  bool fallback_play = false;
  absl::Duration start_timeout = absl::Seconds(20);
  std::map<std::string, std::string> environment;         // templates
  std::map<std::string, std::string> render_environment;  // over those where frames are drawn
  std::vector<File> files;
  bool virtual_clock = true;
  uint64_t clock_step_us = 0;
  double clock_free_speed = 0;  // game seconds a second that count as free-running; 0: no bound
  // Game time that a process may reach: a match that would begin later begins in a fresh one,
  // because a count of milliseconds in 32 bits overflows after 596 hours (signed) or 1,193, and the
  // game then waits for moments that never come. Zero: any time.
  absl::Duration clock_limit = absl::Hours(500);
  std::vector<std::string> clock_hooks;
  std::vector<std::string> render_skip;
  std::vector<std::string> render_skip_functions;  // the executable's own, by symbol
  std::vector<std::string> render_drop_functions;  // likewise, also where frames are drawn
  std::string frame_call;
  std::string input_library;  // "SDL2" or empty
  std::vector<Keys> sequences;
  uint32_t gap_polls = 2;
  std::vector<SettingSpec> settings;  // with the built-in `frame_skip` and `seed`, by name
  std::vector<std::string> bots;
  std::string default_strength = "0";
};

// Reads FOLDER/game.toml and its templates.
absl::StatusOr<GameDescription> ReadDescription(const std::string& folder);

// The same from text; `file` is for messages, templates and adapter are looked up in `folder`.
absl::StatusOr<GameDescription> ParseDescription(absl::string_view text, const std::string& file,
                                                 const std::string& folder);

// A game that has no folder: a command line and an adapter.
struct CommandGame {
  std::vector<std::string> command;
  std::string executable;  // file name of the process to attach to; empty: the command's
  std::string adapter;     // path of the Lua file
  bool virtual_clock = true;
  Settings settings;  // that its worlds take, any text each, with their defaults
};

// Its description: private home and folder, nothing skipped, nothing keyed, named as its
// executable (with '-' for what no name may hold).
absl::StatusOr<GameDescription> DescribeCommand(const CommandGame& game);

// Values for ${NAME}: the settings, WORK (the private folder), FOLDER (the description's) and PORT
// (a network port of the private folder's own).
using Substitutions = std::map<std::string, std::string>;

// `text` with every ${NAME} replaced; "$${" gives "${". `where` begins the error's sentence.
absl::StatusOr<std::string> Expand(absl::string_view text, const Substitutions& values,
                                   absl::string_view where);

// How the shim is to run the game.
struct ShimOptions {
  uint64_t seed = 1;
  double speed = 0;           // game seconds per real second; 0: free-running
  uint32_t render_every = 0;  // 0: never
  bool vanilla = false;
  bool announce = false;
};

// The channel's description text: the table of docs/description.md.
std::string ShimText(const GameDescription& description, const ShimOptions& options);

// The channel's settings text: a NAME=VALUE line for each setting that has a value.
std::string SettingsText(const Settings& settings);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_DESCRIPTION_H_
