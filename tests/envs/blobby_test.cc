// envs/blobby on the real game: resets, sides, bots, bookkeeping and determinism, through Env.
// Skipped where the game is not installed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bridge/description.h"
#include "bridge/game_env.h"
#include "bridge/make_env.h"
#include "tests/envs/play.h"
#include "tests/may_skip.h"

namespace midlane {
namespace {

constexpr int kLeft = 0, kRight = 1;

class BlobbyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/usr/games/blobby") && MaySkip()) {
      GTEST_SKIP() << "the game is missing: apt-get install blobby";
    }
  }
};

EnvOptions Blobby(uint64_t seed = 1) {
  EnvOptions options;
  options.name = "blobby";
  options.seed = seed;
  return options;
}

// Points and ends of one match as an agent was told them.
struct Match {
  float points_won = 0, points_lost = 0, touches = 0, crossings = 0;
  float points_for = 0, points_against = 0, won = 0, lost = 0, rallies = 0, frames = 0;
  uint32_t episodes = 0, timesteps = 0;
  bool over = false;
  uint64_t hash = 0;
};

// Plays from a fresh Reset to the match's end (or `timesteps_max`), as seen by `agent`.
Match PlayMatch(World* world, const Settings& settings, const Chooser& choose, int agent = kLeft,
                uint32_t timesteps_max = 200000) {
  Match match;
  RunHash hash;
  while (world->ok() && !match.over && match.timesteps < timesteps_max) {
    if (!world->Reset(settings)) return match;
    EXPECT_TRUE(world->agent(agent).first());
    ++match.episodes;
    hash.Add(world);
    uint64_t observed = world->agent(agent).observed_frame;
    while (!world->Last() && match.timesteps < timesteps_max) {
      if (!world->Step(choose)) return match;
      hash.Add(world);
      ++match.timesteps;
      EXPECT_EQ(world->agent(agent).effect_frame, observed);
      EXPECT_GT(world->agent(agent).observed_frame, observed);
      observed = world->agent(agent).observed_frame;
      match.points_won += world->Reward(agent, "point_won");
      match.points_lost += world->Reward(agent, "point_lost");
      match.touches += world->Reward(agent, "touch");
      match.crossings += world->Reward(agent, "crossing");
    }
    match.over = world->MatchOver();
  }
  match.points_for = world->Metric(agent, "points_for");
  match.points_against = world->Metric(agent, "points_against");
  match.won = world->Metric(agent, "won");
  match.lost = world->Metric(agent, "lost");
  match.rallies = world->Metric(agent, "rallies");
  match.frames = world->Metric(agent, "frames");
  match.hash = hash.Digest();
  return match;
}

void ExpectWholeMatch(const Match& match, int points_to_win = 15) {
  EXPECT_TRUE(match.over);
  EXPECT_EQ(match.points_won, match.points_for);
  EXPECT_EQ(match.points_lost, match.points_against);
  EXPECT_EQ(match.rallies, match.points_for + match.points_against);
  EXPECT_GE(std::max(match.points_for, match.points_against), points_to_win);
  EXPECT_GE(std::abs(match.points_for - match.points_against), 2);
  if (match.rallies > points_to_win + points_to_win - 2) {
    EXPECT_EQ(std::abs(match.points_for - match.points_against), 2) << "ended late";
  } else {
    EXPECT_EQ(std::max(match.points_for, match.points_against), points_to_win);
  }
  EXPECT_EQ(match.won, match.points_for > match.points_against ? 1 : 0);
  EXPECT_EQ(match.lost, 1 - match.won);
}

TEST_F(BlobbyTest, WithoutSettingsOneAgentPlaysLeftAgainstABot) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  EXPECT_THAT(world.spec().agents, testing::ElementsAre("left", "right"));
  EXPECT_EQ(world.spec().input_width(), 22u);
  EXPECT_EQ(world.spec().frame_skip, 4u);
  const Match match = PlayMatch(&world, {}, RandomChooser(6, 1));
  ExpectWholeMatch(match);
  EXPECT_EQ(match.episodes, match.rallies);
  EXPECT_GT(match.touches, 0);
  EXPECT_GT(match.frames, match.timesteps * 3);
  EXPECT_FALSE(world.agent(kRight).active());
}

TEST_F(BlobbyTest, AnAgentPlaysTheRightSide) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  const Match match =
      PlayMatch(&world, {{"left", "reduced"}, {"right", "agent"}}, RandomChooser(6, 1), kRight);
  ExpectWholeMatch(match);
  EXPECT_FALSE(world.agent(kLeft).active());
}

TEST_F(BlobbyTest, AMatchCanBeOneEpisode) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  for (int i = 0; i < 3; ++i) {
    const Match match = PlayMatch(&world, {{"episode", "match"}}, RandomChooser(6, uint64_t(i)));
    ExpectWholeMatch(match);
    EXPECT_EQ(match.episodes, 1u);
  }
}

TEST_F(BlobbyTest, BothSidesSeeTheSameFrameMirrored) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  RandomChooser choose(6, 3);
  ASSERT_TRUE(world.Reset({{"right", "agent"}, {"episode", "match"}}));
  for (int i = 0; i < 3000 && !world.Last(); ++i) {
    const AgentView left = world.agent(kLeft), right = world.agent(kRight);
    ASSERT_TRUE(left.active() && right.active());
    ASSERT_EQ(left.observed_frame, right.observed_frame);
    EXPECT_NEAR(world.Value(kLeft, "ball", 0), -world.Value(kRight, "ball", 0), 1e-6);
    EXPECT_EQ(world.Value(kLeft, "ball", 1), world.Value(kRight, "ball", 1));
    EXPECT_EQ(world.Value(kLeft, "ball", 2), -world.Value(kRight, "ball", 2));
    EXPECT_NEAR(world.Value(kLeft, "ball", 4), -world.Value(kRight, "ball", 4), 1e-6);
    for (int element = 0; element < 5; ++element) {
      EXPECT_EQ(world.Value(kLeft, "own", element), world.Value(kRight, "opponent", element));
      EXPECT_EQ(world.Value(kRight, "own", element), world.Value(kLeft, "opponent", element));
    }
    EXPECT_LE(world.Value(kLeft, "own", 0), 0) << "the own side is left";
    EXPECT_LE(world.Value(kRight, "own", 0), 0) << "the own side is left";
    EXPECT_EQ(world.Value(kLeft, "rally", 0), world.Value(kRight, "rally", 1));
    EXPECT_EQ(world.Value(kLeft, "rally", 2), world.Value(kRight, "rally", 3));
    EXPECT_EQ(world.Reward(kLeft, "point_won"), world.Reward(kRight, "point_lost"));
    ASSERT_TRUE(world.Step(choose));
  }
}

// Each side's own "right" leads to its own right: towards the net.
TEST_F(BlobbyTest, ActionsMoveTheOwnBlob) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  ASSERT_TRUE(world.Reset({{"right", "agent"}, {"frame_skip", "1"}}));
  for (const int mover : {kLeft, kRight}) {
    for (const int direction : {1, 2}) {
      const float mine = world.Value(mover, "own", 0), others = world.Value(1 - mover, "own", 0);
      for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(world.Step([&](int agent, const AgentView& view) {
          view.actions[0] = agent == mover ? 2 * direction : 0;
        }));
      }
      const float moved = (world.Value(mover, "own", 0) - mine) * 400;
      EXPECT_NEAR(moved, direction == 2 ? 5 * 4.5 : -5 * 4.5, 0.01);
      EXPECT_EQ(world.Value(1 - mover, "own", 0), others);
      EXPECT_NEAR(world.Value(mover, "own", 2), direction == 2 ? 1 : -1, 1e-5);
    }
    ASSERT_TRUE(world.Step(
        [&](int agent, const AgentView& view) { view.actions[0] = agent == mover ? 1 : 0; }));
    EXPECT_GT(world.Value(mover, "own", 1), 0) << "jumped in the frame it was decided on";
  }
}

// Over whole flights of the real ball, from one blow (a blob's, or the net's round top's: vy
// changes by more than gravity) to the next: what was predicted comes true.
TEST_F(BlobbyTest, ThePredictedLandingComesTrue) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  std::mt19937 random(8);
  auto choose = [&](int agent, const AgentView& view) {  // under the ball, jumping at times
    const float aim = world.Value(agent, "aim", 1);
    const int direction = aim < -0.1f ? 1 : aim > 0.2f ? 2 : 0;
    view.actions[0] = 2 * direction + (random() % 8 == 0 ? 1 : 0);
  };
  constexpr float kHead = (468.5f - 379.5f) / 400;
  struct Prediction {
    float x, frames;
  };
  std::vector<Prediction> flight;  // since the last blow
  std::vector<float> x_errors, frame_errors;
  for (int rally = 0; rally < 100; ++rally) {
    ASSERT_TRUE(world.Reset({{"frame_skip", "1"}}));
    flight.clear();
    float speed = 0, height = 0;
    while (!world.Last()) {
      const float vy = world.Value(kLeft, "ball", 3) * 15;
      const bool running =
          world.Value(kLeft, "rally", 0) == 0 && world.Value(kLeft, "rally", 1) == 0;
      const float y = world.Value(kLeft, "ball", 1), x = world.Value(kLeft, "ball", 0);
      if (!running || std::abs(vy - (speed - 0.287f)) > 0.01f) flight.clear();
      if (running && y <= kHead && height > kHead && !flight.empty()) {
        for (size_t i = 0; i < flight.size(); ++i) {
          x_errors.push_back(std::abs(flight[i].x - x) * 400);
          frame_errors.push_back(std::abs(flight[i].frames - float(flight.size() - i)));
        }
        flight.clear();
      }
      if (running && y > kHead) {
        flight.push_back({world.Value(kLeft, "ball", 4), world.Value(kLeft, "ball", 5) * 100});
      }
      speed = vy;
      height = y;
      ASSERT_TRUE(world.Step(choose));
    }
  }
  ASSERT_GT(x_errors.size(), 1000u);
  std::sort(x_errors.begin(), x_errors.end());
  std::sort(frame_errors.begin(), frame_errors.end());
  const auto quantile = [](const std::vector<float>& sorted, double q) {
    return sorted[size_t(q * double(sorted.size() - 1))];
  };
  EXPECT_LT(quantile(x_errors, 0.5), 7);
  EXPECT_LT(quantile(x_errors, 0.85), 14);
  EXPECT_LT(quantile(frame_errors, 0.85), 1.5);
}

TEST_F(BlobbyTest, TwoBotsAreWatched) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  const Settings settings = {
      {"left", "com_11"}, {"right", "hyp014"}, {"episode", "match"}, {"points_to_win", "3"}};
  ASSERT_TRUE(world.Reset(settings));
  EXPECT_TRUE(world.agent(kLeft).active());
  EXPECT_TRUE(world.agent(kLeft).flags & MIDLANE_SLOT_PASSIVE);
  EXPECT_FALSE(world.agent(kRight).active());
  ExpectWholeMatch(
      PlayMatch(&world, settings, [](int, const AgentView&) { FAIL() << "no action is wanted"; }),
      3);
}

TEST_F(BlobbyTest, BotsChangeBetweenMatchesWithoutARelaunch) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  for (const char* bot :
       {"reduced", "hyp014", "gintonicV9", "com_11", "axji-0-2", "Union", "reduced"}) {
    for (const bool left : {true, false}) {
      SCOPED_TRACE(bot);
      const Match match = PlayMatch(
          &world,
          {{"left", left ? "agent" : bot}, {"right", left ? bot : "agent"}, {"points_to_win", "2"}},
          RandomChooser(6, 5), left ? kLeft : kRight);
      ExpectWholeMatch(match, 2);
    }
  }
  EXPECT_EQ(world.env().stats().restarts, 0u);
}

TEST_F(BlobbyTest, AWeakerBotPlaysOtherwise) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  auto play = [&](const char* strength) {
    return PlayMatch(&world, {{"seed", "11"}, {"right_strength", strength}, {"points_to_win", "5"}},
                     RandomChooser(6, 5))
        .hash;
  };
  const uint64_t strong = play("0"), weak = play("25");
  EXPECT_NE(strong, weak);
  EXPECT_EQ(play("0"), strong);
}

TEST_F(BlobbyTest, AResetInMidMatchBeginsAFreshMatch) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  RandomChooser choose(6, 2);
  for (const char* episode : {"rally", "match"}) {
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(world.Reset({{"episode", episode}}));
      EXPECT_TRUE(world.agent(kLeft).first());
      EXPECT_EQ(world.Value(kLeft, "rally", 0), 1) << "left serves first";
      EXPECT_EQ(world.Value(kLeft, "rally", 2), 0);
      EXPECT_EQ(world.Value(kLeft, "rally", 3), 0);
      for (int step = 0; step < 40 + 100 * i && !world.Last(); ++step) {
        ASSERT_TRUE(world.Step(choose));
      }
      if (world.Last()) {
        ASSERT_TRUE(world.Reset({{"episode", episode}}));
      }
      ASSERT_TRUE(world.Step(choose));
    }
  }
  EXPECT_EQ(world.env().stats().restarts, 0u);
}

TEST_F(BlobbyTest, ChangedSettingsCutAMatchShort) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  RandomChooser choose(6, 2);
  ASSERT_TRUE(world.Reset({}));
  while (!world.Last()) ASSERT_TRUE(world.Step(choose));
  ASSERT_FALSE(world.MatchOver());
  ASSERT_TRUE(world.Reset({{"right", "agent"}}));
  EXPECT_TRUE(world.agent(kRight).first());
  EXPECT_EQ(world.Value(kLeft, "rally", 2) + world.Value(kLeft, "rally", 3), 0);
}

// In new processes and in one that has played other matches before.
TEST_F(BlobbyTest, ASeedReproducesAMatch) {
  for (const Settings& sides : {Settings{{"right", "reduced"}}, Settings{{"right", "gintonicV9"}},
                                Settings{{"left", "Union"}, {"right", "agent"}}}) {
    const int agent = sides.count("left") ? kRight : kLeft;
    auto play = [&](World* world, const char* seed) {
      Settings settings = sides;
      settings["seed"] = seed;
      settings["points_to_win"] = "5";
      return PlayMatch(world, settings, RandomChooser(6, 9), agent).hash;
    };
    World one(Blobby(1)), two(Blobby(2));
    ASSERT_TRUE(one.ok() && two.ok());
    const uint64_t first = play(&one, "21");
    EXPECT_NE(play(&one, "22"), first);
    EXPECT_EQ(play(&one, "21"), first) << "after other matches";
    EXPECT_EQ(play(&two, "21"), first) << "in another process";
  }
}

// Blobby counts milliseconds in 32 bits and lets a bot serve 1.5 s after the match's begin: where
// the count overflows in between, never.
TEST_F(BlobbyTest, AMatchIsTheSameHoweverLateTheClock) {
  absl::StatusOr<GameDescription> hurried = ReadDescription(EnvsDir() + "/blobby");
  ASSERT_TRUE(hurried.ok()) << hurried.status();
  hurried->clock_step_us = 10000000;
  World old(MakeGameEnv(Blobby(1), *hurried, PreloadPath())), young(Blobby(2));
  float frames = 0;
  for (int seed = 1; old.env().stats().restarts < 2 && !HasFailure(); ++seed) {
    const Settings settings = {
        {"left", "com_11"}, {"right", "agent"}, {"seed", absl::StrCat(seed)}};
    const Match match = PlayMatch(&old, settings, RandomChooser(6, 9), kRight);
    ExpectWholeMatch(match);
    EXPECT_EQ(match.hash, PlayMatch(&young, settings, RandomChooser(6, 9), kRight).hash) << seed;
    frames += match.frames;
  }
  EXPECT_LT(frames, 300000) << "the clock does not hurry";
}

TEST_F(BlobbyTest, WithoutASeedMatchesDifferAndTheWorldsSeedReproducesThem) {
  auto play = [](uint64_t seed) {
    World world(Blobby(seed));
    std::vector<uint64_t> hashes;
    for (int i = 0; i < 3 && world.ok(); ++i) {
      hashes.push_back(PlayMatch(&world, {{"points_to_win", "3"}}, RandomChooser(6, 9)).hash);
    }
    return hashes;
  };
  const std::vector<uint64_t> one = play(1);
  EXPECT_EQ(play(1), one);
  EXPECT_NE(one[0], one[1]);
  EXPECT_NE(play(2), one);
}

// A private X server without a screen; display() is empty where there is none.
class XServer {
 public:
  XServer() {
    int fds[2];
    if (!std::filesystem::exists("/usr/bin/Xvfb") || pipe(fds) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      close(fds[0]);
      const std::string fd = std::to_string(fds[1]);
      execl("/usr/bin/Xvfb", "Xvfb", "-displayfd", fd.c_str(), "-screen", "0", "800x600x24",
            nullptr);
      _exit(127);
    }
    close(fds[1]);
    char digit;
    while (pid_ > 0 && read(fds[0], &digit, 1) == 1 && digit != '\n') number_ += digit;
    close(fds[0]);
  }
  ~XServer() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  std::string display() const { return number_.empty() ? "" : ":" + number_; }

 private:
  pid_t pid_ = -1;
  std::string number_;
};

// Drawn or not, the match is the same; menus are passed in a window too.
TEST_F(BlobbyTest, AWatchedMatchIsTheSameMatch) {
  const XServer server;
  if (server.display().empty() && MaySkip()) {
    GTEST_SKIP() << "Xvfb is missing: apt-get install xvfb";
  }
  ASSERT_NE(server.display(), "");
  auto play = [](uint32_t render_every) {
    EnvOptions options = Blobby();
    options.render_every = render_every;
    World world(options);
    std::vector<uint64_t> hashes;
    for (const char* bot : {"reduced", "com_11", "Union"}) {
      for (const int agent : {kLeft, kRight}) {
        if (!world.ok()) break;
        const Settings settings = {{"left", agent == kLeft ? "agent" : bot},
                                   {"right", agent == kRight ? "agent" : bot},
                                   {"seed", "5"},
                                   {"points_to_win", "1"}};
        hashes.push_back(PlayMatch(&world, settings, RandomChooser(6, 4), agent).hash);
      }
    }
    return hashes;
  };
  const std::vector<uint64_t> unseen = play(0);
  setenv("DISPLAY", server.display().c_str(), 1);
  EXPECT_EQ(play(10), unseen);
}

// A lost key of a menu would end the series.
TEST_F(BlobbyTest, HundredsOfMatchesInOneProcess) {
  World world(Blobby());
  ASSERT_TRUE(world.ok());
  for (int i = 0; i < 600; ++i) {
    ExpectWholeMatch(PlayMatch(&world, {{"points_to_win", "1"}}, RandomChooser(6, uint64_t(i))), 1);
    if (HasFailure()) break;
  }
  EXPECT_EQ(world.env().stats().restarts, 0u);
}

}  // namespace
}  // namespace midlane
