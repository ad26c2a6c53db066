#include "rollout/policy/native_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/rollout/policy/count_allocations.h"
#include "tests/rollout/policy/test_weights.h"

namespace midlane {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

struct Result {
  std::vector<float> logits, values, states;
};

Result Evaluate(Policy* policy, uint32_t rows, const std::vector<float>& inputs,
                std::vector<float> states = {}) {
  const NetworkShape& shape = policy->shape();
  states.resize(size_t{rows} * shape.state_width());
  Result result{std::vector<float>(size_t{rows} * shape.logits_width()), std::vector<float>(rows),
                std::move(states)};
  const absl::Status status = policy->Evaluate(
      {rows, inputs.data(), result.states.data(), result.logits.data(), result.values.data()});
  EXPECT_TRUE(status.ok()) << status;
  return result;
}

// Every test runs with all the kernels that this processor has.
class NativePolicyTest : public ::testing::TestWithParam<const NativeKernels*> {
 protected:
  std::unique_ptr<Policy> Make(const NetworkShape& shape, const Weights& weights) {
    auto policy = MakeNativePolicy(shape, *GetParam());
    const absl::Status status = policy->Load(weights);
    EXPECT_TRUE(status.ok()) << status;
    return policy;
  }
  std::unique_ptr<Policy> MakeSine(const NetworkShape& shape) {
    return Make(shape, SineWeights(shape));
  }
};

std::vector<const NativeKernels*> AllKernels() {
  std::vector<const NativeKernels*> kernels;
  for (auto* const* k = AvailableKernels(); *k != nullptr; ++k) kernels.push_back(*k);
  return kernels;
}

INSTANTIATE_TEST_SUITE_P(Kernels, NativePolicyTest, ::testing::ValuesIn(AllKernels()),
                         [](const auto& test) { return std::string(test.param->name); });

// One input, one hidden unit: 0.5 = (3 - 2) * 0.5; tanh(2 * 0.5 + 0.1); head 3 h - 1, 0 h + 0.25.
TEST_P(NativePolicyTest, ByHand) {
  const NetworkShape shape = TestShape(1, {2}, {1}, 0, false);
  const Weights weights{7, {2.0f}, {0.5f}, {2.0f, 0.1f, 3.0f, 0.0f, -1.0f, 0.25f, -4.0f, 0.5f}};
  auto policy = MakeNativePolicy(shape, *GetParam());
  EXPECT_EQ(policy->version(), 0u);
  ASSERT_TRUE(policy->Load(weights).ok());
  EXPECT_EQ(policy->version(), 7u);
  const Result result = Evaluate(policy.get(), 1, {3.0f});
  const float h = std::tanh(1.1f);
  EXPECT_THAT(result.logits, Pointwise(FloatNear(1e-6f), {3 * h - 1, 0.25f}));
  EXPECT_NEAR(result.values[0], -4 * h + 0.5f, 2e-6);
}

TEST_P(NativePolicyTest, InputsAreClippedAfterNormalisation) {
  // No hidden layer: logit 0 is the normalised input itself.
  const NetworkShape shape = TestShape(1, {2}, {});
  auto policy = Make(shape, {1, {2.0f}, {0.5f}, {1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}});
  EXPECT_EQ(Evaluate(policy.get(), 1, {3.0f}).logits[0], 0.5f);
  EXPECT_EQ(Evaluate(policy.get(), 1, {1e9f}).logits[0], 5.0f);
  EXPECT_EQ(Evaluate(policy.get(), 1, {-1e9f}).logits[0], -5.0f);
}

// The numbers below come from PyTorch in double precision.
TEST_P(NativePolicyTest, GoldenSeparateTrunks) {
  auto policy = MakeSine(TestShape(3, {3, 2}, {5, 4}));
  const Result result = Evaluate(policy.get(), 2, CosineInputs(6));
  EXPECT_THAT(result.logits,
              Pointwise(FloatNear(2e-6f),
                        {0.15080719f, 0.66480633f, 0.25169663f, -0.14185346f, -0.11418125f,
                         0.05925967f, 0.75360742f, 0.17590342f, -0.08782643f, -0.14019897f}));
  EXPECT_THAT(result.values, Pointwise(FloatNear(2e-6f), {-0.23811643f, -0.13134297f}));
}

TEST_P(NativePolicyTest, GoldenSharedReluTrunk) {
  auto policy = MakeSine(TestShape(4, {2}, {6}, 0, false, Activation::kRelu));
  const Result result = Evaluate(policy.get(), 2, CosineInputs(8));
  EXPECT_THAT(result.logits,
              Pointwise(FloatNear(4e-6f), {-2.96555060f, 0.34086930f, -2.51981535f, 1.69885311f}));
  EXPECT_THAT(result.values, Pointwise(FloatNear(4e-6f), {1.77352744f, 2.02169283f}));
}

TEST_P(NativePolicyTest, GoldenNoHiddenLayer) {
  auto policy = MakeSine(TestShape(2, {2}, {}));
  const Result result = Evaluate(policy.get(), 1, CosineInputs(2));
  EXPECT_THAT(result.logits, Pointwise(FloatNear(2e-6f), {1.08946954f, 1.37803938f}));
  EXPECT_NEAR(result.values[0], -2.03959586f, 2e-6);
}

TEST_P(NativePolicyTest, GoldenLstmOverThreeSteps) {
  auto policy = MakeSine(TestShape(3, {2}, {4}, 3));
  const std::vector<float> inputs = CosineInputs(18);
  Result result;
  for (int step = 0; step < 3; ++step) {
    const auto begin = inputs.begin() + step * 6;
    result = Evaluate(policy.get(), 2, {begin, begin + 6}, result.states);
  }
  EXPECT_THAT(result.logits, Pointwise(FloatNear(2e-6f),
                                       {-0.03885989f, -0.30908320f, -0.06428551f, -0.30466037f}));
  EXPECT_THAT(result.values, Pointwise(FloatNear(2e-6f), {0.14695673f, 0.13339007f}));
  EXPECT_THAT(result.states,
              Pointwise(FloatNear(2e-6f), {0.04776249f, 0.03887719f, -0.09143385f, 0.14350799f,
                                           0.08568393f, -0.26064693f, 0.10290357f, 0.01920237f,
                                           -0.12082836f, 0.24784698f, 0.05429049f, -0.27167518f}));
}

// Each row must be the same, to the bit, alone and in a batch of any size.
TEST_P(NativePolicyTest, ARowDoesNotDependOnItsBatch) {
  for (const NetworkShape& shape :
       {TestShape(22, {6}, {64, 64}), TestShape(5, {3, 4, 20}, {33}, 0, false),
        TestShape(300, {6}, {520, 17}, 0, true, Activation::kRelu), TestShape(22, {6}, {40}, 37),
        TestShape(9, {6}, {}, 288)}) {
    auto policy = Make(shape, RandomWeights(shape, 1));
    constexpr uint32_t kRows = 103;  // more than the policy takes at once
    const std::vector<float> inputs = RandomFloats(kRows * shape.inputs, 3, 2);
    const std::vector<float> states = RandomFloats(kRows * shape.state_width(), 1, 3);
    const auto part = [](const std::vector<float>& all, uint32_t first, uint32_t rows,
                         uint32_t width) {
      return std::vector<float>(all.begin() + first * width, all.begin() + (first + rows) * width);
    };
    const Result all = Evaluate(policy.get(), kRows, inputs, states);
    for (uint32_t rows = 1; rows <= 13; ++rows) {
      const uint32_t first = (rows * 31) % (kRows - rows);
      const Result some = Evaluate(policy.get(), rows, part(inputs, first, rows, shape.inputs),
                                   part(states, first, rows, shape.state_width()));
      EXPECT_EQ(some.logits, part(all.logits, first, rows, shape.logits_width())) << rows;
      EXPECT_EQ(some.values, part(all.values, first, rows, 1)) << rows;
      EXPECT_EQ(some.states, part(all.states, first, rows, shape.state_width())) << rows;
    }
  }
}

TEST_P(NativePolicyTest, TanhIsAccurateEverywhere) {
  const NetworkShape shape = TestShape(1, {2}, {1}, 0, false);
  for (const float scale : {1e-6f, 1e-3f, 0.1f, 1.0f, 2.0f, 20.0f}) {
    // h = tanh(scale * x), logit 0 = h.
    auto policy =
        Make(shape, {1, {0.0f}, {1.0f}, {scale, 0.0f, 1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}});
    std::vector<float> inputs;
    for (int i = -500; i <= 500; ++i) inputs.push_back(static_cast<float>(i) * 0.01f);
    const Result result = Evaluate(policy.get(), static_cast<uint32_t>(inputs.size()), inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      EXPECT_NEAR(result.logits[2 * i], std::tanh(double{scale} * double{inputs[i]}), 2.5e-7)
          << scale << " " << inputs[i];
    }
  }
}

TEST_P(NativePolicyTest, LstmGatesSaturateWithoutNan) {
  const NetworkShape shape = TestShape(1, {2}, {}, 5);
  Weights weights = SineWeights(shape);
  for (float& parameter : weights.parameters) parameter *= 1e4f;
  auto policy = Make(shape, weights);
  const Result result = Evaluate(policy.get(), 1, {1.0f}, std::vector<float>(10, 0.5f));
  for (const float x : result.states) EXPECT_TRUE(std::isfinite(x));
}

TEST_P(NativePolicyTest, NanIsNeverHidden) {
  for (const Activation activation : {Activation::kTanh, Activation::kRelu}) {
    auto policy = MakeSine(TestShape(3, {2}, {4}, 0, true, activation));
    const Result result = Evaluate(
        policy.get(), 2, {0.1f, std::numeric_limits<float>::quiet_NaN(), 0.2f, 0.1f, 0.2f, 0.3f});
    EXPECT_TRUE(std::isnan(result.logits[0]));
    EXPECT_TRUE(std::isnan(result.values[0]));
    EXPECT_FALSE(std::isnan(result.logits[2]));
    EXPECT_FALSE(std::isnan(result.values[1]));
  }
}

TEST_P(NativePolicyTest, LoadReplacesEverything) {
  const NetworkShape shape = TestShape(22, {6}, {40}, 37);
  auto twice = Make(shape, RandomWeights(shape, 1));
  ASSERT_TRUE(twice->Load(RandomWeights(shape, 2)).ok());
  auto once = Make(shape, RandomWeights(shape, 2));
  const std::vector<float> inputs = RandomFloats(3 * shape.inputs, 3, 3);
  EXPECT_EQ(Evaluate(twice.get(), 3, inputs).logits, Evaluate(once.get(), 3, inputs).logits);
}

TEST_P(NativePolicyTest, EvaluateAllocatesNothing) {
  const NetworkShape shape = TestShape(22, {6}, {64}, 48);
  auto policy = MakeSine(shape);
  std::vector<float> inputs(16 * 22), states(16 * 96), logits(16 * 6), values(16);
  const PolicyBatch batch{16, inputs.data(), states.data(), logits.data(), values.data()};
  const uint64_t before = AllocationCount();
  ASSERT_TRUE(policy->Evaluate(batch).ok());
  EXPECT_EQ(AllocationCount(), before);
}

TEST_P(NativePolicyTest, RefusesToActWithoutWeightsAndToLoadForeignOnes) {
  const NetworkShape shape = TestShape(3, {2}, {4});
  auto policy = MakeNativePolicy(shape, *GetParam());
  EXPECT_EQ(policy->Evaluate({}).code(), absl::StatusCode::kFailedPrecondition);
  Weights weights = SineWeights(shape);
  weights.parameters.push_back(0);
  EXPECT_THAT(policy->Load(weights).message(), HasSubstr("another network"));
  EXPECT_EQ(policy->version(), 0u);
}

}  // namespace
}  // namespace midlane
