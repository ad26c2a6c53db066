// Every game's description reads, and says what the adapter relies on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "bridge/description.h"

namespace midlane {
namespace {

using testing::HasSubstr;

std::string EnvsDir() {
  const char* dir = std::getenv("MIDLANE_SOURCE_DIR");
  return std::string(dir ? dir : ".") + "/envs";
}

TEST(Descriptions, EveryGameOfEnvsReads) {
  int games = 0;
  for (const auto& entry : std::filesystem::directory_iterator(EnvsDir())) {
    if (!std::filesystem::exists(entry.path() / "game.toml")) continue;
    const absl::StatusOr<GameDescription> game = ReadDescription(entry.path().string());
    ASSERT_TRUE(game.ok()) << game.status();
    EXPECT_EQ(game->name, entry.path().filename().string());
    ++games;
  }
  EXPECT_GE(games, 1);
}

TEST(Descriptions, BlobbyHasTheKeysThatItsAdapterPlays) {
  const absl::StatusOr<GameDescription> game = ReadDescription(EnvsDir() + "/blobby");
  ASSERT_TRUE(game.ok()) << game.status();
  for (const char* name : {"start", "again", "reread"}) {
    EXPECT_THAT(ShimText(*game, {}), HasSubstr(std::string("keys.") + name + "=Down,"));
  }
  for (const SettingSpec& setting : game->settings) {
    if (setting.name != "left" && setting.name != "right") continue;
    for (const std::string& bot : game->bots) {
      EXPECT_THAT(setting.choices, testing::Contains(bot)) << setting.name;
    }
    EXPECT_THAT(setting.choices, testing::Contains("agent"));
  }
}

}  // namespace
}  // namespace midlane
