// A game's description: any text becomes a valid one, whose lines the shim can read, or one
// sentence.
#include <cstdlib>
#include <string>
#include <vector>

#include "bridge/description.h"
#include "tests/fuzz/fuzz.h"

namespace midlane {

std::vector<std::string> FuzzSeeds() {
  return {R"([game]
name = "toy"
executable = "toy"
command = ["/usr/games/toy", "${WORK}"]
adapter = "game.toml"
[environment]
HOME = "${WORK}"
[[file]]
path = "a/b"
template = "game.toml"
[clock]
mode = "virtual"
step_us = 5
[render]
skip = ["SDL_RenderPresent"]
frame_call = "SDL_RenderPresent"
[input]
library = "SDL2"
start = ["Down", "Return"]
[settings]
left = { default = "agent", description = "who", choices = ["agent", "bot"] }
strength = { default = "0", description = "how slow", minimum = 0, maximum = 25 }
[opponents]
bots = ["bot"]
)",
          "[game", ""};
}

}  // namespace midlane

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<midlane::GameDescription> description =
      midlane::ParseDescription(text, "game.toml", "/nonexistent");
  if (!description.ok()) return 0;
  const std::string lines = midlane::ShimText(*description, {});
  if (lines.find('\0') != std::string::npos) std::abort();
  return 0;
}
