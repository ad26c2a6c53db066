#include "bridge/setting.h"

#include <gtest/gtest.h>

namespace midlane {
namespace {

TEST(Setting, NumbersAreWrittenAsPeopleDo) {
  EXPECT_EQ(NumberText(0), "0");
  EXPECT_EQ(NumberText(-25), "-25");
  EXPECT_EQ(NumberText(1000000), "1000000");
  EXPECT_EQ(NumberText(0.25), "0.25");
  EXPECT_EQ(NumberText(1e300), "1e+300");
}

TEST(Setting, BoundsAreNamedInTheRefusal) {
  const SettingSpec spec{"strength", SettingKind::kInteger, "0", "delay", {}, 0, 2000000};
  EXPECT_TRUE(CheckSettingValue(spec, "2000000").ok());
  EXPECT_EQ(CheckSettingValue(spec, "2000001").message(),
            "setting 'strength' cannot be '2000001': give a whole number (0 to 2000000)");
}

}  // namespace
}  // namespace midlane
