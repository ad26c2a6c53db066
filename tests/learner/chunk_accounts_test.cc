#include "learner/chunk_accounts.h"

#include <gtest/gtest.h>

namespace midlane {
namespace {

using Arrival = ChunkAccounts::Arrival;

uint64_t Of(const ChunkAccounts& accounts, Drop reason) {
  return accounts.totals().dropped[static_cast<size_t>(reason)].second;
}

void ExpectBalanced(const ChunkAccounts& accounts) {
  const ChunkAccounts::Totals totals = accounts.totals();
  uint64_t sum = totals.trained + totals.in_flight;
  for (const auto& [name, count] : totals.dropped) sum += count;
  EXPECT_EQ(totals.produced, sum);
}

TEST(ChunkAccountsTest, FollowsChunksToTheirEnds) {
  ChunkAccounts accounts;
  for (uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(accounts.Arrived(7, i, 1, 0, static_cast<uint32_t>(i)), Arrival::kFresh);
  }
  EXPECT_EQ(accounts.held(), 4u);
  accounts.Trained(2);
  accounts.Dropped(Drop::kStale, 1);
  accounts.Heard(7, 6);  // two are on their way
  EXPECT_EQ(accounts.totals().produced, 6u);
  EXPECT_EQ(accounts.totals().in_flight, 3u);
  EXPECT_EQ(Of(accounts, Drop::kStale), 1u);
  ExpectBalanced(accounts);
}

TEST(ChunkAccountsTest, TrainsAChunkOnce) {
  ChunkAccounts accounts;
  EXPECT_EQ(accounts.Arrived(7, 0, 1, 0, 0), Arrival::kFresh);
  EXPECT_EQ(accounts.Arrived(7, 0, 1, 0, 0), Arrival::kRepeated) << "the same message twice";
  EXPECT_EQ(accounts.Arrived(7, 1, 1, 0, 0), Arrival::kDuplicate) << "renumbered";
  EXPECT_EQ(accounts.Arrived(7, 2, 1, 1, 0), Arrival::kFresh) << "another agent";
  EXPECT_EQ(accounts.Arrived(7, 3, 2, 0, 0), Arrival::kFresh) << "another run";
  EXPECT_EQ(accounts.Arrived(8, 0, 1, 0, 0), Arrival::kFresh) << "another worker";
  EXPECT_EQ(accounts.totals().repeated, 1u);
  EXPECT_EQ(accounts.totals().produced, 5u);
  ExpectBalanced(accounts);
}

TEST(ChunkAccountsTest, AGapIsALossOfTheTransport) {
  ChunkAccounts accounts;
  accounts.Arrived(7, 0, 1, 0, 0);
  accounts.Arrived(7, 3, 1, 0, 3);
  EXPECT_EQ(Of(accounts, Drop::kLostTransport), 2u);
  ExpectBalanced(accounts);
}

TEST(ChunkAccountsTest, ADeadWorkersChunksAreLostUntilItReturns) {
  ChunkAccounts accounts;
  accounts.Arrived(7, 0, 1, 0, 0);
  accounts.Heard(7, 4);
  accounts.Gone(7, /*orderly=*/false);
  EXPECT_EQ(Of(accounts, Drop::kLostWorker), 3u);
  EXPECT_EQ(accounts.totals().workers_lost, 1u);
  ExpectBalanced(accounts);
  accounts.Arrived(7, 1, 1, 0, 1);  // it was only stopped
  EXPECT_EQ(Of(accounts, Drop::kLostWorker), 0u);
  EXPECT_EQ(accounts.totals().workers_lost, 0u);
  EXPECT_EQ(accounts.totals().in_flight, 4u);
  ExpectBalanced(accounts);
}

TEST(ChunkAccountsTest, AnOrderlyEndLeavesChunksUnsent) {
  ChunkAccounts accounts;
  accounts.Arrived(7, 0, 1, 0, 0);
  accounts.Heard(7, 3, /*unsent=*/2);
  accounts.Gone(7, /*orderly=*/true);
  EXPECT_EQ(Of(accounts, Drop::kUnsent), 2u);
  EXPECT_EQ(Of(accounts, Drop::kLostWorker), 0u);
  EXPECT_EQ(accounts.totals().workers_lost, 0u);
  ExpectBalanced(accounts);
}

TEST(ChunkAccountsTest, ALearnersOrderlyEndLosesNothing) {
  ChunkAccounts before;
  before.Arrived(7, 0, 1, 0, 0);
  before.Arrived(7, 1, 1, 0, 1);
  before.Heard(7, 4);
  before.Trained(1);
  before.Ended();
  EXPECT_EQ(Of(before, Drop::kUnsent), 3u) << "one was held, two were under way";
  EXPECT_EQ(before.totals().in_flight, 0u);
  ExpectBalanced(before);

  ChunkAccounts after;
  after.Restore(before.state());
  EXPECT_EQ(Of(after, Drop::kUnsent), 3u);
  EXPECT_EQ(Of(after, Drop::kLostLearner), 0u);
  EXPECT_EQ(Of(after, Drop::kLostWorker), 0u);
  after.Arrived(7, 5, 1, 0, 5);  // a worker that outlived the learner: what it sent meanwhile
  EXPECT_EQ(Of(after, Drop::kLostLearner), 3u);
  EXPECT_EQ(Of(after, Drop::kUnsent), 1u);
  ExpectBalanced(after);
}

TEST(ChunkAccountsTest, ARestartedLearnerCountsWhatItLost) {
  ChunkAccounts before;
  before.Arrived(7, 0, 1, 0, 0);
  before.Arrived(7, 1, 1, 0, 1);
  before.Trained(1);

  ChunkAccounts after;
  after.Restore(before.state());
  EXPECT_EQ(after.totals().trained, 1u);
  EXPECT_EQ(Of(after, Drop::kLostLearner), 1u) << "it was held";
  after.Arrived(7, 5, 1, 0, 5);  // 2, 3 and 4 were sent to the dead learner
  EXPECT_EQ(Of(after, Drop::kLostLearner), 4u);
  after.Arrived(7, 7, 1, 0, 7);
  EXPECT_EQ(Of(after, Drop::kLostTransport), 1u);
  ExpectBalanced(after);
}

}  // namespace
}  // namespace midlane
