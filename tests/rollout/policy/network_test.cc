#include "rollout/policy/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/rollout/policy/test_weights.h"

namespace midlane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Names(const NetworkShape& shape) {
  std::vector<std::string> names;
  for (const WeightTensor& tensor : WeightLayout(shape)) names.push_back(tensor.name);
  return names;
}

TEST(NetworkTest, LaysOutSeparateTrunks) {
  const NetworkShape shape = TestShape(3, {3, 2}, {5, 4});
  EXPECT_THAT(Names(shape), ElementsAre("policy.0.weight", "policy.0.bias", "policy.1.weight",
                                        "policy.1.bias", "policy.head.weight", "policy.head.bias",
                                        "value.0.weight", "value.0.bias", "value.1.weight",
                                        "value.1.bias", "value.head.weight", "value.head.bias"));
  // Two trunks of 3*5+5 + 5*4+4, heads of 4*5+5 and 4*1+1.
  EXPECT_EQ(ParameterCount(shape), 2u * 44 + 25 + 5);
}

TEST(NetworkTest, LaysOutASharedTrunk) {
  const NetworkShape shape = TestShape(4, {2}, {6}, 0, false);
  EXPECT_THAT(Names(shape),
              ElementsAre("policy.0.weight", "policy.0.bias", "policy.head.weight",
                          "policy.head.bias", "value.head.weight", "value.head.bias"));
  EXPECT_EQ(ParameterCount(shape), 4u * 6 + 6 + 6 * 2 + 2 + 6 + 1);
}

TEST(NetworkTest, LaysOutAnLstmAndIgnoresSeparateValueThere) {
  const NetworkShape shape = TestShape(3, {2}, {4}, 8, true);
  EXPECT_THAT(Names(shape),
              ElementsAre("policy.0.weight", "policy.0.bias", "policy.head.weight",
                          "policy.head.bias", "value.head.weight", "value.head.bias",
                          "lstm.weight_ih", "lstm.weight_hh", "lstm.bias_ih", "lstm.bias_hh"));
  EXPECT_EQ(shape.state_width(), 16u);
  EXPECT_FALSE(shape.separate_value());
  EXPECT_EQ(ParameterCount(shape), 16u + 18 + 9 + 32 * 4 + 32 * 8 + 32 + 32);
  EXPECT_EQ(shape.Hash(), TestShape(3, {2}, {4}, 8, false).Hash());
}

TEST(NetworkTest, LayoutHasNoGaps) {
  size_t offset = 0;
  for (const WeightTensor& tensor : WeightLayout(TestShape(7, {6, 3}, {5, 9, 2}, 11))) {
    EXPECT_EQ(tensor.offset, offset) << tensor.name;
    offset += tensor.elements();
  }
  EXPECT_EQ(offset, ParameterCount(TestShape(7, {6, 3}, {5, 9, 2}, 11)));
}

TEST(NetworkTest, HashTellsEveryFieldApart) {
  const std::set<uint64_t> hashes = {
      TestShape(3, {4}, {5}).Hash(),
      TestShape(4, {4}, {5}).Hash(),
      TestShape(3, {5}, {5}).Hash(),
      TestShape(3, {2, 2}, {5}).Hash(),
      TestShape(3, {4}, {6}).Hash(),
      TestShape(3, {4}, {5, 5}).Hash(),
      TestShape(3, {4}, {}).Hash(),
      TestShape(3, {4}, {5}, 5).Hash(),
      TestShape(3, {4}, {5}, 0, false).Hash(),
      TestShape(3, {4}, {5}, 0, true, Activation::kRelu).Hash(),
  };
  EXPECT_EQ(hashes.size(), 10u);
}

TEST(NetworkTest, ValidationNamesTheField) {
  EXPECT_TRUE(ValidateNetworkConfig({}).ok());
  EXPECT_TRUE(ValidateNetworkConfig({{}, 0}).ok());
  EXPECT_THAT(ValidateNetworkConfig({{64, 0}, 0}).message(), HasSubstr("network.hidden[1] is 0"));
  EXPECT_THAT(ValidateNetworkConfig({{8193}, 0}).message(), HasSubstr("network.hidden[0]"));
  EXPECT_THAT(ValidateNetworkConfig({std::vector<uint32_t>(17, 8), 0}).message(),
              HasSubstr("17 layers"));
  EXPECT_THAT(ValidateNetworkConfig({{}, 10000}).message(), HasSubstr("network.lstm is 10000"));
  EXPECT_THAT(ValidateNetworkConfig({{}, 0, true, static_cast<Activation>(7)}).message(),
              HasSubstr("network.activation"));
}

TEST(NetworkTest, TakesWidthsFromTheSpec) {
  Spec spec;
  spec.tensors.push_back({"position", MIDLANE_DTYPE_F32, {4}});
  spec.tensors.push_back({"touches", MIDLANE_DTYPE_I32, {}});
  spec.tensors.push_back({"allowed", MIDLANE_DTYPE_U8, {6}, 0, 1, 0, /*masks_head=*/0});
  spec.heads.push_back({"move", 6, /*mask_tensor=*/2});
  spec.heads.push_back({"jump", 2});
  const NetworkShape shape = MakeNetworkShape(spec, {{32}, 16});
  EXPECT_EQ(shape.inputs, 5u);
  EXPECT_THAT(shape.heads, ElementsAre(6, 2));
  EXPECT_EQ(shape.logits_width(), 8u);
  EXPECT_THAT(shape.config.hidden, ElementsAre(32));
  EXPECT_EQ(shape.config.lstm, 16u);
}

}  // namespace
}  // namespace midlane
