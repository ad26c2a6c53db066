#include "deploy/option_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace midlane {
namespace {

TEST(OptionChecks, ReadsCountsAsPeopleWriteThem) {
  EXPECT_EQ(CountOfText("0"), 0u);
  EXPECT_EQ(CountOfText("20000000"), 20000000u);
  EXPECT_EQ(CountOfText("18446744073709551615"), ~uint64_t{0});
  EXPECT_EQ(CountOfText("1e6"), 1000000u);
  EXPECT_EQ(CountOfText("1.1M"), 1100000u);
  EXPECT_EQ(CountOfText("200k"), 200000u);
  EXPECT_EQ(CountOfText("2G"), 2000000000u);
  for (const char* const wrong : {"", "k", "1.5", "-1", "-2k", "1e30", "nan", "inf", "1x", "1kk"}) {
    EXPECT_EQ(CountOfText(wrong), std::nullopt) << wrong;
  }
}

TEST(OptionChecks, ACountIsCheckedAndBecomesDigits) {
  std::string word = "20M";
  EXPECT_EQ(Count(1)(word), "");
  EXPECT_EQ(word, "20000000");
  word = "0";
  EXPECT_EQ(Count(1, 256)(word), "'0' does not do: give a whole number from 1 to 256");
  word = "many";
  EXPECT_EQ(Count(1)(word),
            "'many' does not do: give a whole number of at least 1, like 200, 20k or 1.5M");
  EXPECT_EQ(word, "many");
}

TEST(OptionChecks, ANumberIsInItsRange) {
  std::string word = "0.5";
  EXPECT_EQ(InRange(0.0, 1.0)(word), "");
  word = "1.5";
  EXPECT_EQ(InRange(0.0, 1.0)(word), "'1.5' does not do: give a number from 0 to 1");
}

}  // namespace
}  // namespace midlane
