// Learning sanity: what the learner must solve before any game, each in seconds; on the CPU, and on
// CUDA where there is a device.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "tests/learner/devices.h"
#include "tests/learner/toy_training.h"

namespace midlane {
namespace {

class SanityTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(On, SanityTest, ::testing::ValuesIn(Devices()),
                         [](const auto& test) { return test.param; });

ToyOptions Options(const std::string& device, uint32_t inputs, std::vector<uint32_t> heads) {
  ToyOptions options;
  options.device = device;
  options.shape.inputs = inputs;
  options.shape.heads = std::move(heads);
  options.shape.config.hidden = {32};
  options.ppo.minibatch_steps = 256;
  options.ppo.learning_rate = {3e-3, 3e-3, 0};
  options.ppo.entropy = {0.003, 0.003, 0};
  return options;
}

double Train(ToyTraining* training, int iterations) {
  double last = 0;
  constexpr int kMean = 5;
  for (int i = 0; i < iterations; ++i) {
    const double reward = training->Iterate();
    if (i >= iterations - kMean) last += reward / kMean;
  }
  return last;
}

// Four arms that pay 1 with probability 0.2, 0.5, 0.8, 0.5.
class Bandit final : public Toy {
 public:
  explicit Bandit(Random* random) : random_(random) {}
  void Observe(int, float* inputs, uint8_t*) override { inputs[0] = 1; }
  bool Step(const int32_t* actions, float* rewards) override {
    constexpr float kPays[] = {0.2f, 0.5f, 0.8f, 0.5f};
    rewards[0] = random_->Uniform() < kPays[actions[0]] ? 1.0f : 0.0f;
    return true;
  }

 private:
  Random* random_;
};

TEST_P(SanityTest, Bandit) {
  ToyTraining training(Options(GetParam(), 1, {4}),
                       [](Random* r) { return std::make_unique<Bandit>(r); });
  Train(&training, 40);
  EXPECT_GT(training.Probabilities({1})[2], 0.9);
}

// The first of ten actions decides the reward that comes with the last.
class Delayed final : public Toy {
 public:
  void Observe(int, float* inputs, uint8_t*) override {
    inputs[0] = step_ == 0 ? 1.0f : 0.0f;
    inputs[1] = static_cast<float>(step_) / kLength;
    inputs[2] = static_cast<float>(good_);
  }
  bool Step(const int32_t* actions, float* rewards) override {
    if (step_ == 0) good_ = actions[0] == 1;
    const bool ends = ++step_ == kLength;
    rewards[0] = ends && good_ ? 1.0f : 0.0f;
    if (ends) step_ = good_ = 0;
    return ends;
  }

 private:
  static constexpr int kLength = 10;
  int step_ = 0;
  int good_ = 0;
};

TEST_P(SanityTest, DelayedReward) {
  ToyTraining training(Options(GetParam(), 3, {3}),
                       [](Random*) { return std::make_unique<Delayed>(); });
  EXPECT_GT(Train(&training, 60), 0.09) << "of 0.1 a timestep; chance gives 0.033";
}

// A cue in the first observation must be repeated as the sixth action.
class Memory final : public Toy {
 public:
  explicit Memory(Random* random) : random_(random) { cue_ = random_->Below(2); }
  void Observe(int, float* inputs, uint8_t*) override {
    inputs[0] = step_ > 0 ? 0.0f : cue_ == 0 ? -1.0f : 1.0f;
    inputs[1] = step_ == kLength - 1 ? 1.0f : 0.0f;
  }
  bool Step(const int32_t* actions, float* rewards) override {
    const bool ends = ++step_ == kLength;
    rewards[0] = 0;
    if (!ends) return false;
    rewards[0] = static_cast<uint32_t>(actions[0]) == cue_ ? 1.0f : -1.0f;
    step_ = 0;
    cue_ = random_->Below(2);
    return true;
  }
  static constexpr int kLength = 6;

 private:
  Random* random_;
  int step_ = 0;
  uint32_t cue_ = 0;
};

double TrainMemory(const std::string& device, uint32_t lstm, int iterations) {
  ToyOptions options = Options(device, 2, {2});
  options.shape.config.lstm = lstm;
  options.ppo.normalise_observation = false;
  ToyTraining training(options, [](Random* r) { return std::make_unique<Memory>(r); });
  return Train(&training, iterations) * Memory::kLength;
}

TEST_P(SanityTest, AnLstmRemembers) { EXPECT_GT(TrainMemory(GetParam(), 16, 60), 0.9); }

TEST_P(SanityTest, AnMlpCannotRemember) {
  EXPECT_LT(std::abs(TrainMemory(GetParam(), 0, 60)), 0.2);
}

// Choice 0 pays 1 and is forbidden half of the time, choice 1 pays 0.5, the others nothing.
class Masked final : public Toy {
 public:
  explicit Masked(Random* random) : random_(random) {}
  void Observe(int, float* inputs, uint8_t* masks) override {
    inputs[0] = 1;
    for (int i = 0; i < 5; ++i) masks[i] = 1;
    masks[0] = allowed_;
    masks[4] = 0;
  }
  bool Step(const int32_t* actions, float* rewards) override {
    EXPECT_NE(actions[0], 4);
    EXPECT_TRUE(actions[0] != 0 || allowed_);
    rewards[0] = actions[0] == 0 ? 1.0f : actions[0] == 1 ? 0.5f : 0.0f;
    allowed_ = random_->Below(2) == 0;
    return true;
  }

 private:
  Random* random_;
  bool allowed_ = true;
};

TEST_P(SanityTest, MaskedActions) {
  ToyOptions options = Options(GetParam(), 1, {5});
  options.masked = true;
  ToyTraining training(options, [](Random* r) { return std::make_unique<Masked>(r); });
  EXPECT_GT(Train(&training, 60), 0.7) << "of 0.75";
}

// Agent 0 wins where both show the same side. One policy plays both and is told which it is.
class MatchingPennies final : public Toy {
 public:
  void Observe(int agent, float* inputs, uint8_t*) override {
    inputs[0] = agent == 0 ? 1.0f : -1.0f;
  }
  bool Step(const int32_t* actions, float* rewards) override {
    rewards[0] = actions[0] == actions[1] ? 1.0f : -1.0f;
    rewards[1] = -rewards[0];
    return true;
  }
};

TEST_P(SanityTest, MatchingPenniesInSelfPlayGoesToEvenOdds) {
  ToyOptions options = Options(GetParam(), 1, {2});
  options.agents = 2;
  options.ppo.normalise_observation = false;
  // Gradient play circles around the equilibrium; the entropy bonus draws it in, unless the small
  // advantages near it are blown up to deviation 1.
  options.ppo.entropy = {0.3, 0.3, 0};
  options.ppo.normalise_advantage = false;
  options.ppo.normalise_reward = false;
  options.ppo.learning_rate = {5e-3, 1e-4, 800000};
  options.ppo.epochs = 2;
  ToyTraining training(options, [](Random*) { return std::make_unique<MatchingPennies>(); });
  // Both begin with nine heads in ten.
  for (const WeightTensor& tensor : WeightLayout(options.shape)) {
    if (tensor.name != "policy.head.bias") continue;
    (*training.parameters())[tensor.offset] = 1.1f;
    (*training.parameters())[tensor.offset + 1] = -1.1f;
  }
  ASSERT_GT(training.Probabilities({1})[0], 0.85);
  constexpr int kIterations = 400, kMean = 100;
  double mean[2] = {};
  for (int i = 0; i < kIterations; ++i) {
    training.Iterate();
    if (i < kIterations - kMean) continue;
    mean[0] += training.Probabilities({1})[0] / kMean;
    mean[1] += training.Probabilities({-1})[0] / kMean;
  }
  EXPECT_NEAR(mean[0], 0.5, 0.07);
  EXPECT_NEAR(mean[1], 0.5, 0.07);
  EXPECT_NEAR(training.Probabilities({1})[0], 0.5, 0.15);
  EXPECT_NEAR(training.Probabilities({-1})[0], 0.5, 0.15);
}

}  // namespace
}  // namespace midlane
