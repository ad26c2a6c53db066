// Configuration files from anywhere: any text is refused in words, or is printed and parses back to
// the same configuration.
#include <cstdlib>

#include "deploy/config.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  midlane::Config config;
  if (midlane::ParseConfig(text, "fuzz", &config).ok()) {
    const std::string printed = midlane::FormatConfig(config);
    midlane::Config again;
    if (!midlane::ParseConfig(printed, "printed", &again).ok() ||
        midlane::FormatConfig(again) != printed) {
      std::abort();
    }
  }
  (void)midlane::SetConfigValue(text, &config);
  return 0;
}

namespace midlane {

std::vector<std::string> FuzzSeeds() {
  return {FormatConfig(Config()), "[ppo]\nlearning_rate = { from = 1, to = 0, steps = 10 }\n",
          "[rewards]\n\"a key\" = -1.5\n[environment]\nleft = \"agent\"\n", "ppo.epochs=2"};
}

}  // namespace midlane
