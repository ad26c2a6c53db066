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

TEST(Setting, DescribesItsBounds) {
  const SettingSpec spec{"strength", SettingKind::kInteger, "0", "delay", {}, 0, 25};
  const EnvironmentInfo::Setting described = DescribeSetting(spec);
  EXPECT_TRUE(described.number);
  EXPECT_EQ(described.minimum, 0);
  EXPECT_EQ(described.maximum, 25);
  EXPECT_FALSE(DescribeSetting({"left", SettingKind::kText, "agent", "who"}).number);
  EXPECT_EQ(CheckSettingValue(spec, "26").message(),
            "setting 'strength' cannot be '26': give a whole number (0 to 25)");
}

}  // namespace
}  // namespace midlane
