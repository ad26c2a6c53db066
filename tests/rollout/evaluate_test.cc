// Evaluation over a small game of our own, which can be long, unfair, or die when it is told to.
#include "rollout/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <set>

#include "bridge/local_world.h"
#include "bridge/make_env.h"
#include "rollout/experience.pb.h"
#include "rollout/sampler.h"
#include "tests/rollout/policy/test_weights.h"

namespace midlane {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Outcome = v1::MatchResult;

// "Duel": each timestep both sides see noise of the match's seed; who chose 2 more often over the
// match wins. A match is 3 episodes of 5 timesteps of 2 frames; bot "two" always chooses 2, bot
// "zero" 0. Metrics: won, lost, points_for, points_against (numbers of 2s).
class DuelRules final : public LocalRules {
 public:
  explicit DuelRules(const Spec& spec) : spec_(spec) {}

  void Reset(const Settings& settings, bool fresh, SlotBuffer* slots) override {
    if (fresh) {
      noise_ = Random(IntegerSetting(settings, "seed"), 99);
      length_ = IntegerSetting(settings, "length");
      truncates_ = settings.at("ending") == "truncated";
      episodes_left_ = 3;
      points_[0] = points_[1] = 0;
      bots_[0] = settings.at("left");
      bots_[1] = settings.at("right");
    }
    step_ = 0;
    frames_ += 2;
    Post(slots, MIDLANE_SLOT_FIRST);
  }

  void Step(SlotBuffer* slots) override {
    frames_ += 2;
    ++step_;
    for (int i = 0; i < 2; ++i) {
      const bool agent = bots_[i] == "agent";
      points_[i] += (agent ? slots->slot(i)->action[0] == 2 : bots_[i] == "two");
    }
    uint32_t flags = 0;
    if (step_ == length_) {
      flags = truncates_ ? MIDLANE_SLOT_TRUNCATED : MIDLANE_SLOT_TERMINATED;
      if (--episodes_left_ == 0) flags |= MIDLANE_SLOT_MATCH_OVER;
    }
    Post(slots, flags);
  }

  uint64_t frames() const override { return frames_; }

 private:
  void Post(SlotBuffer* slots, uint32_t flags) {
    const float noise[2] = {noise_.Uniform(), noise_.Uniform()};
    const bool any_agent = bots_[0] == "agent" || bots_[1] == "agent";
    for (int i = 0; i < 2; ++i) {
      midlane_slot* const slot = slots->slot(i);
      slot->flags = 0;
      // As Blobby does: a bot's side is not posted, but somebody has to be.
      const bool agent = bots_[i] == "agent";
      if (!agent && (any_agent || i != 0)) continue;
      slot->flags = flags | MIDLANE_SLOT_ACTIVE | (agent ? 0 : MIDLANE_SLOT_PASSIVE);
      slot->observed_frame = frames_;
      const float observation[3] = {noise[i], noise[1 - i], static_cast<float>(step_)};
      std::memcpy(slots->observation(i), observation, sizeof(observation));
      slot->metric[0] = points_[i] > points_[1 - i];
      slot->metric[1] = points_[i] < points_[1 - i];
      slot->metric[2] = static_cast<float>(points_[i]);
      slot->metric[3] = static_cast<float>(points_[1 - i]);
    }
  }

  Spec spec_;
  Random noise_;
  uint64_t length_ = 5, step_ = 0, episodes_left_ = 3, frames_ = 0;
  bool truncates_ = false;
  int points_[2] = {};
  std::string bots_[2];
};

// What the test reads and sets.
struct Control {
  uint64_t die_every = 0;  // Steps, over all worlds; 0: never
  absl::Status death = absl::UnavailableError("the duel died");
  bool wrong_side_acts = false;
  uint64_t steps = 0;
  uint64_t restarts = 0;
  std::set<uint64_t> env_seeds;
  std::vector<Settings> resets;
};
Control control;

// Dies where it is told to, as a game would: after the step, when the next timestep is awaited.
class MortalEnv final : public Env {
 public:
  explicit MortalEnv(std::unique_ptr<Env> env) : env_(std::move(env)) {}
  const Spec& spec() const override { return env_->spec(); }
  absl::Status Reset(const Settings& settings) override {
    if (dead_) return control.death;
    control.resets.push_back(settings);
    return env_->Reset(settings);
  }
  absl::Status Step() override {
    if (dead_) return control.death;
    if (control.die_every > 0 && ++control.steps % control.die_every == 0) dead_ = true;
    return env_->Step();
  }
  absl::StatusOr<bool> Ready() override {
    if (dead_) return control.death;
    // Every other time it is not ready yet.
    late_ = !late_;
    if (late_) return env_->Ready();
    env_doorbell->Ring();
    return false;
  }
  absl::Status Wait(absl::Duration timeout) override { return env_->Wait(timeout); }
  AgentView agent(int index) override {
    AgentView view = env_->agent(index);
    if (control.wrong_side_acts) view.flags |= MIDLANE_SLOT_ACTIVE;
    return view;
  }
  absl::Status Restart() override {
    dead_ = false;
    ++control.restarts;
    return env_->Restart();
  }
  EnvStats stats() const override { return env_->stats(); }

  std::shared_ptr<Doorbell> env_doorbell;

 private:
  std::unique_ptr<Env> env_;
  bool dead_ = false;
  bool late_ = true;
};

absl::StatusOr<std::unique_ptr<Env>> MakeDuel(const EnvOptions& options) {
  const std::vector<SettingSpec> settings = {
      {"left", SettingKind::kText, "agent", "", {"agent", "two", "zero"}},
      {"right", SettingKind::kText, "two", "", {"agent", "two", "zero"}},
      {"left_strength", SettingKind::kText, "", ""},
      {"right_strength", SettingKind::kText, "", ""},
      {"length", SettingKind::kInteger, "5", "timesteps of an episode"},
      {"ending", SettingKind::kText, "terminated", "", {"terminated", "truncated"}},
      {"frame_skip", SettingKind::kInteger, "2", ""},
      {"seed", SettingKind::kInteger, "0", ""},
  };
  Spec spec;
  spec.environment = "duel";
  spec.agents = {"left", "right"};
  TensorSpec tensor;
  tensor.name = "noise";
  tensor.shape = {3};
  tensor.minimum = -INFINITY;
  tensor.maximum = INFINITY;
  spec.tensors = {tensor};
  spec.heads = {{"choice", 3}};
  spec.terms = {"none"};
  spec.metrics = {"won", "lost", "points_for", "points_against"};
  spec.frame_skip = 2;
  spec.frames_per_second = 60;
  auto raw = MakeRawSpec(spec);
  if (!raw.ok()) return raw.status();
  auto parsed = ParseSpec(*raw);
  if (!parsed.ok()) return parsed.status();
  control.env_seeds.insert(options.seed);
  auto initial = ResolveSettings(settings, options.settings);
  if (!initial.ok()) return initial.status();
  LocalWorldParts parts{*parsed, settings, {}, std::make_unique<DuelRules>(*parsed)};
  auto world = MakeLocalWorld(options, *initial, std::move(parts));
  if (!world.ok()) return world.status();
  auto mortal = std::make_unique<MortalEnv>(*std::move(world));
  mortal->env_doorbell = options.doorbell;
  return mortal;
}

const NetworkShape kDuelShape = TestShape(3, {3}, {16}, 8);

std::shared_ptr<Policy> MakePolicy(uint32_t seed, const NetworkShape& shape = kDuelShape) {
  std::shared_ptr<Policy> policy = MakeNativePolicy(shape);
  EXPECT_TRUE(policy->Load(RandomWeights(shape, seed)).ok());
  return policy;
}

EvaluationOpponent Bot(const std::string& name, const std::string& strength = "") {
  return {strength.empty() ? name : name + ":" + strength, name, strength, nullptr};
}

class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest() {
    RegisterEnvironment("duel", MakeDuel);
    control = Control();
    options_.env.name = "duel";
    options_.policy = MakePolicy(1);
    options_.opponents = {Bot("two")};
    options_.matches = 20;
    options_.seed = 500;
  }

  EvaluationResult Run() {
    auto result = Evaluate(options_);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : EvaluationResult();
  }

  EvaluationOptions options_;
};

std::vector<uint64_t> Hashes(const OpponentScore& score) {
  std::vector<uint64_t> hashes;
  for (const MatchRecord& match : score.matches) hashes.push_back(match.hash);
  return hashes;
}

TEST_F(EvaluateTest, PlaysBothSidesOfEverySeed) {
  options_.opponents = {Bot("two", "3"), Bot("zero")};
  const EvaluationResult result = Run();
  ASSERT_EQ(result.opponents.size(), 2u);
  for (const OpponentScore& score : result.opponents) {
    ASSERT_EQ(score.matches.size(), 20u);
    for (size_t m = 0; m < 20; ++m) {
      EXPECT_EQ(score.matches[m].side, static_cast<int>(m % 2));
      EXPECT_EQ(score.matches[m].seed, 500 + m / 2);
      EXPECT_EQ(score.matches[m].frames, 34u);  // 15 timesteps and two resets between episodes
    }
  }
  // Nobody beats a bot that always scores; everybody beats one that never does.
  EXPECT_EQ(result.opponents[0].opponent, "two:3");
  EXPECT_EQ(result.opponents[0].lost, 20u);
  EXPECT_EQ(result.opponents[0].win_rate, 0);
  EXPECT_EQ(result.opponents[1].won, 20u);
  EXPECT_EQ(result.opponents[1].win_rate, 1);
  EXPECT_NEAR(result.opponents[1].wilson_low, 0.8389, 1e-4);
  EXPECT_EQ(result.opponents[1].wilson_high, 1);
  EXPECT_GT(result.decision_us_p50, 0);
  EXPECT_GE(result.decision_us_p99, result.decision_us_p50);
  std::set<std::string> strengths;
  for (const Settings& settings : control.resets) {
    if (settings.contains("left_strength")) strengths.insert(settings.at("left_strength"));
  }
  EXPECT_THAT(strengths, ElementsAre("3"));
}

TEST_F(EvaluateTest, MetricsAreThoseOfTheEvaluatedSide) {
  const EvaluationResult result = Run();
  for (const MatchRecord& match : result.opponents[0].matches) {
    EXPECT_EQ(match.outcome, Outcome::LOST);
    EXPECT_EQ(match.metrics[1], 1);   // lost
    EXPECT_EQ(match.metrics[3], 15);  // points_against: the bot's
    EXPECT_LT(match.metrics[2], 15);
  }
}

TEST_F(EvaluateTest, ASeedReproducesTheMatchWhateverRunsBesideIt) {
  options_.opponents = {Bot("two"), {"other", "", "", MakePolicy(2)}};
  const EvaluationResult one = Run();
  options_.games = 7;
  options_.opponents.insert(options_.opponents.begin(), Bot("zero"));
  const EvaluationResult many = Run();
  EXPECT_EQ(Hashes(one.opponents[0]), Hashes(many.opponents[1]));
  EXPECT_EQ(Hashes(one.opponents[1]), Hashes(many.opponents[2]));
  std::set<uint64_t> distinct;
  for (const uint64_t hash : Hashes(one.opponents[1])) distinct.insert(hash);
  // Both sides of a seed draw alike, so two policies that are near each other may play the same.
  EXPECT_GE(distinct.size(), 15u);

  options_.seed = 501;  // the same matches, one seed later
  const EvaluationResult later = Run();
  EXPECT_EQ(later.opponents[1].matches[0].hash, many.opponents[1].matches[2].hash);
  EXPECT_THAT(control.env_seeds, ElementsAre(1));
}

TEST_F(EvaluateTest, TheHashCoversActions) {
  const EvaluationResult sampled = Run();
  options_.greedy = true;
  EXPECT_NE(Hashes(sampled.opponents[0]), Hashes(Run().opponents[0]));
}

TEST_F(EvaluateTest, RecurrentStateBelongsToEachSideAndEpisode) {
  // The same policy on both sides must play as two separate copies of it do.
  options_.opponents = {{"self", "", "", options_.policy}};
  const EvaluationResult shared = Run();
  options_.opponents = {{"copy", "", "", MakePolicy(1)}};
  EXPECT_EQ(Hashes(shared.opponents[0]), Hashes(Run().opponents[0]));
}

TEST_F(EvaluateTest, CutMatchesAreNeverWon) {
  options_.opponents = {Bot("zero")};
  options_.settings["length"] = "1000";
  options_.frames_max = 100;
  options_.env.seed = 1;
  const OpponentScore score = Run().opponents[0];
  EXPECT_EQ(score.cut, 20u);
  EXPECT_EQ(score.won, 0u);
  EXPECT_EQ(score.win_rate, 0);
  for (const MatchRecord& match : score.matches) {
    EXPECT_EQ(match.outcome, Outcome::CUT);
    EXPECT_EQ(match.frames, 100u);
    EXPECT_GT(match.metrics[2], 0);  // it led when it was cut
  }
}

TEST_F(EvaluateTest, AMatchThatTheWorldTruncatesIsCut) {
  options_.opponents = {Bot("zero"), Bot("two")};
  options_.settings["ending"] = "truncated";
  for (const OpponentScore& score : Run().opponents) {
    EXPECT_EQ(score.cut, 20u) << score.opponent;
    EXPECT_EQ(score.won + score.lost + score.drawn, 0u) << score.opponent;
  }
}

TEST_F(EvaluateTest, AWatcherIsToldEveryScore) {
  std::vector<float> points;
  std::vector<int> outcomes;
  options_.opponents = {Bot("two")};
  options_.matches = 1;
  options_.watch = [&](const MatchRecord& match) {
    EXPECT_EQ(match.seed, 500u);
    points.push_back(match.metrics[3]);  // the bot's, one a timestep
    outcomes.push_back(match.outcome);
  };
  Run();
  ASSERT_EQ(points.size(), 17u);  // the first timestep, 15 more, the end
  EXPECT_EQ(points[0], 0);
  EXPECT_EQ(points[14], 14);
  EXPECT_EQ(points[16], 15);
  EXPECT_EQ(outcomes[15], Outcome::INVALID);
  EXPECT_EQ(outcomes[16], Outcome::LOST);
}

TEST_F(EvaluateTest, OneThatIsStoppedHasItsFinishedMatches) {
  std::atomic<bool> stop{false};
  uint64_t over = 0;
  options_.stop = &stop;
  options_.watch = [&](const MatchRecord& match) {
    over += match.outcome != Outcome::INVALID;
    stop = over >= 5;
  };
  const EvaluationResult result = Run();
  EXPECT_TRUE(result.stopped);
  const OpponentScore& score = result.opponents[0];
  EXPECT_EQ(score.lost, over);
  EXPECT_EQ(score.matches.size(), over);
  for (const MatchRecord& match : score.matches) EXPECT_EQ(match.outcome, Outcome::LOST);
  EXPECT_LT(over, 20u);
}

TEST_F(EvaluateTest, AStopAfterTheLastMatchStopsNothing) {
  std::atomic<bool> stop{false};
  uint64_t over = 0;
  options_.stop = &stop;
  options_.watch = [&](const MatchRecord& match) {
    over += match.outcome != Outcome::INVALID;
    stop = over >= 20;
  };
  EXPECT_FALSE(Run().stopped);
}

TEST_F(EvaluateTest, AMatchAfterACutOneBeginsAfresh) {
  options_.settings["length"] = "100";
  options_.frames_max = 120;
  options_.matches = 2;
  const std::vector<uint64_t> together = Hashes(Run().opponents[0]);
  options_.games = 1;
  EXPECT_EQ(together, Hashes(Run().opponents[0]));
}

TEST_F(EvaluateTest, CrashedMatchesArePlayedAgainAndCounted) {
  const EvaluationResult calm = Run();
  control.die_every = 37;
  const EvaluationResult stormy = Run();
  EXPECT_GT(stormy.opponents[0].crashes, 5u);
  EXPECT_FALSE(stormy.opponents[0].first_crash.empty());
  EXPECT_EQ(stormy.opponents[0].crashes, control.restarts);
  EXPECT_EQ(stormy.opponents[0].lost, 20u);
  EXPECT_EQ(Hashes(calm.opponents[0]), Hashes(stormy.opponents[0]));
}

TEST_F(EvaluateTest, AGameThatAlwaysDiesEndsTheEvaluationWithItsError) {
  control.die_every = 1;
  options_.games = 1;
  const auto result = Evaluate(options_);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(result.status().message(), HasSubstr("seed 500"));
  EXPECT_THAT(result.status().message(), HasSubstr("the duel died"));
  EXPECT_EQ(control.restarts, 3u);
}

TEST_F(EvaluateTest, FinishedMatchesOutliveTheGamesThatPlayedThem) {
  control.die_every = 150;
  control.death = absl::InvalidArgumentError("the server is gone");
  const auto result = Evaluate(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->failure, control.death);
  EXPECT_TRUE(result->stopped);
  EXPECT_GT(result->opponents[0].matches.size(), 0u);
}

TEST_F(EvaluateTest, ErrorsThatARestartCannotMendAreAnsweredAtOnce) {
  control.die_every = 1;
  control.death = absl::InvalidArgumentError("no such setting");
  EXPECT_EQ(Evaluate(options_).status(), control.death);
  EXPECT_EQ(control.restarts, 0u);
}

TEST_F(EvaluateTest, BotsMeetBots) {
  options_.policy = nullptr;
  options_.subject_bot = Bot("two");
  options_.opponents = {Bot("zero"), Bot("two")};
  options_.matches = 4;
  const EvaluationResult result = Run();
  EXPECT_EQ(result.opponents[0].won, 4u);
  EXPECT_EQ(result.opponents[1].drawn, 4u);
  for (const MatchRecord& match : result.opponents[0].matches) {
    EXPECT_THAT(match.metrics, ElementsAre(1, 0, 15, 0)) << match.side;
  }
}

TEST_F(EvaluateTest, SidesOfTwoPoliciesMirror) {
  options_.opponents = {{"other", "", "", MakePolicy(2)}};
  const OpponentScore here = Run().opponents[0];
  options_.opponents = {{"first", "", "", options_.policy}};
  options_.policy = MakePolicy(2);
  const OpponentScore there = Run().opponents[0];
  EXPECT_EQ(here.won, there.lost);
  EXPECT_EQ(here.lost, there.won);
  // The left side's match of one is the right side's of the other.
  EXPECT_EQ(here.matches[0].hash, there.matches[1].hash);
}

TEST_F(EvaluateTest, ProgressIsTold) {
  std::vector<std::string> lines;
  options_.progress = [&](const std::string& line) { lines.push_back(line); };
  Run();
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines.back(), "two: 20 of 20 matches, 0 won, 20 lost");
}

TEST_F(EvaluateTest, BadOptionsAreNamed) {
  const auto message = [&] { return std::string(Evaluate(options_).status().message()); };
  auto good = options_;
  options_.policy = MakePolicy(1, TestShape(4, {3}, {16}));
  EXPECT_THAT(message(), HasSubstr("the evaluated policy was made for 4 inputs"));
  options_ = good;
  options_.opponents = {{"other", "", "", MakePolicy(1, TestShape(3, {4}, {16}))}};
  EXPECT_THAT(message(), HasSubstr("opponent 'other' was made for 3 inputs and 4 choices"));
  options_ = good;
  options_.opponents = {{"nobody", "", "", nullptr}};
  EXPECT_THAT(message(), HasSubstr("opponent 'nobody' has neither"));
  options_ = good;
  options_.opponents = {Bot("three")};
  EXPECT_THAT(message(), HasSubstr("three"));
  options_ = good;
  options_.games = 0;
  EXPECT_THAT(message(), HasSubstr("games"));
  options_ = good;
  options_.matches = 0;
  EXPECT_THAT(message(), HasSubstr("match"));
  options_ = good;
  options_.seed = 0;
  EXPECT_THAT(message(), HasSubstr("seed 0"));
  options_ = good;
  options_.policy = nullptr;
  EXPECT_THAT(message(), HasSubstr("nothing to evaluate"));
  options_ = good;
  options_.env.name = "no-such-game";
  EXPECT_EQ(Evaluate(options_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EvaluateTest, AnAdapterThatAsksForABotsActionIsRefused) {
  control.wrong_side_acts = true;
  const auto result = Evaluate(options_);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(result.status().message(), HasSubstr("asks for an action of 'right'"));
}

// The bridge's probe: masks, a passive side, two agents whose episodes end apart.
TEST(EvaluateProbeTest, PlaysTheProbe) {
  EvaluationOptions options;
  options.env.name = "probe";
  options.env.settings = {{"agents", "2"}};
  options.settings = {{"masks", "true"}, {"match", "3"}, {"length_right", "7"}};
  const NetworkShape shape = TestShape(6, {4}, {8});
  options.policy = MakePolicy(3, shape);
  options.opponents = {{"idle", "idle", "", nullptr}, {"other", "", "", MakePolicy(4, shape)}};
  options.matches = 6;
  options.games = 3;
  const auto first = Evaluate(options);
  ASSERT_TRUE(first.ok()) << first.status();
  for (const OpponentScore& score : first->opponents) {
    EXPECT_EQ(score.won + score.lost + score.drawn, 3u) << score.opponent;
    // The left side's end truncates the right one's last episode.
    EXPECT_EQ(score.cut, 3u) << score.opponent;
  }
  EXPECT_EQ(first->opponents[0].won, 3u);  // an idle side echoes nothing
  options.games = 1;
  const auto again = Evaluate(options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Hashes(first->opponents[1]), Hashes(again->opponents[1]));
}

TEST(EvaluateProbeTest, OneAgentNeedsNoOpponent) {
  EvaluationOptions options;
  options.env.name = "null";
  options.policy = MakePolicy(3, TestShape(16, {6}, {8}));
  options.opponents = {{"nobody", "", "", nullptr}};
  options.matches = 3;
  const auto result = Evaluate(options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->opponents[0].matches[2].side, 0);
  EXPECT_EQ(result->opponents[0].matches[2].seed, 1002u);
}

TEST(WilsonIntervalTest, PublishedValues) {
  double low, high;
  // Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
  WilsonInterval(81, 263, 1.959964, &low, &high);
  EXPECT_NEAR(low, 0.2553, 1e-4);
  EXPECT_NEAR(high, 0.3662, 1e-4);
  WilsonInterval(15, 148, 1.959964, &low, &high);
  EXPECT_NEAR(low, 0.0624, 1e-4);
  EXPECT_NEAR(high, 0.1605, 1e-4);
  WilsonInterval(0, 20, 1.959964, &low, &high);
  EXPECT_NEAR(low, 0, 1e-12);
  EXPECT_NEAR(high, 0.1611, 1e-4);
  WilsonInterval(1, 29, 1.959964, &low, &high);
  EXPECT_NEAR(low, 0.0061, 1e-4);
  EXPECT_NEAR(high, 0.1718, 1e-4);
  WilsonInterval(0, 0, 1.959964, &low, &high);
  EXPECT_EQ(low, 0);
  EXPECT_EQ(high, 1);
}

}  // namespace
}  // namespace midlane
