#include "learner/gae.h"

#include <gtest/gtest.h>

#include <vector>

#include "learner/learner.h"

namespace midlane {
namespace {

struct Result {
  std::vector<float> advantages, returns;
};

Result Gae(const std::vector<float>& rewards, const std::vector<float>& values,
           const std::vector<uint8_t>& ends, const std::vector<float>& bootstrap, double gamma,
           double lambda) {
  Result result{std::vector<float>(rewards.size()), std::vector<float>(rewards.size())};
  GeneralisedAdvantages({rewards, values, ends, bootstrap}, gamma, lambda,
                        absl::MakeSpan(result.advantages), absl::MakeSpan(result.returns));
  return result;
}

// By hand, gamma 0.5, lambda 0.5:
//   delta_2 = 3 + 0.5 * 8 - 30 = -23
//   delta_1 = 2 + 0.5 * 30 - 20 = -3,      A_1 = -3 + 0.25 * -23 = -8.75
//   delta_0 = 1 + 0.5 * 20 - 10 = 1,       A_0 = 1 + 0.25 * -8.75 = -1.1875
TEST(GaeTest, BootstrapsTheLastStepOfAChunkThatGoesOn) {
  const Result r = Gae({1, 2, 3}, {10, 20, 30}, {0, 0, 0}, {0, 0, 8}, 0.5, 0.5);
  EXPECT_EQ(r.advantages, (std::vector<float>{-1.1875f, -8.75f, -23}));
  EXPECT_EQ(r.returns, (std::vector<float>{8.8125f, 11.25f, 7}));
}

// A terminated step has no future, whatever stands in bootstrap; nothing flows back across it.
//   A_2 = 3 + 0.5 * 8 - 30 = -23;  A_1 = 2 - 20 = -18;  A_0 = 1 + 10 - 10 + 0.25 * -18 = -3.5
TEST(GaeTest, TerminationHasNoFuture) {
  const Result r = Gae({1, 2, 3}, {10, 20, 30}, {0, 1, 0}, {0, 99, 8}, 0.5, 0.5);
  EXPECT_EQ(r.advantages, (std::vector<float>{-3.5f, -18, -23}));
}

// A truncated step goes on in the value of what followed, and cuts the recursion.
//   A_1 = 2 + 0.5 * 6 - 20 = -15;  A_0 = 1 + 10 - 10 + 0.25 * -15 = -2.75
TEST(GaeTest, TruncationBootstrapsAndCuts) {
  const Result r = Gae({1, 2, 3}, {10, 20, 30}, {0, 2, 0}, {0, 6, 8}, 0.5, 0.5);
  EXPECT_EQ(r.advantages, (std::vector<float>{-2.75f, -15, -23}));
}

TEST(GaeTest, LastStepTerminated) {
  const Result r = Gae({1}, {10}, {1}, {50}, 0.9, 0.9);
  EXPECT_EQ(r.advantages, (std::vector<float>{-9}));
  EXPECT_EQ(r.returns, (std::vector<float>{1}));
}

TEST(ScheduleTest, FallsLinearlyAndStays) {
  const Schedule falling{10, 2, 4};
  EXPECT_EQ(falling.At(0), 10);
  EXPECT_EQ(falling.At(1), 8);
  EXPECT_EQ(falling.At(3), 4);
  EXPECT_EQ(falling.At(4), 2);
  EXPECT_EQ(falling.At(1000), 2);
  const Schedule constant{7, 3, 0};
  EXPECT_EQ(constant.At(0), 7);
  EXPECT_EQ(constant.At(1000), 7);
}

}  // namespace
}  // namespace midlane
