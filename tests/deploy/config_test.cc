#include "deploy/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "deploy/config_fields.h"

namespace midlane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Refusal(const std::string& text) {
  Config config;
  const std::string before = FormatConfig(config);
  const absl::Status status = ParseConfig(text, "file.toml", &config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_EQ(FormatConfig(config), before) << "a refused text changed something";
  return std::string(status.message());
}

TEST(Config, PrintedDefaultsParseBackToThemselves) {
  Config config;
  config.run.environment = "null";
  const std::string text = FormatConfig(config);
  Config again;
  ASSERT_TRUE(ParseConfig(text, "printed", &again).ok());
  EXPECT_EQ(FormatConfig(again), text);
}

TEST(Config, PrintedValuesParseBackToThemselves) {
  Config config;
  config.run.environment = "odd \"name\"\\\n";
  config.run.seed = 123456789012345;
  config.learner.ppo.learning_rate = {0.1 + 0.2, 1e-300, 77};
  config.learner.rewards = {{"win", {1, 1, 0}}, {"strange key", {-0.5, 0, 1000}}};
  config.learner.league.scripted = {{"reduced", "0"}, {"hyp014", ""}};
  config.learner.network.hidden = {};
  config.learner.network.activation = Activation::kRelu;
  config.worker.settings = {{"left", "agent"}, {"x", "a\tb"}};
  config.worker.env.timeout = absl::Milliseconds(1500);
  Config again;
  const absl::Status status = ParseConfig(FormatConfig(config), "printed", &again);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(FormatConfig(again), FormatConfig(config));
  EXPECT_EQ(again.learner.ppo.learning_rate.from, 0.1 + 0.2);
  EXPECT_EQ(again.run.environment, config.run.environment);
  EXPECT_EQ(again.learner.league.scripted[1].strength, "");
  EXPECT_EQ(again.worker.env.timeout, absl::Milliseconds(1500));
}

TEST(Config, EveryFieldIsPrintedWithAComment) {
  Config config;
  const std::string text = FormatConfig(config);
  for (const ConfigField& field : ConfigFields(&config)) {
    if (!*field.key) continue;
    EXPECT_THAT(text, HasSubstr(std::string("\n") + field.key + " = ")) << field.section;
    EXPECT_STRNE(field.comment, "") << field.section << "." << field.key;
  }
}

TEST(Config, LaterLayersWin) {
  Config config;
  ASSERT_TRUE(ParseConfig("[ppo]\nepochs = 7\ngamma = 0.5\n[rewards]\nwin = 1", "a", &config).ok());
  ASSERT_TRUE(ParseConfig("[ppo]\nepochs = 8\n[rewards]\nlose = -1", "b", &config).ok());
  EXPECT_EQ(config.learner.ppo.epochs, 8u);
  EXPECT_EQ(config.learner.ppo.gamma, 0.5);
  EXPECT_EQ(config.learner.rewards.size(), 2u);
}

TEST(Config, NamesFileLineKeyAndTheNearestKnownOne) {
  EXPECT_THAT(Refusal("[ppo]\n\nepoch = 3\n"),
              AllOf(HasSubstr("file.toml:3"), HasSubstr("ppo.epoch "), HasSubstr("ppo.epochs")));
  EXPECT_THAT(Refusal("[pppo]\nepochs = 3\n"), AllOf(HasSubstr("[pppo]"), HasSubstr("ppo?")));
  EXPECT_THAT(Refusal("epochs = 3\n"), HasSubstr("ppo.epochs"));
}

TEST(Config, RefusesWrongTypesAndValues) {
  EXPECT_THAT(Refusal("[ppo]\nepochs = \"three\""),
              HasSubstr("file.toml:2: ppo.epochs must be a w"));
  EXPECT_THAT(Refusal("[ppo]\nepochs = 2.5"), HasSubstr("whole number"));
  EXPECT_THAT(Refusal("[ppo]\nepochs = -1"), HasSubstr("negative"));
  EXPECT_THAT(Refusal("[ppo]\nepochs = 0"), HasSubstr("between 1 and 1000"));
  EXPECT_THAT(Refusal("[ppo]\ngamma = 1.01"), HasSubstr("between 0 and 1"));
  EXPECT_THAT(Refusal("[ppo]\ngamma = nan"), HasSubstr("number"));
  EXPECT_THAT(Refusal("[ppo]\nnormalise_reward = 1"), HasSubstr("true or false"));
  EXPECT_THAT(Refusal("[ppo]\nlearning_rate = { from = 1, to = 2 }"), HasSubstr("steps"));
  EXPECT_THAT(Refusal("[ppo]\nlearning_rate = { from = 1, too = 2 }"), HasSubstr("too is unknown"));
  EXPECT_THAT(Refusal("[run]\npolicy = \"onnx\""), HasSubstr("native, torch"));
  EXPECT_THAT(Refusal("[run]\nenvironment = 3"), HasSubstr("string"));
  EXPECT_THAT(Refusal("[network]\nhidden = 64"), HasSubstr("[64, 64]"));
  EXPECT_THAT(Refusal("[network]\nhidden = [64, \"x\"]"), HasSubstr("whole number"));
  EXPECT_THAT(Refusal("[network]\nactivation = \"gelu\""), HasSubstr("tanh"));
  EXPECT_THAT(Refusal("[league]\nscripted = [3]"), HasSubstr("NAME:STRENGTH"));
  EXPECT_THAT(Refusal("[environment]\nside = [1]"), HasSubstr("environment.side"));
  EXPECT_THAT(Refusal("ppo = 3"), HasSubstr("section"));
  EXPECT_THAT(Refusal("[ppo\nx"), HasSubstr("file.toml:1"));
  EXPECT_THAT(Refusal(std::string(kConfigBytesMax + 1, '#')), HasSubstr("at most"));
}

TEST(Config, SetsSingleValues) {
  Config config;
  EXPECT_TRUE(SetConfigValue("ppo.epochs=2", &config).ok());
  EXPECT_TRUE(SetConfigValue("ppo.entropy = { from = 1, to = 0, steps = 9 }", &config).ok());
  EXPECT_TRUE(SetConfigValue("learner.device=cuda:1", &config).ok());
  EXPECT_TRUE(SetConfigValue("rewards.point_won=2.5", &config).ok());
  EXPECT_TRUE(SetConfigValue("environment.left=reduced", &config).ok());
  EXPECT_EQ(config.learner.ppo.epochs, 2u);
  EXPECT_EQ(config.learner.ppo.entropy.steps, 9u);
  EXPECT_EQ(config.learner.device, "cuda:1");
  EXPECT_EQ(config.learner.rewards["point_won"].from, 2.5);
  EXPECT_EQ(config.worker.settings["left"], "reduced");

  EXPECT_THAT(SetConfigValue("ppo.epoch=2", &config).message(),
              AllOf(HasSubstr("--set ppo.epoch=2"), HasSubstr("ppo.epochs")));
  EXPECT_THAT(SetConfigValue("epochs=2", &config).message(), HasSubstr("SECTION.KEY=VALUE"));
  EXPECT_THAT(SetConfigValue("ppo.epochs", &config).message(), HasSubstr("SECTION.KEY=VALUE"));
  EXPECT_THAT(SetConfigValue("ppo.epochs=two", &config).message(), HasSubstr("whole number"));
}

TEST(Config, ValidatesWhatConcernsSeveralKeys) {
  Config config;
  EXPECT_THAT(ValidateConfig(config).message(), HasSubstr("run.environment"));
  config.run.environment = "null";
  EXPECT_TRUE(ValidateConfig(config).ok());
  config.learner.ppo.minibatch_steps = config.learner.ppo.batch_steps + 1;
  EXPECT_THAT(ValidateConfig(config).message(), HasSubstr("minibatch_steps"));
  config.learner.ppo.minibatch_steps = 1;
  config.learner.league.scripted_share = 0.5;
  EXPECT_THAT(ValidateConfig(config).message(), HasSubstr("scripted"));
}

TEST(Config, ShippedDefaultsAreValid) {
  for (const char* environment : {"null", "probe", "blobby", "minetest"}) {
    const auto config = EnvironmentConfig(environment);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->run.environment, environment);
    EXPECT_TRUE(ValidateConfig(*config).ok()) << environment;
  }
  EXPECT_EQ(EnvironmentConfig("blobby")->learner.league.scripted.size(), 6u);
}

TEST(Config, LearnerAndWorkerAgreeOnWhatTheyShare) {
  auto config = EnvironmentConfig("null");
  ASSERT_TRUE(config.ok());
  config->learner.ppo.window = 8;
  config->worker.games = 1;
  config->worker.groups = 2;
  config->worker.chunk_steps = 64;
  config->run.seed = 5;
  const LearnerOptions learner = MakeLearnerOptions(*config, "runs/x");
  const WorkerOptions first = MakeWorkerOptions(*config, 0);
  const WorkerOptions second = MakeWorkerOptions(*config, 1);
  EXPECT_EQ(learner.run_dir, "runs/x");
  EXPECT_EQ(learner.chunk_steps, first.chunk_steps);
  EXPECT_EQ(first.window, 8u);
  EXPECT_EQ(first.groups, 1u);
  EXPECT_EQ(first.env.name, "null");
  EXPECT_GE(second.env.seed, first.env.seed + first.games);
  Config described;
  ASSERT_TRUE(ParseConfig(learner.config_text, "checkpoint", &described).ok());
  EXPECT_EQ(described.learner.ppo.window, 8u);
}

TEST(Config, ChangesAreNamedWithWhatWas) {
  Config before;
  before.learner.rewards["touch"] = Schedule{1.0};
  Config now = before;
  EXPECT_TRUE(ConfigChanges(before, now).empty());
  ASSERT_TRUE(SetConfigValue("ppo.gamma=0.9", &now).ok());
  ASSERT_TRUE(SetConfigValue("rewards.touch=0.5", &now).ok());
  EXPECT_THAT(ConfigChanges(before, now),
              testing::UnorderedElementsAre(testing::StartsWith("ppo.gamma = 0.9, was "),
                                            "rewards.touch = 0.5"));
}

}  // namespace
}  // namespace midlane
