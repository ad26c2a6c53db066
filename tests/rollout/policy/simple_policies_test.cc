// The random policy and the checking decorator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/policy/policy.h"
#include "tests/rollout/policy/test_weights.h"

namespace midlane {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

const NetworkShape kShape = TestShape(3, {3, 2}, {5}, 4);

TEST(RandomPolicyTest, AllChoicesAreEquallyLikely) {
  auto policy = MakeRandomPolicy(kShape);
  EXPECT_EQ(policy->version(), 0u);
  ASSERT_TRUE(policy->Load(SineWeights(kShape)).ok());
  EXPECT_EQ(policy->version(), 1u);
  std::vector<float> inputs(6), states(16, 0.5f), logits(10, 9.0f), values(2, 9.0f);
  ASSERT_TRUE(
      policy->Evaluate({2, inputs.data(), states.data(), logits.data(), values.data()}).ok());
  EXPECT_THAT(logits, Each(0.0f));
  EXPECT_THAT(values, Each(0.0f));
}

// The native policy with one thing wrong.
class WrongPolicy final : public Policy {
 public:
  enum class Fault { kNone, kLogit, kValue, kState, kNan };
  explicit WrongPolicy(Fault fault) : policy_(MakeNativePolicy(kShape)), fault_(fault) {}
  const NetworkShape& shape() const override { return policy_->shape(); }
  uint64_t version() const override { return policy_->version(); }
  absl::Status Load(const Weights& weights) override { return policy_->Load(weights); }
  absl::Status Evaluate(const PolicyBatch& batch) override {
    const absl::Status status = policy_->Evaluate(batch);
    if (fault_ == Fault::kLogit) batch.logits[9] += 1e-3f;
    if (fault_ == Fault::kValue) batch.values[1] -= 1e-3f;
    if (fault_ == Fault::kState) batch.states[15] += 1e-3f;
    if (fault_ == Fault::kNan) batch.logits[0] = NAN;
    return status;
  }

 private:
  std::unique_ptr<Policy> policy_;
  Fault fault_;
};

absl::Status CheckOnce(std::unique_ptr<Policy> policy, std::unique_ptr<Policy> reference) {
  auto checking = MakeCheckingPolicy(std::move(policy), std::move(reference), 1e-5f);
  if (auto status = checking->Load(SineWeights(kShape)); !status.ok()) return status;
  EXPECT_EQ(checking->version(), 1u);
  std::vector<float> inputs = CosineInputs(6);
  std::vector<float> states(16, 0.25f), logits(10), values(2);
  return checking->Evaluate({2, inputs.data(), states.data(), logits.data(), values.data()});
}

TEST(CheckingPolicyTest, FindsEachPlantedDifferenceOnEitherSide) {
  using Fault = WrongPolicy::Fault;
  EXPECT_TRUE(
      CheckOnce(std::make_unique<WrongPolicy>(Fault::kNone), MakeNativePolicy(kShape)).ok());
  const std::pair<Fault, const char*> faults[] = {{Fault::kLogit, "logit 9"},
                                                  {Fault::kValue, "value 1"},
                                                  {Fault::kState, "recurrent state 15"},
                                                  {Fault::kNan, "logit 0"}};
  for (const auto& [fault, text] : faults) {
    for (const bool swapped : {false, true}) {
      auto wrong = std::make_unique<WrongPolicy>(fault);
      auto right = MakeNativePolicy(kShape);
      const absl::Status status = swapped ? CheckOnce(std::move(right), std::move(wrong))
                                          : CheckOnce(std::move(wrong), std::move(right));
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
      EXPECT_THAT(status.message(), HasSubstr(text));
    }
  }
}

TEST(CheckingPolicyTest, AnswersTheFirstPolicysResults) {
  auto checking = MakeCheckingPolicy(MakeNativePolicy(kShape), MakeNativePolicy(kShape), 0);
  auto plain = MakeNativePolicy(kShape);
  ASSERT_TRUE(checking->Load(SineWeights(kShape)).ok());
  ASSERT_TRUE(plain->Load(SineWeights(kShape)).ok());
  std::vector<float> inputs = CosineInputs(6);
  std::vector<float> states[2], logits[2], values[2];
  for (int i = 0; i < 2; ++i) {
    states[i].assign(16, 0.25f);
    logits[i].resize(10);
    values[i].resize(2);
    Policy* const policy = i == 0 ? checking.get() : plain.get();
    ASSERT_TRUE(
        policy->Evaluate({2, inputs.data(), states[i].data(), logits[i].data(), values[i].data()})
            .ok());
  }
  EXPECT_EQ(states[0], states[1]);
  EXPECT_EQ(logits[0], logits[1]);
  EXPECT_EQ(values[0], values[1]);
}

}  // namespace
}  // namespace midlane
