#include "learner/running_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace midlane {
namespace {

TEST(RunningMomentsTest, MeanAndVarianceByHand) {
  RunningMoments moments(2);
  moments.Add({std::vector<float>{1, 10, 2, 10, 3, 10, 6, 10}});
  EXPECT_EQ(moments.count, 4);
  EXPECT_DOUBLE_EQ(moments.mean[0], 3);
  EXPECT_DOUBLE_EQ(moments.variance(0), (4 + 1 + 0 + 9) / 4.0);
  EXPECT_DOUBLE_EQ(moments.variance(1), 0);
}

TEST(RunningMomentsTest, PartsMergeToTheWhole) {
  std::vector<float> rows;
  for (int i = 0; i < 300; ++i) rows.push_back(1e4f + std::sin(0.7f * static_cast<float>(i)));
  RunningMoments whole(3);
  whole.Add(rows);
  RunningMoments parts(3), other(3);
  parts.Add(absl::MakeConstSpan(rows).subspan(0, 30));
  other.Add(absl::MakeConstSpan(rows).subspan(30, 3));
  other.Add(absl::MakeConstSpan(rows).subspan(33));
  parts.Merge(other);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(parts.mean[i], whole.mean[i], 1e-9);
    EXPECT_NEAR(parts.variance(i), whole.variance(i), 1e-9);
    EXPECT_GT(whole.variance(i), 0.1) << "a large mean must not swallow a small spread";
  }
}

TEST(RunningMomentsTest, AConstantInputIsNotBlownUp) {
  RunningMoments moments(2);
  std::vector<float> mean, inv_std;
  NormaliserOf(moments, &mean, &inv_std);
  EXPECT_EQ(mean, (std::vector<float>{0, 0}));
  EXPECT_EQ(inv_std, (std::vector<float>{1, 1}));
  moments.Add({std::vector<float>{5, 1, 5, 3}});
  NormaliserOf(moments, &mean, &inv_std);
  EXPECT_EQ(mean, (std::vector<float>{5, 2}));
  EXPECT_FLOAT_EQ(inv_std[0], static_cast<float>(1 / kDeviationMin));
  EXPECT_FLOAT_EQ(inv_std[1], 1);
}

// R over (1, 1 | 2) with gamma 0.5 and an end after the second: 1, 1.5, then 2.
TEST(ReturnDeviationTest, ByHandAndResetAtEnds) {
  ReturnDeviation deviation;
  EXPECT_EQ(deviation.deviation(), 1);
  deviation.Add({1, 1, 0}, 0, {std::vector<float>{1, 1, 2}}, {std::vector<uint8_t>{0, 1, 0}}, 0.5);
  const double mean = (1 + 1.5 + 2) / 3;
  const double variance =
      (std::pow(1 - mean, 2) + std::pow(1.5 - mean, 2) + std::pow(2 - mean, 2)) / 3;
  EXPECT_NEAR(deviation.deviation(), std::sqrt(variance), 1e-12);
}

TEST(ReturnDeviationTest, AStreamGoesOnInItsNextChunkOnly) {
  const std::vector<float> one = {1};
  const std::vector<uint8_t> goes_on = {0};
  ReturnDeviation whole, parts, gap;
  whole.Add({1, 1, 0}, 0, {std::vector<float>{1, 1}}, {std::vector<uint8_t>{0, 0}}, 0.5);
  parts.Add({1, 1, 0}, 0, one, goes_on, 0.5);
  parts.Add({1, 1, 0}, 1, one, goes_on, 0.5);
  EXPECT_DOUBLE_EQ(parts.deviation(), whole.deviation());
  gap.Add({1, 1, 0}, 0, one, goes_on, 0.5);
  gap.Add({1, 1, 0}, 2, one, goes_on, 0.5);  // a chunk between was lost
  gap.Add({1, 1, 1}, 1, one, goes_on, 0.5);  // another agent
  EXPECT_EQ(gap.deviation(), 1) << "all returns are 1";
}

}  // namespace
}  // namespace midlane
