#include "learner/batch.h"

#include <gtest/gtest.h>

#include <cmath>

namespace midlane {
namespace {

// Two terms, one chunk of three steps that ends, gamma 0.5, lambda 0.5, all by hand.
TEST(BatchTest, WeighsScalesAndAdvances) {
  Batch batch(BatchShape{1, 2, false, 1, 2, 0, 2});
  const std::vector<float> inputs = {1, 2, 3}, log_probs = {-1, -1, -1}, values = {0, 0, 0};
  const std::vector<float> terms = {1, 10, 0, 10, 2, 0}, bootstrap = {0, 0, 0};
  const std::vector<int32_t> actions = {0, 1, 0};
  const std::vector<uint8_t> ends = {0, 0, 1}, starts = {1, 0, 0};
  ChunkData chunk;
  chunk.steps = 3;
  chunk.versions = {{4, 2}, {5, 1}};
  chunk.inputs = inputs, chunk.log_probs = log_probs, chunk.values = values, chunk.terms = terms;
  chunk.bootstrap = bootstrap, chunk.actions = actions, chunk.ends = ends, chunk.starts = starts;
  batch.Append(chunk);
  EXPECT_EQ(batch.versions, (std::vector<uint64_t>{4, 4, 5}));
  ASSERT_EQ(batch.windows.size(), 2u);
  EXPECT_EQ(batch.windows[1].steps, 1u);

  PpoOptions options;
  options.gamma = 0.5;
  options.gae_lambda = 0.5;
  options.normalise_advantage = false;
  ReturnDeviation deviation;
  const BatchSummary summary = FinishBatch(options, {1, 0.1f}, &deviation, &batch);
  EXPECT_EQ(batch.rewards, (std::vector<float>{2, 1, 2}));
  EXPECT_DOUBLE_EQ(summary.terms[0], 1);
  EXPECT_NEAR(summary.reward, 5.0 / 3, 1e-7);
  EXPECT_EQ(summary.ended, 1u);
  // Discounted returns 2, 2, 3: deviation sqrt(2)/3.
  const double scale = 1 / (std::sqrt(2.0) / 3);
  EXPECT_NEAR(batch.advantages[2], 2 * scale, 1e-5);
  EXPECT_NEAR(batch.advantages[1], (1 + 0.25 * 2) * scale, 1e-5);
  EXPECT_NEAR(batch.returns[0], (2 + 0.25 * 1.5) * scale, 1e-5);

  batch.Clear();
  EXPECT_EQ(batch.steps(), 0u);
  batch.Append(chunk);
  options.normalise_advantage = true;
  options.normalise_reward = false;
  FinishBatch(options, {1, 0.1f}, &deviation, &batch);
  EXPECT_NEAR(batch.returns[2], 2, 1e-6);
  double sum = 0, squares = 0;
  for (const float a : batch.advantages) sum += a, squares += a * a;
  EXPECT_NEAR(sum, 0, 1e-5);
  EXPECT_NEAR(squares / 3, 1, 1e-5);
}

}  // namespace
}  // namespace midlane
