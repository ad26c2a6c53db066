// Options out of their limits are refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "learner/learner.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

Spec TestSpec() {
  Spec spec;
  spec.environment = "toy";
  spec.terms = {"won", "lost"};
  return spec;
}

LearnerOptions Valid() {
  LearnerOptions options;
  options.run_dir = "run";
  options.rewards["won"] = {1, 1, 0};
  return options;
}

std::string Refusal(const std::function<void(LearnerOptions*)>& change) {
  LearnerOptions options = Valid();
  change(&options);
  return std::string(ValidateLearnerOptions(TestSpec(), options).message());
}

TEST(LearnerOptionsTest, DefaultsAreValid) {
  EXPECT_EQ(ValidateLearnerOptions(TestSpec(), Valid()), absl::OkStatus());
}

TEST(LearnerOptionsTest, NamesTheOptionAndTheRemedy) {
  EXPECT_THAT(Refusal([](auto* o) { o->ppo.gamma = 1.5; }), HasSubstr("ppo.gamma is 1.5; give 0"));
  EXPECT_THAT(Refusal([](auto* o) { o->ppo.batch_steps = 0; }), HasSubstr("ppo.batch_steps"));
  EXPECT_THAT(Refusal([](auto* o) { o->ppo.learning_rate.to = -1; }),
              HasSubstr("ppo.learning_rate.to"));
  EXPECT_THAT(Refusal([](auto* o) { o->wire_dtype = "f16"; }), HasSubstr("f32, bf16"));
  EXPECT_THAT(Refusal([](auto* o) {
                o->rewards["points"] = {1, 1, 0};
              }),
              HasSubstr("rewards.points is no reward term of toy; it has won, lost"));
  EXPECT_THAT(Refusal([](auto* o) { o->league.scripted_share = 0.5; }),
              HasSubstr("league.scripted names no bot"));
  EXPECT_THAT(Refusal([](auto* o) { o->network.hidden = {0}; }), HasSubstr("network.hidden[0]"));
  EXPECT_THAT(Refusal([](auto* o) {
                o->engine = "native";
                o->network.lstm = 8;
              }),
              HasSubstr("learner.engine"));
  EXPECT_THAT(Refusal([](auto* o) { o->run_dir = ""; }), HasSubstr("run_dir"));
  for (const char* device : {"gpu", "cuda:", "cuda:x", "mps", "cuda:-1"}) {
    EXPECT_THAT(Refusal([&](auto* o) { o->device = device; }), HasSubstr("\"cuda:N\"")) << device;
  }
  for (const char* device : {"cpu", "cuda", "cuda:1"}) {
    EXPECT_EQ(Refusal([&](auto* o) { o->device = device; }), "") << device;
  }
}

}  // namespace
}  // namespace midlane
