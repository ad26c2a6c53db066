// The conformance suite on Blobby Volley under the real shim.
#include <filesystem>

#include "tests/bridge/env_conformance.h"

namespace midlane {
namespace {

EnvCase BlobbyCase(const std::string& name, const Settings& settings, const Settings& all,
                   uint64_t frame_skip) {
  EnvCase c;
  c.name = name;
  c.options.name = "blobby";
  c.settings = settings;
  c.other_settings = {{"left", "agent"}, {"right", "com_11"}, {"episode", "match"}};
  c.all_agents = all;
  c.delay = 0;  // an action acts in the step from the frame observed
  c.frame_skip = frame_skip;
  return c;
}

std::vector<EnvCase> Cases() {
  if (!std::filesystem::exists("/usr/games/blobby")) return {};
  const Settings both = {{"left", "agent"}, {"right", "agent"}, {"frame_skip", "3"}};
  return {BlobbyCase("AgainstABot", {}, both, 4), BlobbyCase("SelfPlay", both, both, 3)};
}

// Without the game there are no cases: apt install blobby.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EnvConformance);
INSTANTIATE_TEST_SUITE_P(Blobby, EnvConformance, testing::ValuesIn(Cases()), EnvCaseName);

}  // namespace
}  // namespace midlane
