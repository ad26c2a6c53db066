#include "deploy/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace midlane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kLine[] =
    R"({"event":"iteration","iteration":7,"version":8,"timesteps":1234567,"seconds":61.5,)"
    R"("timesteps_per_s":71204.4,"game_speed":1910.2,"staleness_mean":0.62,"sample_reuse":4,)"
    R"("opponents":[{"name":"latest","kind":"latest","recent_matches":90,"recent_win_rate":0.5},)"
    R"({"name":"reduced:0","kind":"scripted","recent_matches":100,"recent_win_rate":0.93},)"
    R"({"name":"hyp014:0","kind":"scripted","recent_matches":12,"recent_win_rate":1.0}],)"
    R"("workers":{"count":1,"restarts":2,"lost":1,"last_error":"x"},"verdict":"games are the limit",)"
    R"("chunks":{"produced":1000,"trained":900,"in_flight":30,"dropped":{"stale":70,"corrupt":0}}})";

MetricsLine Parsed() {
  MetricsLine line;
  EXPECT_TRUE(ParseMetricsLine(kLine, &line));
  return line;
}

TEST(Progress, ReadsMetrics) {
  const MetricsLine line = Parsed();
  EXPECT_EQ(line.event, "iteration");
  EXPECT_EQ(line.timesteps, 1234567u);
  EXPECT_EQ(line.opponents[1].recent_win_rate, 0.93);
  EXPECT_EQ(line.chunks_dropped.at("stale"), 70u);
  EXPECT_EQ(line.verdict, "games are the limit");
}

TEST(Progress, SkipsWhatIsNoMetrics) {
  MetricsLine line;
  EXPECT_FALSE(ParseMetricsLine("", &line));
  EXPECT_FALSE(ParseMetricsLine("{\"event\":", &line));
  EXPECT_FALSE(ParseMetricsLine("[1]", &line));
  EXPECT_TRUE(ParseMetricsLine(R"({"event":3,"opponents":7,"chunks":[],"timesteps":-1})", &line));
  EXPECT_EQ(line.timesteps, 0u);
}

TEST(Progress, FollowsAFileByWholeLines) {
  const std::string path = ::testing::TempDir() + "/midlane_progress_test.jsonl";
  std::ofstream file(path);
  MetricsFollower follower(path);
  EXPECT_THAT(follower.Poll(), IsEmpty());
  file << "{\"event\":\"start\"}\nbroken\n{\"event\":\"iter" << std::flush;
  EXPECT_EQ(follower.Poll().size(), 1u);
  file << "ation\"}\n" << std::flush;
  const auto rest = follower.Poll();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].event, "iteration");
  EXPECT_THAT(MetricsFollower("/nowhere/x").Poll(), IsEmpty());
}

TEST(Progress, MilestonesComeOnceAndNeedMatches) {
  Ladder ladder;
  const auto reached = ladder.Reached(Parsed());
  ASSERT_EQ(reached.size(), 1u);
  EXPECT_THAT(reached[0], HasSubstr("reduced:0"));
  EXPECT_THAT(reached[0], HasSubstr("93 %"));
  EXPECT_THAT(ladder.Reached(Parsed()), IsEmpty());
}

TEST(Progress, OneLineTellsHowItGoes) {
  Config config;
  config.learner.seconds_max = 300;
  const std::string line = ProgressLine(Parsed(), config);
  for (const char* part : {"1.23M timesteps", "71,204/s", "1,910x", "reduced:0 93%", "1/2",
                           "staleness 0.6", "reuse 4.0", "restarts 3", "left 3:5"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
  EXPECT_THAT(ProgressLine(Parsed(), Config()), HasSubstr("trained 1:0"));
  EXPECT_THAT(ProgressLine(MetricsLine(), Config()), Not(HasSubstr("beats")));
}

TEST(Progress, AccountsForEveryChunk) {
  EXPECT_EQ(AccountingLine(Parsed()),
            "1,000 chunks produced = 900 trained + 70 dropped (stale 70) + 30 in flight");
}

TEST(Progress, ShortNumbers) {
  EXPECT_EQ(ShortCount(950), "950");
  EXPECT_EQ(ShortCount(12345), "12.3k");
  EXPECT_EQ(ShortCount(4.56e9), "4.56G");
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(1234567), "1,234,567");
  EXPECT_EQ(ShortDuration(187), "3:07");
  EXPECT_EQ(ShortDuration(7209), "2:00:09");
}

TEST(Progress, TheRateIsThatBetweenTwoLines) {
  MetricsLine before, now;
  now.iteration = 9;
  now.timesteps = 30000;
  now.seconds = 12;
  now.timesteps_per_s = 77;
  EXPECT_EQ(RateSince(before, now), 77) << "nothing was shown before";
  before.iteration = 4;
  before.timesteps = 10000;
  before.seconds = 2;
  EXPECT_EQ(RateSince(before, now), 2000);
  before.seconds = 12;
  EXPECT_EQ(RateSince(before, now), 77) << "no time between";
}

}  // namespace
}  // namespace midlane
