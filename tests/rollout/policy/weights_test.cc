#include "rollout/policy/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/rollout/policy/test_weights.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

const NetworkShape kShape = TestShape(3, {3, 2}, {5, 4});

TEST(WeightsTest, F32ComesBackExactly) {
  Weights weights = SineWeights(kShape);
  weights.version = 0x0123456789ABCDEFu;
  weights.parameters[0] = -0.0f;
  weights.parameters[1] = std::numeric_limits<float>::denorm_min();
  const std::string blob = EncodeWeights(kShape, weights, WireDtype::kF32);
  EXPECT_EQ(blob.size(), 64 + 4 * (3 + 3 + ParameterCount(kShape)));
  EXPECT_EQ(blob.substr(0, 8), "MDLWGHT1");

  const auto decoded = DecodeWeights(kShape, blob);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->version, weights.version);
  EXPECT_EQ(decoded->mean, weights.mean);
  EXPECT_EQ(decoded->inv_std, weights.inv_std);
  EXPECT_EQ(0, std::memcmp(decoded->parameters.data(), weights.parameters.data(),
                           weights.parameters.size() * sizeof(float)));
}

TEST(WeightsTest, ParametersLieInPlaceForAMapping) {
  const Weights weights = SineWeights(kShape);
  const std::string blob = EncodeWeights(kShape, weights, WireDtype::kF32);
  float first;
  std::memcpy(&first, blob.data() + 64 + 4 * 6, sizeof(first));
  EXPECT_EQ(first, weights.parameters[0]);
}

TEST(WeightsTest, Bf16DecodesToWhatRoundToWireSays) {
  const Weights weights = SineWeights(kShape);
  const std::string blob = EncodeWeights(kShape, weights, WireDtype::kBf16);
  EXPECT_EQ(blob.size(), 64 + 4 * 6 + 2 * ParameterCount(kShape));
  const auto decoded = DecodeWeights(kShape, blob);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  std::vector<float> rounded = weights.parameters;
  RoundToWire(WireDtype::kBf16, &rounded);
  EXPECT_EQ(decoded->parameters, rounded);
  EXPECT_NE(rounded, weights.parameters);
  EXPECT_EQ(decoded->inv_std, weights.inv_std);  // statistics stay f32
  for (size_t i = 0; i < rounded.size(); ++i) {
    EXPECT_NEAR(rounded[i], weights.parameters[i], std::fabs(weights.parameters[i]) / 256);
  }
}

TEST(WeightsTest, Bf16RoundsToNearestEven) {
  // 8 bits of significand: 1 + 1/256 lies half-way and goes to the even 1; a little more goes up.
  std::vector<float> values = {1.0f + 1.0f / 256, 1.0f + 1.1f / 256, 1.0f + 3.0f / 256,
                               -1.0f - 1.0f / 256, 0.0f};
  RoundToWire(WireDtype::kBf16, &values);
  EXPECT_THAT(values,
              ::testing::ElementsAre(1.0f, 1.0f + 1.0f / 128, 1.0f + 2.0f / 128, -1.0f, 0.0f));
  std::vector<float> exact = {1.0f + 1.0f / 256};
  RoundToWire(WireDtype::kF32, &exact);
  EXPECT_EQ(exact[0], 1.0f + 1.0f / 256);
}

TEST(WeightsTest, EveryFlippedBitIsFound) {
  const std::string blob = EncodeWeights(kShape, SineWeights(kShape), WireDtype::kF32);
  for (size_t byte = 0; byte < blob.size(); ++byte) {
    for (int bit = 0; bit < 8; bit += 3) {
      std::string damaged = blob;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << bit));
      EXPECT_FALSE(DecodeWeights(kShape, damaged).ok()) << "byte " << byte << " bit " << bit;
    }
  }
  std::string damaged = blob;
  damaged.back() ^= 1;
  const auto decoded = DecodeWeights(kShape, damaged);
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(decoded.status().message(), HasSubstr("version 1 are corrupt"));
}

TEST(WeightsTest, EveryTruncationIsFound) {
  const std::string blob = EncodeWeights(kShape, SineWeights(kShape), WireDtype::kBf16);
  for (size_t size = 0; size < blob.size(); ++size) {
    const auto decoded = DecodeWeights(kShape, std::string_view(blob).substr(0, size));
    ASSERT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument) << size;
    ASSERT_THAT(decoded.status().message(), HasSubstr("truncated"));
  }
  EXPECT_THAT(DecodeWeights(kShape, blob + "x").status().message(), HasSubstr("tail"));
}

TEST(WeightsTest, ForeignBytesAndOtherShapesAreNamed) {
  EXPECT_THAT(DecodeWeights(kShape, std::string(200, 'x')).status().message(),
              HasSubstr("not Midlane weights"));

  const NetworkShape other = TestShape(3, {3, 2}, {5, 5});
  const std::string blob = EncodeWeights(other, SineWeights(other), WireDtype::kF32);
  const auto decoded = DecodeWeights(kShape, blob);
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(decoded.status().message(), HasSubstr("another network"));
  EXPECT_THAT(decoded.status().message(), HasSubstr(std::to_string(ParameterCount(other))));

  // The same counts, another meaning.
  const NetworkShape relu = TestShape(3, {3, 2}, {5, 4}, 0, true, Activation::kRelu);
  EXPECT_FALSE(DecodeWeights(kShape, EncodeWeights(relu, SineWeights(relu), WireDtype::kF32)).ok());

  std::string format = EncodeWeights(kShape, SineWeights(kShape), WireDtype::kF32);
  format[8] = 9;
  EXPECT_THAT(DecodeWeights(kShape, format).status().message(), HasSubstr("format 9"));
  format[8] = 1;
  format[12] = 7;
  EXPECT_THAT(DecodeWeights(kShape, format).status().message(), HasSubstr("dtype 7"));
}

TEST(WeightsTest, NumbersThatAreNotFiniteAreRefused) {
  Weights weights = SineWeights(kShape);
  weights.parameters[17] = std::numeric_limits<float>::quiet_NaN();
  for (const WireDtype dtype : {WireDtype::kF32, WireDtype::kBf16}) {
    const auto decoded = DecodeWeights(kShape, EncodeWeights(kShape, weights, dtype));
    EXPECT_THAT(decoded.status().message(), HasSubstr("parameters[17] is not finite"));
  }
  weights = SineWeights(kShape);
  weights.inv_std[2] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(
      DecodeWeights(kShape, EncodeWeights(kShape, weights, WireDtype::kF32)).status().message(),
      HasSubstr("inv_std[2]"));
}

TEST(WeightsTest, CheckWeightsNamesTheVector) {
  Weights weights = SineWeights(kShape);
  EXPECT_TRUE(CheckWeights(kShape, weights).ok());
  weights.parameters.pop_back();
  EXPECT_THAT(CheckWeights(kShape, weights).message(), HasSubstr("parameters"));
  weights = SineWeights(kShape);
  weights.mean.push_back(0);
  EXPECT_THAT(CheckWeights(kShape, weights).message(), HasSubstr("4 means"));
}

}  // namespace
}  // namespace midlane
