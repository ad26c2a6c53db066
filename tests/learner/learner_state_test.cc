#include "learner/learner_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "learner/inspect.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

LearnerState Example() {
  LearnerState state;
  state.shape.inputs = 3;
  state.shape.heads = {2, 4};
  state.shape.config.hidden = {5};
  state.environment = "null";
  state.environment_hash = 99;
  state.weights.version = 12;
  state.weights.mean = {1, 2, 3};
  state.weights.inv_std = {4, 5, 6};
  const size_t parameters = ParameterCount(state.shape);
  for (size_t i = 0; i < parameters; ++i) {
    state.weights.parameters.push_back(0.1f * static_cast<float>(i));
    state.adam.m.push_back(static_cast<float>(i));
    state.adam.v.push_back(-static_cast<float>(i));
    state.average.push_back(0.2f * static_cast<float>(i));
  }
  state.adam.steps = 44;
  state.observations = RunningMoments(3);
  state.observations.Add({std::vector<float>{1, 2, 3, 4, 5, 6}});
  state.returns.Add({std::vector<float>{1, 2}});
  state.seed = 5;
  state.iteration = 6;
  state.timesteps = 7;
  state.seconds = 8.5;
  LeagueOptions options;
  options.scripted = {{"reduced", "0"}};
  League league(options);
  auto blob = std::make_shared<const std::string>(
      EncodeWeights(state.shape, state.weights, WireDtype::kBf16));
  league.AddPast(10, blob->size(), 1234);
  league.Record(1, {Outcome::kWon, 77, {1, 2}});
  league.Record(2, {Outcome::kLost, 78, {3}});
  state.league = league.state();
  state.past[10] = blob;
  state.accounts.trained = 3;
  state.accounts.dropped[0] = 2;
  state.accounts.workers.push_back({9, 8, 7, 1, true, false});
  state.config_text = "[ppo]\n";
  return state;
}

TEST(LearnerStateTest, RoundTrip) {
  const LearnerState in = Example();
  const auto out = DecodeLearnerState("x", EncodeLearnerState(in));
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(out->shape.Hash(), in.shape.Hash());
  EXPECT_EQ(out->environment_hash, 99u);
  EXPECT_EQ(out->weights.version, 12u);
  EXPECT_EQ(out->weights.parameters, in.weights.parameters);
  EXPECT_EQ(out->weights.inv_std, in.weights.inv_std);
  EXPECT_EQ(out->average, in.average);
  EXPECT_EQ(out->adam.steps, 44u);
  EXPECT_EQ(out->adam.m, in.adam.m);
  EXPECT_EQ(out->adam.v, in.adam.v);
  EXPECT_EQ(out->observations.m2, in.observations.m2);
  EXPECT_EQ(out->returns.mean, in.returns.mean);
  EXPECT_EQ(out->seed, 5u);
  EXPECT_EQ(out->iteration, 6u);
  EXPECT_EQ(out->timesteps, 7u);
  EXPECT_EQ(out->seconds, 8.5);
  ASSERT_EQ(out->league.entries.size(), 3u);
  EXPECT_EQ(out->league.entries[1].name(), "reduced:0");
  EXPECT_EQ(out->league.entries[1].tally.recent[0].metrics, (std::vector<float>{1, 2}));
  EXPECT_EQ(out->league.entries[2].hash, 1234u);
  EXPECT_EQ(out->league.next_id, in.league.next_id);
  EXPECT_EQ(*out->past.at(10), *in.past.at(10));
  EXPECT_EQ(out->accounts.trained, 3u);
  EXPECT_EQ(out->accounts.dropped[0], 2u);
  EXPECT_EQ(out->accounts.workers[0].next, 7u);
  EXPECT_TRUE(out->accounts.workers[0].gone);
  EXPECT_EQ(out->config_text, "[ppo]\n");
}

TEST(LearnerStateTest, TheMeanMayBeMissing) {
  LearnerState state = Example();
  state.average.clear();
  const auto out = DecodeLearnerState("x", EncodeLearnerState(state));
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_TRUE(out->average.empty());
}

TEST(LearnerStateTest, AFreshLeagueRoundTrips) {
  LearnerState state = Example();
  state.league = League(LeagueOptions{}).state();
  state.past.clear();
  EXPECT_TRUE(DecodeLearnerState("x", EncodeLearnerState(state)).ok());
}

TEST(LearnerStateTest, NamesTheSectionThatIsMissingOrCut) {
  const Sections sections = EncodeLearnerState(Example());
  for (const auto& [name, bytes] : sections) {
    if (name == "config") continue;
    if (name != "average") {
      Sections without = sections;
      without.erase(name);
      EXPECT_THAT(std::string(DecodeLearnerState("f.mdl", without).status().message()),
                  HasSubstr(absl::StrCat("f.mdl: section '", name, "'")));
    }
    for (size_t size = 0; size < bytes.size(); ++size) {
      Sections cut = sections;
      cut[name] = bytes.substr(0, size);
      const auto decoded = DecodeLearnerState("f.mdl", cut);
      ASSERT_FALSE(decoded.ok()) << name << " " << size;
      ASSERT_THAT(std::string(decoded.status().message()), HasSubstr(name));
    }
  }
}

TEST(LearnerStateTest, WeightsOfAnotherNetworkAreRefused) {
  Sections sections = EncodeLearnerState(Example());
  LearnerState other = Example();
  other.shape.config.hidden = {6};
  other.weights.parameters.resize(ParameterCount(other.shape));
  other.adam.m.resize(other.weights.parameters.size());
  other.adam.v.resize(other.weights.parameters.size());
  other.past.clear();
  sections["weights"] = EncodeLearnerState(other)["weights"];
  EXPECT_THAT(std::string(DecodeLearnerState("f.mdl", sections).status().message()),
              HasSubstr("section 'weights'"));
}

TEST(InspectTest, ReadsARunFolderWithoutTorch) {
  const std::string run = absl::StrCat(::testing::TempDir(), "/inspect_test_", getpid());
  std::filesystem::create_directories(run);
  const LearnerState state = Example();
  ASSERT_EQ(WriteCheckpoint(run + "/checkpoint.mdl", EncodeLearnerState(state)), absl::OkStatus());
  for (const std::string& path : {run, run + "/checkpoint.mdl"}) {
    const auto contents = LoadCheckpointWeights(path);
    ASSERT_TRUE(contents.ok()) << contents.status();
    EXPECT_EQ(contents->weights.parameters, state.weights.parameters);
    EXPECT_EQ(contents->config_text, "[ppo]\n");
    EXPECT_EQ(contents->environment, "null");
  }
  const auto past = LoadPastWeights(run, 10);
  ASSERT_TRUE(past.ok()) << past.status();
  EXPECT_EQ(past->parameters.size(), state.weights.parameters.size());
  EXPECT_THAT(std::string(LoadPastWeights(run, 11).status().message()), HasSubstr("it holds 10"));
  EXPECT_EQ(LoadCheckpointWeights(run + "/none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace midlane
