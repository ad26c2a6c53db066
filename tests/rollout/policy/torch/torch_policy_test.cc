// The native policy against the torch one, over many shapes; on CUDA too where there is a device.
#include "rollout/policy/torch/torch_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/policy/native_policy.h"
#include "tests/rollout/policy/test_weights.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Policy> MakeTorch(const NetworkShape& shape, const std::string& device = "cpu") {
  auto policy = MakeTorchPolicy(shape, device);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *std::move(policy);
}

class BackendsTest : public ::testing::TestWithParam<NetworkShape> {};

void CheckNativeAgainstTorch(const NetworkShape& shape, const std::string& device) {
  for (auto* const* kernels = AvailableKernels(); *kernels != nullptr; ++kernels) {
    auto checking =
        MakeCheckingPolicy(MakeNativePolicy(shape, **kernels), MakeTorch(shape, device), 1e-5f);
    for (uint32_t seed = 1; seed <= 2; ++seed) {
      ASSERT_TRUE(checking->Load(RandomWeights(shape, seed)).ok());
      for (const uint32_t rows : {1u, 2u, 5u, 16u, 97u}) {
        std::vector<float> states(size_t{rows} * shape.state_width());
        std::vector<float> logits(size_t{rows} * shape.logits_width());
        std::vector<float> values(rows);
        // Recurrent states go on over a few steps; some inputs are far out, to be clipped.
        for (uint32_t step = 0; step < 4; ++step) {
          const std::vector<float> inputs =
              RandomFloats(size_t{rows} * shape.inputs, 6, 100 * seed + step);
          const absl::Status status = checking->Evaluate(
              {rows, inputs.data(), states.data(), logits.data(), values.data()});
          ASSERT_TRUE(status.ok()) << (*kernels)->name << ", " << rows << " rows: " << status;
        }
      }
    }
  }
}

TEST_P(BackendsTest, AgreeTo1e5) {
  CheckNativeAgainstTorch(GetParam(), "cpu");
  if (MakeTorchPolicy(GetParam(), "cuda").ok()) CheckNativeAgainstTorch(GetParam(), "cuda");
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, BackendsTest,
    ::testing::Values(TestShape(22, {6}, {64, 64}), TestShape(22, {6}, {64, 64}, 0, false),
                      TestShape(22, {6}, {64, 64}, 0, true, Activation::kRelu),
                      TestShape(1, {2}, {1}), TestShape(16, {6}, {}),
                      TestShape(16, {6}, {}, 0, false), TestShape(3, {3, 2, 17}, {5, 4}),
                      TestShape(100, {33}, {31, 32, 33}, 0, true, Activation::kRelu),
                      TestShape(700, {6}, {300, 129}), TestShape(8, {2, 2, 2, 2}, {17}, 0, false),
                      TestShape(22, {6}, {}, 1), TestShape(22, {6}, {64}, 16),
                      TestShape(22, {6, 3}, {40}, 37), TestShape(16, {6}, {128}, 160)),
    [](const auto& test) {
      const NetworkShape& shape = test.param;
      std::string name = "in" + std::to_string(shape.inputs) + "_heads";
      for (const uint32_t choices : shape.heads) name += "_" + std::to_string(choices);
      name += "_hidden";
      for (const uint32_t width : shape.config.hidden) name += "_" + std::to_string(width);
      if (shape.config.lstm > 0) name += "_lstm" + std::to_string(shape.config.lstm);
      if (!shape.config.separate_value) name += "_shared";
      if (shape.config.activation == Activation::kRelu) name += "_relu";
      return name;
    });

TEST(TorchPolicyTest, RefusesUnknownDevices) {
  const auto policy = MakeTorchPolicy(TestShape(3, {2}, {4}), "gpu7");
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(policy.status().message(), HasSubstr("device 'gpu7'"));
}

TEST(TorchPolicyTest, RefusesToActWithoutWeightsAndToLoadForeignOnes) {
  const NetworkShape shape = TestShape(3, {2}, {4});
  auto policy = MakeTorch(shape);
  std::vector<float> inputs(3), logits(2), values(1);
  const PolicyBatch batch{1, inputs.data(), nullptr, logits.data(), values.data()};
  EXPECT_EQ(policy->Evaluate(batch).code(), absl::StatusCode::kFailedPrecondition);
  Weights weights = SineWeights(shape);
  weights.mean.clear();
  EXPECT_THAT(policy->Load(weights).message(), HasSubstr("another network"));
  EXPECT_EQ(policy->version(), 0u);
}

TEST(TorchPolicyTest, KeepsACopyOfItsWeights) {
  const NetworkShape shape = TestShape(3, {2}, {4});
  auto policy = MakeTorch(shape);
  auto weights = std::make_unique<Weights>(SineWeights(shape));
  ASSERT_TRUE(policy->Load(*weights).ok());
  EXPECT_EQ(policy->version(), 1u);
  std::vector<float> inputs = CosineInputs(3);
  float logits[2], value, again[2], value_again;
  ASSERT_TRUE(policy->Evaluate({1, inputs.data(), nullptr, logits, &value}).ok());
  for (float& mean : weights->mean) mean = 9;
  for (float& parameter : weights->parameters) parameter = 9;
  weights.reset();
  ASSERT_TRUE(policy->Evaluate({1, inputs.data(), nullptr, again, &value_again}).ok());
  EXPECT_EQ(logits[0], again[0]);
  EXPECT_EQ(value, value_again);
}

}  // namespace
}  // namespace midlane
