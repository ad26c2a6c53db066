// The toy game (toy_game.c) as an Env, described in a folder of its own.
#ifndef MIDLANE_TESTS_BRIDGE_TOY_ENV_H_
#define MIDLANE_TESTS_BRIDGE_TOY_ENV_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "bridge/description.h"
#include "bridge/game_env.h"

namespace midlane {

inline constexpr char kToyDescription[] = R"(
[game]
name = "toy"
executable = "toy_game"
command = ["$TOY", "${label}"]
adapter = "adapter.lua"
start_timeout_seconds = $START_TIMEOUT

[[file]]
path = "conf/toy.cfg"
template = "toy.cfg.in"

[settings]
agents = { default = 2, description = "agents of the world", minimum = 1, maximum = 2 }
delay = { default = 1, description = "frames until an action acts", minimum = 1 }
fault = { default = "none", description = "what goes wrong" }
fault_at = { default = 0, description = "at which timestep", minimum = 0 }
fault_once = { default = 0, description = "1: only in the first process", minimum = 0 }
frame_skip = { default = 4, description = "frames a timestep", minimum = 1 }
hours = { default = 0, description = "how far the clock moves with each exchange", minimum = 0 }
label = { default = "a", description = "part of the command, so that a change relaunches" }
left = { default = "agent", description = "who plays left", choices = ["agent", "idle"] }
length = { default = 16, description = "timesteps of an episode", minimum = 1 }
length_right = { default = 0, description = "of the right side's", minimum = 0 }
masks = { default = false, description = "forbid one choice" }
match = { default = 1, description = "episodes of a match", minimum = 1 }
right = { default = "agent", description = "who plays right", choices = ["agent", "idle"] }

[opponents]
bots = ["idle"]
)";

// A folder with the toy's description, removed at the end.
class ToyFolder {
 public:
  explicit ToyFolder(int start_timeout_seconds = 30) {
    std::string path = (std::filesystem::temp_directory_path() / "toy-XXXXXX").string();
    path_ = mkdtemp(path.data());
    std::string text = kToyDescription;
    Replace(&text, "$TOY", MIDLANE_TOY_GAME);
    Replace(&text, "$START_TIMEOUT", std::to_string(start_timeout_seconds));
    Write("game.toml", text);
    Write("adapter.lua", "");
    Write("toy.cfg.in", "length ${length}\n");
  }
  ~ToyFolder() { std::filesystem::remove_all(path_); }
  ToyFolder(const ToyFolder&) = delete;
  ToyFolder& operator=(const ToyFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string work_dir() const { return path_ + "/work"; }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name) << text;
  }

  absl::StatusOr<std::unique_ptr<Env>> Make(EnvOptions options) const {
    absl::StatusOr<GameDescription> description = ReadDescription(path_);
    if (!description.ok()) return description.status();
    if (options.work_dir.empty()) options.work_dir = work_dir();
    return MakeGameEnv(options, *std::move(description), /*preload=*/"");
  }

 private:
  static void Replace(std::string* text, const std::string& what, const std::string& with) {
    text->replace(text->find(what), what.size(), with);
  }

  std::string path_;
};

}  // namespace midlane

#endif  // MIDLANE_TESTS_BRIDGE_TOY_ENV_H_
