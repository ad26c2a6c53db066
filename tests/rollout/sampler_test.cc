#include "rollout/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace midlane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The reference implementation's demo (pcg-random.org): seed 42, stream 54.
TEST(RandomTest, IsPcg32) {
  Random random(42, 54);
  const uint32_t expected[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330,
                               0x83d2f293, 0xbfa4784b, 0xcbed606e};
  for (const uint32_t value : expected) EXPECT_EQ(random.Next(), value);
}

TEST(RandomTest, UniformStaysBelowOneAndFillsTheRange) {
  Random random(1, 2);
  float lowest = 1, highest = 0;
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const float x = random.Uniform();
    lowest = std::min(lowest, x);
    highest = std::max(highest, x);
    sum += x;
  }
  EXPECT_GE(lowest, 0.0f);
  EXPECT_LT(highest, 1.0f);
  EXPECT_LT(lowest, 1e-4f);
  EXPECT_GT(highest, 0.9999f);
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(RandomTest, BelowIsEven) {
  Random random(3, 4);
  int counts[3] = {};
  for (int i = 0; i < 30000; ++i) ++counts[random.Below(3)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 350);
  EXPECT_EQ(random.Below(1), 0u);
}

TEST(SamplerTest, FrequenciesFollowTheSoftmax) {
  const std::vector<uint32_t> heads = {4, 3};
  const float logits[] = {0.0f, 1.0f, -1.0f, 2.0f, 0.5f, 0.5f, -3.0f};
  Random random(7, 0);
  constexpr int kSamples = 200000;
  int counts[7] = {};
  for (int i = 0; i < kSamples; ++i) {
    int32_t actions[2];
    ASSERT_TRUE(SampleActions(heads, logits, nullptr, &random, actions).ok());
    ++counts[actions[0]];
    ++counts[4 + actions[1]];
  }
  double chi_square = 0;
  for (const auto& [first, choices] : {std::pair{0, 4}, std::pair{4, 3}}) {
    double sum = 0;
    for (int c = first; c < first + choices; ++c) sum += std::exp(logits[c]);
    for (int c = first; c < first + choices; ++c) {
      const double expected = kSamples * std::exp(logits[c]) / sum;
      chi_square += (counts[c] - expected) * (counts[c] - expected) / expected;
    }
  }
  EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom, 0.1 %
}

TEST(SamplerTest, HeadsAreIndependent) {
  const std::vector<uint32_t> heads = {2, 2};
  const float logits[] = {0, 0, 0, 0};
  Random random(8, 0);
  int both = 0;
  for (int i = 0; i < 40000; ++i) {
    int32_t actions[2];
    ASSERT_TRUE(SampleActions(heads, logits, nullptr, &random, actions).ok());
    both += actions[0] == actions[1];
  }
  EXPECT_NEAR(both, 20000, 400);
}

// Golden values: torch.log_softmax in float32 over logits with -inf where the mask is 0.
TEST(SamplerTest, LogProbabilitiesAreThoseOfTorch) {
  const std::vector<uint32_t> heads = {4, 3};
  const float logits[] = {0.3f, -1.7f, 2.25f, 0.9f, 12.0f, -3.0f, 11.5f};
  const uint8_t masks[] = {1, 1, 0, 1, 1, 1, 1};
  const double sum0 = std::exp(0.3f) + std::exp(-1.7f) + std::exp(0.9f);
  const double sum1 = std::exp(12.0) + std::exp(-3.0) + std::exp(11.5);
  for (int32_t a = 0; a < 4; ++a) {
    for (int32_t b = 0; b < 3; ++b) {
      const int32_t actions[] = {a, b};
      const auto log_prob = LogProbability(heads, logits, masks, actions);
      ASSERT_TRUE(log_prob.ok());
      if (a == 2) {
        EXPECT_EQ(*log_prob, -std::numeric_limits<float>::infinity());
      } else {
        EXPECT_NEAR(*log_prob, logits[a] - std::log(sum0) + logits[4 + b] - std::log(sum1), 2e-6);
      }
    }
  }
}

TEST(SamplerTest, SamplesCarryTheirOwnLogProbability) {
  const std::vector<uint32_t> heads = {5, 2};
  const float logits[] = {0.1f, 0.2f, -4.0f, 1.0f, 0.0f, -0.5f, 0.5f};
  const uint8_t masks[] = {1, 0, 1, 1, 1, 1, 1};
  Random random(9, 1);
  for (int i = 0; i < 1000; ++i) {
    int32_t actions[2];
    const auto sampled = SampleActions(heads, logits, masks, &random, actions);
    ASSERT_TRUE(sampled.ok());
    EXPECT_EQ(*sampled, *LogProbability(heads, logits, masks, actions));
  }
}

TEST(SamplerTest, MaskedChoicesAreNeverTakenHoweverLikely) {
  const std::vector<uint32_t> heads = {6};
  const float logits[] = {0.0f, 50.0f, 0.1f, 90.0f, -80.0f, NAN};
  const uint8_t masks[] = {1, 0, 1, 0, 1, 0};
  Random random(10, 0);
  for (int i = 0; i < 20000; ++i) {
    int32_t action;
    ASSERT_TRUE(SampleActions(heads, logits, masks, &random, &action).ok());
    ASSERT_TRUE(masks[action]);
  }
  int32_t action;
  ASSERT_TRUE(GreedyActions(heads, logits, masks, &action).ok());
  EXPECT_EQ(action, 2);
}

TEST(SamplerTest, ASingleAllowedChoiceIsCertain) {
  const std::vector<uint32_t> heads = {3};
  const float logits[] = {100.0f, -100.0f, 3.0f};
  const uint8_t masks[] = {0, 1, 0};
  Random random(11, 0);
  int32_t action;
  EXPECT_EQ(*SampleActions(heads, logits, masks, &random, &action), 0.0f);
  EXPECT_EQ(action, 1);
}

TEST(SamplerTest, GreedyTakesTheFirstOfEquals) {
  int32_t actions[2];
  const float logits[] = {1.0f, 3.0f, 3.0f, -1.0f, -1.0f};
  const auto log_prob = GreedyActions({3, 2}, logits, nullptr, actions);
  ASSERT_TRUE(log_prob.ok());
  EXPECT_THAT(actions, ElementsAre(1, 0));
  EXPECT_EQ(*log_prob, *LogProbability({3, 2}, logits, nullptr, actions));
}

TEST(SamplerTest, ExtremeLogitsStayExact) {
  const float logits[] = {1e30f, -1e30f, 1e30f};
  Random random(12, 0);
  int32_t action;
  const auto log_prob = SampleActions({3}, logits, nullptr, &random, &action);
  ASSERT_TRUE(log_prob.ok());
  EXPECT_NEAR(*log_prob, -std::log(2.0), 1e-6);
  EXPECT_NE(action, 1);
}

TEST(SamplerTest, BadRowsAreNamed) {
  Random random(13, 0);
  int32_t actions[2];
  const float logits[] = {0, 1, 2, 0, NAN};
  const uint8_t none[] = {1, 1, 1, 0, 0};
  EXPECT_THAT(SampleActions({3, 2}, logits, none, &random, actions).status().message(),
              HasSubstr("head 1 allows no choice"));
  EXPECT_THAT(SampleActions({3, 2}, logits, nullptr, &random, actions).status().message(),
              HasSubstr("logit 1 of action head 1 is not finite"));
  const float infinite[] = {0, INFINITY};
  EXPECT_FALSE(GreedyActions({2}, infinite, nullptr, actions).ok());
}

}  // namespace
}  // namespace midlane
