// The example of envs/README.md: it is shown there as it is in tests/envs/catch/, and it plays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_replace.h"
#include "tests/envs/play.h"

namespace midlane {
namespace {

namespace fs = std::filesystem;

fs::path SourceDir() {
  const char* dir = std::getenv("MIDLANE_SOURCE_DIR");
  return dir ? dir : ".";
}

std::string Read(const fs::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A folder of envs/ with the example, whose command is the game built here.
class CatchTest : public testing::Test {
 protected:
  void SetUp() override {
    const fs::path example = SourceDir() / "tests/envs/catch";
    dir_ = fs::path(testing::TempDir()) / ("midlane_catch_" + std::to_string(getpid()));
    fs::create_directories(dir_ / "catch");
    fs::copy_file(example / "adapter.lua", dir_ / "catch/adapter.lua");
    const fs::path game = fs::read_symlink("/proc/self/exe").parent_path() / "catch";
    std::ofstream(dir_ / "catch/game.toml")
        << absl::StrReplaceAll(Read(example / "game.toml"), {{"/usr/games/catch", game.string()}});
    setenv("MIDLANE_ENVS_DIR", dir_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("MIDLANE_ENVS_DIR");
    fs::remove_all(dir_);
  }

  fs::path dir_;
};

EnvOptions Catch() {
  EnvOptions options;
  options.name = "catch";
  return options;
}

// Under the ball.
void Follow(World* world, int agent, const AgentView& view) {
  const float ball = world->Value(agent, "ball", 0);
  const float paddle = world->Value(agent, "paddle", 0);
  view.actions[0] = ball < paddle ? 0 : ball > paddle ? 2 : 1;
}

TEST_F(CatchTest, TheReadmeShowsItAsItIs) {
  const std::string readme = Read(SourceDir() / "envs/README.md");
  for (const char* file : {"game.toml", "adapter.lua"}) {
    EXPECT_THAT(readme, testing::HasSubstr(Read(SourceDir() / "tests/envs/catch" / file))) << file;
  }
}

TEST_F(CatchTest, APolicyThatLooksCatchesEveryBall) {
  World world(Catch());
  ASSERT_TRUE(world.ok());
  for (int episode = 0; episode < 50; ++episode) {
    ASSERT_TRUE(world.Reset({}));
    EXPECT_TRUE(world.agent(0).first());
    int steps = 0;
    while (!world.Last()) {
      ASSERT_TRUE(
          world.Step([&](int agent, const AgentView& view) { Follow(&world, agent, view); }));
      ++steps;
    }
    EXPECT_EQ(steps, 9);
    EXPECT_EQ(world.Reward(0, "caught"), 1);
    EXPECT_EQ(world.Metric(0, "won"), 1);
    EXPECT_TRUE(world.MatchOver());
  }
}

TEST_F(CatchTest, StandingStillMissesMostBallsAndFrameSkipShortensEpisodes) {
  World world(Catch());
  ASSERT_TRUE(world.ok());
  float missed = 0;
  for (int episode = 0; episode < 50; ++episode) {
    ASSERT_TRUE(world.Reset({{"frame_skip", "3"}}));
    int steps = 0;
    while (!world.Last()) {
      ASSERT_TRUE(world.Step([](int, const AgentView& view) { view.actions[0] = 1; }));
      ++steps;
    }
    EXPECT_EQ(steps, 3);
    missed += world.Reward(0, "missed");
  }
  EXPECT_GT(missed, 25);
}

TEST_F(CatchTest, AResetInMidEpisodeBeginsAnother) {
  World world(Catch());
  ASSERT_TRUE(world.ok());
  ASSERT_TRUE(world.Reset({}));
  const uint32_t episode = world.agent(0).episode;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(world.Step([](int, const AgentView& view) { view.actions[0] = 1; }));
  }
  EXPECT_FALSE(world.agent(0).first());
  ASSERT_TRUE(world.Reset({}));
  EXPECT_TRUE(world.agent(0).first());
  EXPECT_GT(world.agent(0).episode, episode);
}

}  // namespace
}  // namespace midlane
