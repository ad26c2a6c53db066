// Who is drawn, above all where a past version's weights cannot be had.
#include "rollout/opponents.h"

#include "gtest/gtest.h"
#include "rollout/policy/policy.h"

namespace midlane {
namespace {

v1::Notice LatestAndOnePast() {
  v1::Notice notice;
  v1::Opponent* const latest = notice.add_opponents();
  latest->set_kind(v1::Opponent::LATEST);
  latest->set_id(7);
  v1::Opponent* const past = notice.add_opponents();
  past->set_kind(v1::Opponent::PAST);
  past->set_id(12);
  past->set_version(3);
  past->set_probability(1);
  return notice;
}

absl::StatusOr<Assignment> DrawWhereFetchingAnswers(const absl::Status& status) {
  Opponents opponents(
      2, /*seed=*/1, []() -> std::unique_ptr<Policy> { return nullptr; },
      [&](uint64_t, uint64_t, uint64_t) -> absl::StatusOr<std::unique_ptr<Frame>> {
        return status;
      });
  opponents.Update(LatestAndOnePast());
  return opponents.Draw();
}

TEST(OpponentsTest, TheLatestVersionStandsInWhereAPastOneCannotBeHadNow) {
  for (const absl::Status& status :
       {absl::NotFoundError("it left the pool"), absl::UnavailableError("the learner is away"),
        absl::DeadlineExceededError("another worker takes too long")}) {
    const absl::StatusOr<Assignment> drawn = DrawWhereFetchingAnswers(status);
    ASSERT_TRUE(drawn.ok()) << drawn.status();
    EXPECT_EQ(drawn->opponent, 7u);
    EXPECT_EQ(drawn->past, nullptr);
    EXPECT_TRUE(drawn->learns(0) && drawn->learns(1));
  }
}

TEST(OpponentsTest, DamagedWeightsAreAnError) {
  EXPECT_TRUE(absl::IsDataLoss(
      DrawWhereFetchingAnswers(absl::DataLossError("its XXH3 is wrong")).status()));
}

}  // namespace
}  // namespace midlane
