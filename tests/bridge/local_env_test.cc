// null and probe: the conformance suite, and what they promise beyond it.
#include <set>

#include "bridge/make_env.h"
#include "tests/bridge/env_conformance.h"

namespace midlane {
namespace {

EnvOptions Named(const std::string& name, const Settings& settings = {}) {
  EnvOptions options;
  options.name = name;
  options.settings = settings;
  return options;
}

EnvCase NullCase(const std::string& name, const Settings& shape) {
  EnvCase c;
  c.name = name;
  c.options = Named("null", shape);
  c.settings = {{"length", "10"}};
  c.other_settings = {{"length", "7"}, {"seed", "3"}};
  c.delay = 1;
  c.frame_skip = 1;
  c.length_max = 10;
  return c;
}

EnvCase ProbeCase(const std::string& name, const std::string& agents, uint64_t skip, uint64_t delay,
                  const std::string& masks) {
  EnvCase c;
  c.name = name;
  c.options = Named("probe", {{"agents", agents}});
  c.settings = {{"frame_skip", std::to_string(skip)},
                {"delay", std::to_string(delay)},
                {"masks", masks},
                {"length", "9"},
                {"length_right", "5"},
                {"match", "2"}};
  c.other_settings = {{"ends", "truncated"}, {"length", "6"}, {"frame_skip", "2"}};
  c.delay = delay;
  c.frame_skip = skip;
  c.length_max = 18;
  return c;
}

INSTANTIATE_TEST_SUITE_P(Null, EnvConformance,
                         testing::Values(NullCase("One", {}),
                                         NullCase("Two", {{"agents", "2"}, {"inputs", "3"}})),
                         EnvCaseName);
INSTANTIATE_TEST_SUITE_P(Probe, EnvConformance,
                         testing::Values(ProbeCase("One", "1", 4, 1, "false"),
                                         ProbeCase("EveryFrame", "1", 1, 1, "true"),
                                         ProbeCase("LateAction", "1", 4, 4, "false"),
                                         ProbeCase("Two", "2", 3, 2, "true")),
                         EnvCaseName);

std::unique_ptr<Env> Probe(const Settings& shape, const Settings& settings) {
  absl::StatusOr<std::unique_ptr<Env>> env = MakeEnv(Named("probe", shape));
  EXPECT_TRUE(env.ok()) << env.status();
  EXPECT_TRUE((*env)->Reset(settings).ok());
  return *std::move(env);
}

int32_t Read(Env* env, int agent, const char* tensor) {
  int32_t value;
  const int index = env->spec().FindTensor(tensor);
  std::memcpy(&value, env->agent(agent).observation + env->spec().tensors[index].offset,
              sizeof(value));
  return value;
}

TEST(ProbeEnv, ReportsTheOwnActionAndTheFrameItActedOn) {
  std::unique_ptr<Env> env = Probe({}, {{"frame_skip", "4"}, {"delay", "3"}, {"length", "50"}});
  EXPECT_EQ(Read(env.get(), 0, "own_action"), -1);
  for (int step = 0; step < 20; ++step) {
    const int32_t frame = Read(env.get(), 0, "frame");
    const int32_t action = step % 4;
    env->agent(0).actions[0] = action;
    ASSERT_TRUE(env->Step().ok());
    EXPECT_EQ(Read(env.get(), 0, "frame"), frame + 4);
    EXPECT_EQ(Read(env.get(), 0, "own_action"), action);
    EXPECT_EQ(Read(env.get(), 0, "own_effect"), frame + 3);
    EXPECT_EQ(env->agent(0).effect_frame, static_cast<uint64_t>(frame + 3));
    EXPECT_EQ(env->agent(0).rewards[1], static_cast<float>(action));
  }
}

TEST(ProbeEnv, ShowsTheOthersActionOnlyOnceItHasActed) {
  std::unique_ptr<Env> env = Probe({{"agents", "2"}}, {{"length", "50"}});
  int32_t last[2] = {-1, -1};
  for (int step = 0; step < 20; ++step) {
    for (int side = 0; side < 2; ++side) {
      EXPECT_EQ(Read(env.get(), side, "other_action"), last[1 - side]);
      EXPECT_EQ(Read(env.get(), side, "own_action"), last[side]);
    }
    for (int side = 0; side < 2; ++side) {
      last[side] = (step + side) % 4;
      env->agent(side).actions[0] = last[side];
    }
    // Written, not yet given: nothing shows it.
    EXPECT_NE(Read(env.get(), 0, "other_action"), last[1]);
    ASSERT_TRUE(env->Step().ok());
  }
}

TEST(ProbeEnv, OneSidesEndLeavesTheOtherGoingOn) {
  std::unique_ptr<Env> env =
      Probe({{"agents", "2"}}, {{"length", "6"}, {"length_right", "2"}, {"match", "1"}});
  const auto step = [&] {
    for (int side = 0; side < 2; ++side) env->agent(side).actions[0] = 0;
    ASSERT_TRUE(env->Step().ok());
  };
  step();
  step();
  EXPECT_TRUE(env->agent(1).terminated());
  EXPECT_FALSE(env->agent(1).match_over());
  EXPECT_FALSE(env->agent(0).last());
  const uint32_t episode = env->agent(1).episode;
  step();
  EXPECT_TRUE(env->agent(1).first());
  EXPECT_EQ(env->agent(1).episode, episode + 1);
  EXPECT_EQ(env->agent(1).effect_frame, 0u);
  step();
  step();  // the right side's second end
  EXPECT_TRUE(env->agent(1).terminated());
  step();  // the left side's end ends the match and cuts the right side's third episode
  EXPECT_TRUE(env->agent(0).terminated());
  EXPECT_TRUE(env->agent(0).match_over());
  EXPECT_TRUE(env->agent(1).truncated());
  EXPECT_FALSE(env->agent(1).terminated());
  EXPECT_TRUE(env->agent(1).match_over());
}

TEST(ProbeEnv, TruncatesWhereAsked) {
  std::unique_ptr<Env> env = Probe({}, {{"length", "1"}, {"ends", "truncated"}});
  env->agent(0).actions[0] = 0;
  ASSERT_TRUE(env->Step().ok());
  EXPECT_TRUE(env->agent(0).truncated());
  EXPECT_FALSE(env->agent(0).terminated());
}

TEST(ProbeEnv, AnIdleSideWantsNoAction) {
  std::unique_ptr<Env> env = Probe({{"agents", "2"}}, {{"right", "idle"}});
  EXPECT_TRUE(env->agent(1).active());
  EXPECT_FALSE(env->agent(1).wants_action());
  env->agent(0).actions[0] = 1;
  env->agent(1).actions[0] = 99;  // ignored
  EXPECT_TRUE(env->Step().ok());
}

TEST(ProbeEnv, ADelayBeyondTheTimestepIsRefused) {
  std::unique_ptr<Env> env = Probe({}, {});
  const absl::Status status = env->Reset({{"delay", "5"}, {"frame_skip", "4"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("delay"));
}

TEST(ProbeEnv, EpisodesOfOneMatchGoOnWithoutMatchOver) {
  std::unique_ptr<Env> env = Probe({}, {{"length", "2"}, {"match", "3"}});
  const Settings settings = {{"length", "2"}, {"match", "3"}};
  std::vector<bool> over;
  for (int episode = 0; episode < 6; ++episode) {
    for (int step = 0; step < 2; ++step) {
      env->agent(0).actions[0] = 0;
      ASSERT_TRUE(env->Step().ok());
    }
    ASSERT_TRUE(env->agent(0).last());
    over.push_back(env->agent(0).match_over());
    ASSERT_TRUE(env->Reset(settings).ok());
  }
  EXPECT_THAT(over, testing::ElementsAre(false, false, true, false, false, true));
}

TEST(NullEnv, SettingsShapeTheSpecWhenItIsMade) {
  absl::StatusOr<std::unique_ptr<Env>> env =
      MakeEnv(Named("null", {{"inputs", "5"}, {"actions", "3"}, {"agents", "4"}}));
  ASSERT_TRUE(env.ok()) << env.status();
  EXPECT_EQ((*env)->spec().input_width(), 5u);
  EXPECT_EQ((*env)->spec().logits_width(), 3u);
  EXPECT_EQ((*env)->spec().agents.size(), 4u);
  EXPECT_TRUE((*env)->Reset({{"inputs", "5"}}).ok());
  const absl::Status status = (*env)->Reset({{"inputs", "6"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("'inputs' shapes the spec"));
}

TEST(NullEnv, ObservationsDiffer) {
  absl::StatusOr<std::unique_ptr<Env>> env = MakeEnv(Named("null"));
  ASSERT_TRUE(env.ok());
  ASSERT_TRUE((*env)->Reset({}).ok());
  std::set<float> seen;
  for (int step = 0; step < 50; ++step) {
    float first;
    std::memcpy(&first, (*env)->agent(0).observation, sizeof(first));
    seen.insert(first);
    (*env)->agent(0).actions[0] = 0;
    ASSERT_TRUE((*env)->Step().ok());
  }
  EXPECT_GT(seen.size(), 45u);
}

TEST(MakeEnv, UnknownNamesListTheKnownOnes) {
  const absl::Status status = MakeEnv(Named("nosuchgame")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(testing::HasSubstr("nosuchgame"), testing::HasSubstr("null"),
                             testing::HasSubstr("probe")));
  EXPECT_EQ(MakeEnv(Named("../envs/blobby")).status().code(), absl::StatusCode::kNotFound);
}

TEST(MakeEnv, SchemesGoToTheirHook) {
  EXPECT_EQ(MakeEnv(Named("carrier://pigeon")).status().code(), absl::StatusCode::kNotFound);
  std::string asked;
  RegisterEnvScheme(
      "carrier",
      [&asked](const EnvOptions& options) {
        asked = options.name;
        EnvOptions inner;
        inner.name = "null";
        return MakeEnv(inner);
      },
      [](const std::string& name) -> absl::StatusOr<EnvironmentInfo> {
        EnvironmentInfo info;
        info.name = "described " + name;
        return info;
      });
  EXPECT_TRUE(MakeEnv(Named("carrier://pigeon")).ok());
  EXPECT_EQ(asked, "carrier://pigeon");
  EXPECT_EQ(DescribeEnvironment("carrier://pigeon")->name, "described carrier://pigeon");
  EXPECT_EQ(DescribeEnvironment("raven://x").status().code(), absl::StatusCode::kNotFound);
}

TEST(MakeEnv, DescribesWithoutAStart) {
  absl::StatusOr<EnvironmentInfo> info = DescribeEnvironment("null");
  ASSERT_TRUE(info.ok());
  EXPECT_THAT(info->settings, testing::Contains(testing::Field(&SettingSpec::name, "inputs")));
  EXPECT_EQ(DescribeEnvironment("nosuchgame").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace midlane
