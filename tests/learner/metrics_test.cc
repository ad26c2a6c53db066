#include "learner/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "learner/files.h"
#include "learner/json_writer.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

TEST(JsonWriterTest, WritesNestedValues) {
  JsonWriter json;
  json.BeginObject().Key("a").Number(1.5).Key("b").BeginArray().Integer(1).Bool(false);
  json.BeginObject().EndObject().EndArray().Key("c").String("q\"\\\n").EndObject();
  EXPECT_EQ(json.text(), R"({"a":1.5,"b":[1,false,{}],"c":"q\"\\\u000a"})");
}

TEST(JsonWriterTest, NumbersThatAreNotFiniteAreNull) {
  JsonWriter json;
  json.BeginArray().Number(NAN).Number(INFINITY).Number(-0.0).EndArray();
  EXPECT_EQ(json.text(), "[null,null,-0]");
}

TEST(MetricsTest, ALineHoldsOpponentsAndAccounts) {
  League league([] {
    LeagueOptions options;
    options.scripted = {{"reduced", "0"}};
    return options;
  }());
  league.Record(1, {Outcome::kWon, 100, {15, 3}});
  IterationMetrics m;
  m.iteration = 4;
  m.opponents = {{&league.entries()[1], 0.25}};
  m.metric_names = {"points_for", "points_against"};
  m.reward = {{"point_won", 0.5}};
  m.chunks_produced = 10;
  m.chunks_dropped = {{"stale", 2}};
  const std::string line = IterationJson(m, "iteration", "");
  EXPECT_THAT(line, HasSubstr(R"("event":"iteration")"));
  EXPECT_THAT(line, HasSubstr(R"("name":"reduced:0","kind":"scripted","share":0.25)"));
  EXPECT_THAT(line, HasSubstr(R"("metrics":{"points_for":15,"points_against":3})"));
  EXPECT_THAT(line, HasSubstr(R"("reward":{"point_won":0.5})"));
  EXPECT_THAT(line, HasSubstr(R"("dropped":{"stale":2})"));
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(MetricsTest, VerdictNamesTheLimit) {
  IterationMetrics m;
  EXPECT_THAT(Verdict(m), HasSubstr("no worker"));
  m.workers = 2;
  m.time_receive = 0.5;
  EXPECT_THAT(Verdict(m), HasSubstr("too early to say"));
  m.time_receive = 0;
  m.workers_credit = 0.4;
  EXPECT_EQ(Verdict(m), "workers wait for credit 40 %: the learner is the limit");
  m.workers_credit = 0.01;
  m.time_receive = 0.5;
  m.workers_games = 0.7;
  m.workers_policy = 0.2;
  EXPECT_THAT(Verdict(m), HasSubstr("the games are the limit"));
  m.workers_policy = 0.8;
  EXPECT_THAT(Verdict(m), HasSubstr("the workers' network is the limit"));
  m.time_receive = 0.02;
  EXPECT_THAT(Verdict(m), HasSubstr("balanced"));
}

TEST(MetricsTest, LogGoesOnAfterAHalfLine) {
  const std::string run = absl::StrCat(::testing::TempDir(), "/metrics_test_", getpid());
  std::filesystem::remove_all(run);
  std::filesystem::create_directories(run);
  ASSERT_EQ(WriteFileAtomically(run + "/metrics.jsonl", "{\"event\":\"start\"}\n{\"eve"),
            absl::OkStatus());
  auto log = MetricsLog::Open(run);
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ((*log)->Warning("x"), absl::OkStatus());
  EXPECT_EQ(*ReadFile(run + "/metrics.jsonl"),
            "{\"event\":\"start\"}\n{\"event\":\"warning\",\"text\":\"x\"}\n");
}

TEST(MetricsTest, ResidentBytesAreThere) { EXPECT_GT(ResidentBytes(), 1u << 20); }

}  // namespace
}  // namespace midlane
