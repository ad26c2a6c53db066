#include "learner/league.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace midlane {
namespace {

void Play(League* league, uint32_t id, Outcome outcome, int times = 1) {
  for (int i = 0; i < times; ++i) ASSERT_TRUE(league->Record(id, {outcome, 100, {1.0f}}));
}

const LeagueEntry& Entry(const League& league, size_t index) { return league.entries()[index]; }

LeagueOptions WithBots(double share) {
  LeagueOptions options;
  options.scripted_share = share;
  options.scripted = {{"weak", "0"}, {"strong", "0"}};
  return options;
}

TEST(LeagueTest, AloneItMeetsOnlyItself) {
  League league(LeagueOptions{});
  EXPECT_EQ(league.Shares(), (std::vector<double>{1.0}));
}

TEST(LeagueTest, SharesOfLatestPastAndScripted) {
  LeagueOptions options = WithBots(0.5);
  options.scripted_by_loss_rate = false;
  League league(options);
  EXPECT_EQ(league.Shares(), (std::vector<double>{0.5, 0.25, 0.25}));
  league.AddPast(10, 100, 1);
  league.AddPast(20, 100, 2);
  const std::vector<double> shares = league.Shares();
  EXPECT_NEAR(shares[0], 0.5 * 0.8, 1e-12);
  EXPECT_NEAR(shares[3], 0.5 * 0.2 / 2, 1e-12);
  EXPECT_NEAR(shares[4], 0.5 * 0.2 / 2, 1e-12);
  EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1, 1e-12);
}

// Appendix N by hand: two members of equal quality, p = 1/2, N = 2: a win costs eta / (2 / 2) =
// 0.01.
TEST(LeagueTest, AWinLowersQualityByEtaOverNp) {
  League league(LeagueOptions{});
  league.AddPast(10, 100, 1);
  league.AddPast(20, 100, 2);
  const uint32_t first = Entry(league, 1).id;
  Play(&league, first, Outcome::kWon);
  EXPECT_NEAR(Entry(league, 1).quality, -0.01, 1e-12);
  EXPECT_EQ(Entry(league, 2).quality, 0);
  // p_1 = e^-0.01 / (e^-0.01 + 1)
  const double p = std::exp(-0.01) / (std::exp(-0.01) + 1);
  EXPECT_NEAR(league.Shares()[1], 0.2 * p, 1e-12);
  Play(&league, first, Outcome::kWon);
  EXPECT_NEAR(Entry(league, 1).quality, -0.01 - 0.01 / (2 * p), 1e-12);
  Play(&league, first, Outcome::kLost);
  Play(&league, first, Outcome::kCut);
  EXPECT_NEAR(Entry(league, 1).quality, -0.01 - 0.01 / (2 * p), 1e-12) << "only wins count";
}

TEST(LeagueTest, ANewcomerHasTheHighestQuality) {
  League league(LeagueOptions{});
  league.AddPast(10, 100, 1);
  Play(&league, Entry(league, 1).id, Outcome::kWon, 5);
  EXPECT_NEAR(Entry(league, 1).quality, -0.05, 1e-12) << "alone N p = 1";
  league.AddPast(20, 100, 2);
  EXPECT_NEAR(Entry(league, 2).quality, -0.05, 1e-12);
}

TEST(LeagueTest, TheWeakestLeavesAFullPool) {
  LeagueOptions options;
  options.pool_max = 2;
  League league(options);
  EXPECT_FALSE(league.AddPast(10, 100, 1));
  EXPECT_FALSE(league.AddPast(20, 100, 2));
  const uint32_t second = Entry(league, 2).id;
  Play(&league, second, Outcome::kWon);
  EXPECT_EQ(league.AddPast(30, 100, 3), 20u);
  EXPECT_EQ(Entry(league, 1).version, 10u);
  EXPECT_EQ(Entry(league, 2).version, 30u);
  EXPECT_FALSE(league.Record(second, {Outcome::kWon, 1, {}})) << "it is gone, its id unused";
  EXPECT_EQ(league.AddPast(40, 100, 4), 10u) << "of equals the oldest";
}

// Loss rates with a prior of two lost matches: weak (18 + 2) wins of 18 -> 2/20, strong 20/20.
TEST(LeagueTest, ScriptedSharesFollowTheLossRate) {
  League league(WithBots(0.5));
  EXPECT_EQ(league.Shares()[1], league.Shares()[2]) << "unknown: alike";
  Play(&league, Entry(league, 1).id, Outcome::kWon, 18);
  Play(&league, Entry(league, 2).id, Outcome::kLost, 9);
  Play(&league, Entry(league, 2).id, Outcome::kCut, 9);
  const double weak = 2.0 / 20 + League::kLossRateFloor, strong = 1 + League::kLossRateFloor;
  EXPECT_NEAR(league.Shares()[1], 0.5 * weak / (weak + strong), 1e-12);
  EXPECT_NEAR(league.Shares()[2], 0.5 * strong / (weak + strong), 1e-12);
}

TEST(LeagueTest, LadderMeetsABotOnceTheOneBeforeIsBeaten) {
  LeagueOptions options = WithBots(0.5);
  options.scripted_ladder = true;
  League league(options);
  const uint32_t lower = Entry(league, 1).id, upper = Entry(league, 2).id;
  EXPECT_EQ(league.Shares(), (std::vector<double>{0.5, 0.5, 0.0}));
  Play(&league, lower, Outcome::kWon, League::kBeatenMatches - 1);
  EXPECT_EQ(league.Shares()[2], 0.0) << "too few matches";
  Play(&league, lower, Outcome::kWon);
  EXPECT_GT(league.Shares()[2], league.Shares()[1]) << "met now, and lost to most";
  Play(&league, upper, Outcome::kLost);
  Play(&league, lower, Outcome::kLost, 50);
  EXPECT_GT(league.Shares()[2], 0.0) << "once met, always met";
  EXPECT_NEAR(league.Shares()[1] + league.Shares()[2], 0.5, 1e-12);
}

// Shares 1/2, 1/4, 1/4 of game time; matches of 1000, 100 and (unknown, the mean of both) 550
// frames: weights 1/2000, 1/400, 1/2200.
TEST(LeagueTest, LongMatchesAreDrawnLessOften) {
  LeagueOptions options = WithBots(0.5);
  options.scripted_by_loss_rate = false;
  League league(options);
  EXPECT_EQ(league.MatchProbabilities(), league.Shares()) << "no length is known";
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(league.Record(0, {Outcome::kWon, 5000, {}})) << "too long ago to count";
  }
  for (size_t i = 0; i < Tally::kLengthMax; ++i) {
    ASSERT_TRUE(league.Record(0, {Outcome::kWon, 1000, {}}));
    ASSERT_TRUE(league.Record(Entry(league, 1).id, {Outcome::kWon, 100, {}}));
  }
  const double sum = 1.0 / 2000 + 1.0 / 400 + 1.0 / 2200;
  const std::vector<double> p = league.MatchProbabilities();
  EXPECT_NEAR(p[0], 1.0 / 2000 / sum, 1e-12);
  EXPECT_NEAR(p[1], 1.0 / 400 / sum, 1e-12);
  EXPECT_NEAR(p[2], 1.0 / 2200 / sum, 1e-12);
}

TEST(LeagueTest, TallyKeepsASlidingWindow) {
  Tally tally;
  for (int i = 0; i < 100; ++i) tally.Add({Outcome::kLost, 10, {0, 2}});
  for (int i = 0; i < 20; ++i) tally.Add({Outcome::kWon, 30, {1, 4}});
  EXPECT_EQ(tally.matches(), 120u);
  EXPECT_EQ(tally.recent.size(), Tally::kRecentMax);
  EXPECT_DOUBLE_EQ(tally.recent_win_rate(), 0.5);
  EXPECT_DOUBLE_EQ(tally.recent_win_rate(25), 0.8);
  EXPECT_DOUBLE_EQ(tally.recent_metric(1), 3);
  EXPECT_DOUBLE_EQ(tally.recent_frames(), 20);
}

TEST(LeagueTest, BeatsNeedsAFullWindowAgainstEveryBot) {
  League league(WithBots(0.5));
  EXPECT_FALSE(league.Beats(0.5));
  Play(&league, Entry(league, 1).id, Outcome::kWon, Tally::kRecentMax);
  Play(&league, Entry(league, 2).id, Outcome::kWon, Tally::kRecentMax - 1);
  EXPECT_FALSE(league.Beats(0.5));
  Play(&league, Entry(league, 2).id, Outcome::kLost);
  EXPECT_TRUE(league.Beats(0.5));
  EXPECT_FALSE(league.Beats(0.99));
  EXPECT_FALSE(League(LeagueOptions{}).Beats(0.0)) << "no bots, no verdict";
}

TEST(LeagueTest, RestoresAndFollowsChangedOptions) {
  League before(WithBots(0.5));
  before.AddPast(10, 100, 77);
  Play(&before, Entry(before, 1).id, Outcome::kWon, 3);
  Play(&before, 0, Outcome::kDrawn);

  LeagueOptions changed = WithBots(0.5);
  changed.scripted = {{"new", ""}, {"weak", "0"}};  // "strong" is no longer asked for
  League after(changed);
  after.Restore(before.state());
  ASSERT_EQ(after.entries().size(), 4u);
  EXPECT_EQ(Entry(after, 0).tally.drawn, 1u);
  EXPECT_EQ(Entry(after, 1).name(), "new");
  EXPECT_EQ(Entry(after, 2).name(), "weak:0");
  EXPECT_EQ(Entry(after, 2).tally.won, 3u);
  EXPECT_EQ(Entry(after, 3).hash, 77u);
  std::vector<uint32_t> ids;
  for (const LeagueEntry& entry : after.entries()) ids.push_back(entry.id);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end()) << "ids are unique";
}

}  // namespace
}  // namespace midlane
