#include "deploy/evaluation_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "rollout/experience.pb.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Spec TwoSides() {
  Spec spec;
  spec.environment = "ball";
  spec.agents = {"left", "right"};
  spec.metrics = {"won", "points_for", "points_against"};
  spec.frames_per_second = 50;
  return spec;
}

// Three matches from the left (won, won, cut) and one from the right (lost).
EvaluationResult Result() {
  OpponentScore score;
  score.opponent = "reduced";
  score.matches = {{11, 0, v1::MatchResult::WON, {1, 15, 3}, 1000, 0xa1},
                   {12, 0, v1::MatchResult::WON, {1, 15, 5}, 2000, 0xa2},
                   {13, 0, v1::MatchResult::CUT, {0, 4, 4}, 9000, 0xa3},
                   {11, 1, v1::MatchResult::LOST, {0, 2, 15}, 1000, 0xa4}};
  score.crashes = 1;
  score.first_crash = "blobby ended (signal 9)";
  EvaluationResult result;
  result.opponents = {score};
  result.decision_us_p50 = 12.5;
  return result;
}

Contestant Named(const std::string& name) {
  Contestant contestant;
  contestant.player.name = name;
  contestant.version = 41;
  return contestant;
}

TEST(EvaluationReport, CutMatchesAreNeverWon) {
  const Spec spec = TwoSides();
  const SideSummary left = Summarise(spec, Result().opponents[0], 0);
  EXPECT_EQ(left.won, 2u);
  EXPECT_EQ(left.cut, 1u);
  EXPECT_DOUBLE_EQ(left.win_rate, 2.0 / 3);
  EXPECT_DOUBLE_EQ(left.game_seconds, 12000 / 3.0 / 50);
  const SideSummary both = Summarise(spec, Result().opponents[0], -1);
  EXPECT_DOUBLE_EQ(both.win_rate, 0.5);
  EXPECT_LT(both.wilson_low, 0.5);
  EXPECT_GT(both.wilson_high, 0.5);
  EXPECT_DOUBLE_EQ(both.points_for, 9);
}

TEST(EvaluationReport, AnOpponentWithoutMatchesIsAllZero) {
  const SideSummary none = Summarise(TwoSides(), OpponentScore(), -1);
  EXPECT_EQ(none.win_rate, 0);
  EXPECT_EQ(none.game_seconds, 0);
}

TEST(EvaluationReport, TableNamesEverySide) {
  const std::string table = EvaluationTable(TwoSides(), Result());
  for (const char* part :
       {"reduced", "the first with: blobby ended (signal 9)", "left", "right", "both",
        "    2     0     0     1", "    0     1     0     0", "    2     1     0     1", "66.7 %",
        "p50 12.5 us", "games that died: 1", "cut: ended by a limit"}) {
    EXPECT_THAT(table, HasSubstr(part));
  }
}

TEST(EvaluationReport, ASideWithoutMatchesHasNoRates) {
  EvaluationResult result = Result();
  std::vector<MatchRecord>& matches = result.opponents[0].matches;
  matches.erase(std::remove_if(matches.begin(), matches.end(),
                               [](const MatchRecord& match) { return match.side == 1; }),
                matches.end());
  EXPECT_THAT(EvaluationTable(TwoSides(), result), HasSubstr("right  no match\n"));
}

TEST(EvaluationReport, JsonReplaysCompareByHash) {
  const Spec spec = TwoSides();
  EvaluationResult result = Result();
  const std::string json = EvaluationJson(spec, {Named("runs/x")}, EvaluationOptions(), result);
  EXPECT_EQ(CompareHashes(result, json), "");
  result.opponents[0].matches[1].hash = 1;
  EXPECT_THAT(CompareHashes(result, json), HasSubstr("seed 12 differs"));
  EXPECT_THAT(CompareHashes(Result(), "garbage"), HasSubstr("no result"));
  EXPECT_THAT(CompareHashes(EvaluationResult(), json), HasSubstr("none"));
}

TEST(EvaluationReport, JsonSaysWhatWasPlayedAndHow) {
  EvaluationOptions options;
  options.seed = 5000;
  options.frame_skip = 4;
  options.greedy = true;
  options.settings = {{"points_to_win", "15"}};
  const std::string json =
      EvaluationJson(TwoSides(), {Named("runs/x"), Named("reduced")}, options, Result());
  for (const char* const part :
       {R"("subject": "runs/x")", R"("version": 41)", R"("seed": 5000)", R"("frame_skip": 4)",
        R"("likeliest_action": true)", R"("points_to_win": "15")"}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
}

TEST(EvaluationReport, SaysWhereMatchesRepeat) {
  EvaluationResult result = Result();
  EXPECT_EQ(Summarise(TwoSides(), result.opponents[0], -1).distinct, 4u);
  EXPECT_THAT(EvaluationTable(TwoSides(), result), Not(HasSubstr("distinct")));
  result.opponents[0].matches[1].hash = 0xa1;
  EXPECT_EQ(Summarise(TwoSides(), result.opponents[0], 0).distinct, 2u);
  EXPECT_THAT(EvaluationTable(TwoSides(), result),
              HasSubstr("distinct matches: 3 of 4 against reduced;"));
}

TEST(EvaluationReport, CrossTableIsSquare) {
  const std::string table = CrossTable({"a", "bot"}, {{-1, 0.25}, {0.75, -1}});
  EXPECT_THAT(table, HasSubstr("25 %"));
  EXPECT_THAT(table, HasSubstr("75 %"));
  EXPECT_THAT(table, HasSubstr("-"));
}

TEST(EvaluationReport, CrossNotesCountMatchesAndRepeats) {
  EvaluationResult result = Result();
  const std::string notes = CrossNotes(TwoSides(), {"a", "reduced"}, {result});
  EXPECT_THAT(notes,
              HasSubstr(absl::StrCat(result.opponents[0].matches.size(), " matches a pair, from")));
  EXPECT_THAT(notes, HasSubstr("cut by a limit"));
  for (MatchRecord& match : result.opponents[0].matches) match.hash = 1;
  EXPECT_THAT(CrossNotes(TwoSides(), {"a", "reduced"}, {result}),
              HasSubstr(absl::StrCat("1 of ", result.opponents[0].matches.size(), " a against ",
                                     result.opponents[0].opponent)));
}

TEST(EvaluationReport, CrossJsonHasTheRatesAndEachPairsMatches) {
  const std::string json = CrossJson(TwoSides(), {Named("a"), Named("reduced")},
                                     EvaluationOptions(), {{-1, 0.5}, {0.25, -1}}, {Result()});
  for (const char* const part : {R"("contestants": [)", R"("subject": "a")", R"("name": "reduced")",
                                 R"("seed": 13)", "null", "0.25"}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
  EXPECT_THAT(json, HasSubstr(R"("stopped": false)"));
  EvaluationResult stopped = Result();
  stopped.stopped = true;
  for (OpponentScore& score : stopped.opponents) score.matches.clear();
  const std::string early = CrossJson(TwoSides(), {Named("a"), Named("reduced")},
                                      EvaluationOptions(), {{-1, -1}, {-1, -1}}, {stopped});
  EXPECT_THAT(early, HasSubstr(R"("stopped": true)"));
  EXPECT_THAT(early, HasSubstr(R"("win_rate": null)")) << "nothing played is no defeat";
}

}  // namespace
}  // namespace midlane
