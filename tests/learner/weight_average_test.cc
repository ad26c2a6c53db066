// The mean of weights, against values computed by hand.
#include "learner/weight_average.h"

#include <gtest/gtest.h>

#include <cmath>

namespace midlane {
namespace {

TEST(WeightAverageTest, BeginsAsThePlainMean) {
  WeightAverage average(1e9);
  average.Add({1, 10}, 100, 100);
  average.Add({3, 20}, 100, 200);
  average.Add({8, 60}, 100, 300);
  EXPECT_NEAR(average.mean()[0], 4, 1e-6);
  EXPECT_NEAR(average.mean()[1], 30, 1e-5);
}

TEST(WeightAverageTest, ForgetsOverTheHorizon) {
  WeightAverage average(1000);
  average.Add({1}, 100, 1'000'000);
  average.Add({0}, 500, 1'000'500);
  EXPECT_NEAR(average.mean()[0], std::exp(-0.5), 1e-6);
  average.Add({0}, 1000, 1'001'500);
  EXPECT_NEAR(average.mean()[0], std::exp(-1.5), 1e-6);
}

TEST(WeightAverageTest, GoesOnFromWhatWasRestored) {
  WeightAverage one(1000), other(1000);
  one.Add({1, 2}, 300, 300);
  one.Add({2, 4}, 300, 600);
  other.Restore(one.mean());
  one.Add({5, 5}, 300, 900);
  other.Add({5, 5}, 300, 900);
  EXPECT_EQ(one.mean(), other.mean());
}

TEST(WeightAverageTest, NoHorizonNoMean) {
  WeightAverage average(0);
  average.Add({1}, 1, 1);
  EXPECT_TRUE(average.mean().empty());
}

}  // namespace
}  // namespace midlane
