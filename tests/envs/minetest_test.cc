// envs/minetest on the real game: the agent's body, wood, resets and determinism, through Env.
// Skipped where the game is not installed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "tests/envs/play.h"
#include "tests/may_skip.h"

namespace midlane {
namespace {

using testing::HasSubstr;

enum Act { kNone, kForward, kBack, kTurnLeft, kTurnRight, kHigher, kLower, kDig, kPlace };
enum Look { kBelow, kBeforeFeet, kBeforeHead, kAbove };
constexpr int kActs = 9, kLooks = 4;

EnvOptions Minetest(uint64_t seed = 1) {
  EnvOptions options;
  options.name = "minetest";
  options.seed = seed;
  return options;
}

// One server plays most tests: what a match leaves behind, the next one would show.
class MinetestTest : public testing::Test {
 protected:
  static void TearDownTestSuite() { world_.reset(); }
  void SetUp() override {
    if (!std::filesystem::exists("/usr/games/minetestserver") && MaySkip()) {
      GTEST_SKIP() << "the game is missing: apt-get install minetest-server";
    }
    if (world_ == nullptr) world_ = std::make_unique<World>(Minetest());
    ASSERT_TRUE(world_->ok());
  }
  World& world() { return *world_; }

 private:
  static std::unique_ptr<World> world_;
};

std::unique_ptr<World> MinetestTest::world_;

// What the agent sees, by name.
class Eyes {
 public:
  explicit Eyes(World* world) : world_(world) {}

  bool may(int act) const { return Byte("act_mask", act); }
  bool points_at_wood() const { return Byte("pointed", 1); }
  bool points_at_something_soft() const { return Byte("pointed", 2); }
  int look() const {
    int look = 0;
    while (look + 1 < kLooks && !Byte("look", look)) ++look;
    return look;
  }
  bool knows_wood() const { return world_->Value(0, "wood_near", 0) > 0; }
  int wood_ahead() const { return Nodes(1); }
  int wood_right() const { return Nodes(2); }
  int wood_up() const { return Nodes(3); }
  float height() const { return world_->Value(0, "self", 0) * 16; }
  float digging() const { return world_->Value(0, "self", 1); }
  float placeable() const { return world_->Value(0, "bag", 1) * 16; }

 private:
  bool Byte(const std::string& tensor, int element) const {
    const TensorSpec& t = world_->spec().tensors[size_t(world_->spec().FindTensor(tensor))];
    return world_->agent(0).observation[t.offset + size_t(element)] != 0;
  }
  int Nodes(int element) const {
    return int(std::lround(world_->Value(0, "wood_near", element) * 8));
  }

  World* world_;
};

// Any action that the mask allows.
class AnyAct {
 public:
  AnyAct(World* world, uint64_t seed) : eyes_(world), choose_(kActs, seed) {}
  void operator()(int agent, const AgentView& view) {
    do {
      choose_(agent, view);
    } while (!eyes_.may(view.actions[0]));
  }

 private:
  Eyes eyes_;
  RandomChooser choose_;
};

// Goes to the nearest wood and digs it; now and then it does anything else, so that it is not
// stuck.
class Woodcutter {
 public:
  Woodcutter(World* world, uint64_t seed) : eyes_(world), any_(world, seed), random_(seed) {}
  void operator()(int agent, const AgentView& view) {
    const int act = Wanted();
    if (eyes_.may(act) && (act == kDig || random_() % 10 != 0)) {
      view.actions[0] = act;
    } else {
      any_(agent, view);
    }
  }

 private:
  int Wanted() const {
    if (eyes_.points_at_wood()) return kDig;
    if (!eyes_.knows_wood()) return kForward;
    const int ahead = eyes_.wood_ahead(), right = eyes_.wood_right(), up = eyes_.wood_up();
    if (ahead == 0 && right == 0) return LookTo(up < 0 ? kBelow : kAbove);
    if (ahead == 1 && right == 0 && up >= 0 && up < 2)
      return LookTo(up ? kBeforeHead : kBeforeFeet);
    if (ahead <= 0 || std::abs(right) > ahead) return right < 0 ? kTurnLeft : kTurnRight;
    if (eyes_.may(kForward)) return kForward;
    return eyes_.points_at_something_soft() ? kDig : LookTo(kBeforeFeet);
  }
  int LookTo(Look look) const {
    return eyes_.look() == look ? kDig : eyes_.look() < look ? kHigher : kLower;
  }

  Eyes eyes_;
  AnyAct any_;
  std::mt19937_64 random_;
};

struct Match {
  float wood = 0, chopped = 0, dug = 0;  // as rewards were told
  uint32_t timesteps = 0;
  uint64_t hash = 0;
};

// From a Reset to the match's end, or for `timesteps_max`.
Match Play(World* world, const Settings& settings, const Chooser& choose,
           uint32_t timesteps_max = 100000) {
  Match match;
  RunHash hash;
  if (!world->Reset(settings)) return match;
  EXPECT_TRUE(world->agent(0).first());
  hash.Add(world);
  while (!world->Last() && match.timesteps < timesteps_max) {
    const uint64_t observed = world->agent(0).observed_frame;
    if (!world->Step(choose)) return match;
    EXPECT_EQ(world->agent(0).effect_frame, observed);
    hash.Add(world);
    ++match.timesteps;
    match.wood += world->Reward(0, "wood");
    match.chopped += world->Reward(0, "chopped");
    match.dug += world->Reward(0, "dug");
  }
  match.hash = hash.Digest();
  return match;
}

// Does the same thing `times` times, as long as it may.
void Do(World* world, Act act, int times = 1) {
  const Eyes eyes(world);
  for (int i = 0; i < times && !world->Last(); ++i) {
    ASSERT_TRUE(world->Step(
        [&](int, const AgentView& view) { view.actions[0] = eyes.may(act) ? act : kNone; }));
  }
}

void LookTo(World* world, Look look) {
  const Eyes eyes(world);
  for (int i = 0; i < kLooks && eyes.look() != look; ++i) {
    Do(world, eyes.look() < look ? kHigher : kLower);
  }
}

std::string Seen(World* world) {
  const TensorSpec& nodes = world->spec().tensors[size_t(world->spec().FindTensor("nodes"))];
  const unsigned char* const at = world->agent(0).observation + nodes.offset;
  return std::string(at, at + nodes.elements());
}

TEST_F(MinetestTest, AWoodcutterWinsFromAnyStart) {
  World& world = this->world();
  EXPECT_THAT(world.spec().agents, testing::ElementsAre("agent"));
  EXPECT_EQ(world.spec().input_width(), 522u);
  EXPECT_EQ(world.spec().frame_skip, 5u);
  for (const char* start : {"tree", "anywhere"}) {
    SCOPED_TRACE(start);
    for (uint64_t i = 0; i < 8; ++i) {
      const Match match = Play(&world, {{"start", start}}, Woodcutter(&world, i));
      EXPECT_TRUE(world.agent(0).terminated() && world.agent(0).match_over());
      EXPECT_EQ(world.Metric(0, "won"), 1);
      EXPECT_EQ(world.Metric(0, "lost"), 0);
      EXPECT_EQ(world.Metric(0, "wood"), 3);
      EXPECT_EQ(match.wood, 3);
      EXPECT_GE(match.chopped, 2.99f);
      EXPECT_GE(match.dug, 3);
      EXPECT_GE(match.timesteps, 3u * 7)
          << "a hand digs a piece of wood for three and a half seconds";
    }
  }
}

TEST_F(MinetestTest, ManyPiecesOfWoodAreManyTrees) {
  World& world = this->world();
  const Match match =
      Play(&world, {{"goal_wood", "12"}, {"timesteps", "2000"}}, Woodcutter(&world, 1));
  EXPECT_EQ(match.wood, 12);
  EXPECT_EQ(world.Metric(0, "won"), 1);
}

TEST_F(MinetestTest, TimeRunsOut) {
  World& world = this->world();
  const Match match = Play(&world, {{"timesteps", "20"}}, AnyAct(&world, 1));
  EXPECT_EQ(match.timesteps, 20u);
  EXPECT_TRUE(world.agent(0).truncated() && world.agent(0).match_over());
  EXPECT_EQ(world.Metric(0, "lost"), 1);
  EXPECT_EQ(world.Metric(0, "won"), 0);
  EXPECT_EQ(world.Value(0, "self", 2), 0) << "no time is left";
  ASSERT_TRUE(world.Reset({{"timesteps", "20"}}));
  EXPECT_EQ(world.Value(0, "self", 2), 1);
}

TEST_F(MinetestTest, FourTurnsShowTheSameAgain) {
  World& world = this->world();
  ASSERT_TRUE(world.Reset({}));
  const std::string before = Seen(&world);
  Do(&world, kTurnLeft);
  const std::string left = Seen(&world);
  Do(&world, kTurnRight);
  EXPECT_EQ(Seen(&world), before);
  Do(&world, kTurnRight, 3);
  EXPECT_EQ(Seen(&world), left);
  Do(&world, kTurnRight);
  EXPECT_EQ(Seen(&world), before);
  EXPECT_EQ(world.Value(0, "self", 0), 0) << "it stayed where it was";
}

// Into the ground and out again: earth is dug, falls are depth, a placed node is climbed on.
TEST_F(MinetestTest, ItDigsAHoleAndBuildsItselfOut) {
  World& world = this->world();
  const Eyes eyes(&world);
  const Settings settings = {{"seed", "3"}, {"frame_skip", "2"}};
  ASSERT_TRUE(world.Reset(settings));
  const std::string before = Seen(&world);
  LookTo(&world, kBelow);
  EXPECT_FALSE(eyes.may(kPlace)) << "it has nothing yet";
  EXPECT_FALSE(eyes.may(kLower));
  ASSERT_TRUE(eyes.may(kDig));
  Do(&world, kDig);
  const float progress = eyes.digging();
  EXPECT_GT(progress, 0);
  Do(&world, kDig);
  EXPECT_FLOAT_EQ(eyes.digging(), 2 * progress);
  Do(&world, kNone);
  EXPECT_EQ(eyes.digging(), 0) << "letting go loses it";
  float depth = 0, dug = 0;
  for (int i = 0; i < 20 && depth == 0; ++i) {
    Do(&world, kDig);
    dug += world.Reward(0, "dug");
    depth += world.Reward(0, "depth");
  }
  EXPECT_EQ(dug, 1);
  EXPECT_EQ(depth, 1);
  EXPECT_EQ(world.Metric(0, "depth"), 1);
  EXPECT_FLOAT_EQ(eyes.height(), -1);
  EXPECT_FLOAT_EQ(eyes.placeable(), 1);
  EXPECT_NE(Seen(&world), before);
  ASSERT_TRUE(eyes.may(kPlace));
  Do(&world, kPlace);
  EXPECT_EQ(world.Reward(0, "placed"), 1);
  EXPECT_EQ(world.Reward(0, "height"), 0) << "no higher than where it began";
  EXPECT_FLOAT_EQ(eyes.height(), 0);
  EXPECT_EQ(eyes.placeable(), 0);

  Do(&world, kDig, 8);
  ASSERT_LT(eyes.height(), 0);
  ASSERT_TRUE(world.Reset(settings));
  EXPECT_EQ(Seen(&world), before);
  EXPECT_EQ(eyes.placeable(), 0);
}

TEST_F(MinetestTest, AResetInMidMatchPutsTheWorldBack) {
  World& world = this->world();
  const Settings settings = {{"seed", "5"}, {"goal_wood", "5"}};
  const Match first = Play(&world, settings, Woodcutter(&world, 5), 60);
  EXPECT_GE(first.wood, 3);
  for (uint32_t timesteps : {15, 40, 100}) {  // the tree half dug, gone, other places
    Play(&world, settings, Woodcutter(&world, timesteps), timesteps);
    EXPECT_EQ(Play(&world, settings, Woodcutter(&world, 5), 60).hash, first.hash);
  }
}

TEST_F(MinetestTest, ASeedReproducesAMatch) {
  auto play = [](World* world, const char* seed) {
    return Play(world, {{"seed", seed}}, AnyAct(world, 9), 300).hash;
  };
  World another(Minetest());
  ASSERT_TRUE(another.ok());
  const uint64_t first = play(&world(), "21");
  EXPECT_NE(play(&world(), "22"), first);
  EXPECT_EQ(play(&world(), "21"), first) << "after other matches";
  EXPECT_EQ(play(&another, "21"), first) << "in another process";
}

TEST_F(MinetestTest, WithoutASeedMatchesDifferAndTheWorldsSeedReproducesThem) {
  auto play = [](uint64_t seed) {
    World world(Minetest(seed));
    std::vector<uint64_t> hashes;
    for (int i = 0; i < 3 && world.ok(); ++i) {
      hashes.push_back(Play(&world, {{"timesteps", "50"}}, AnyAct(&world, 9)).hash);
    }
    return hashes;
  };
  const std::vector<uint64_t> one = play(1);
  EXPECT_EQ(play(1), one);
  EXPECT_NE(one[0], one[1]);
  EXPECT_NE(one[1], one[2]);
  EXPECT_NE(play(2), one);
}

TEST_F(MinetestTest, AResetBeforeAnythingHappenedShowsTheSameAgain) {
  World& world = this->world();
  ASSERT_TRUE(world.Reset({{"goal_wood", "4"}}));
  const std::string before = Seen(&world);
  ASSERT_TRUE(world.Reset({{"goal_wood", "5"}}));
  EXPECT_TRUE(world.agent(0).first());
  EXPECT_EQ(Seen(&world), before);
}

// Its middle has no trees: the land is searched for some.
TEST_F(MinetestTest, AnotherLandIsAnotherProcess) {
  World world(Minetest());
  ASSERT_TRUE(world.ok());
  ASSERT_TRUE(world.Reset({{"seed", "5"}}));
  const std::string before = Seen(&world);
  const Match match = Play(&world, {{"seed", "5"}, {"map_seed", "1"}}, Woodcutter(&world, 1));
  EXPECT_EQ(match.wood, 3);
  EXPECT_EQ(world.env().stats().restarts, 1u);
  ASSERT_TRUE(world.Reset({{"seed", "5"}}));
  EXPECT_EQ(Seen(&world), before);
  EXPECT_EQ(world.env().stats().restarts, 2u);
}

TEST_F(MinetestTest, SettingsAreRefusedByName) {
  World& world = this->world();
  for (const auto& [name, value] : Settings{{"start", "moon"},
                                            {"frame_skip", "1"},
                                            {"goal_wood", "0"},
                                            {"timesteps", "many"},
                                            {"map_seed", "-1"},
                                            {"left", "agent"}}) {
    const absl::Status status = world.env().Reset({{name, value}});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  }
  EXPECT_TRUE(world.Reset({}));
  EXPECT_EQ(world.env().stats().restarts, 0u);
}

}  // namespace
}  // namespace midlane
