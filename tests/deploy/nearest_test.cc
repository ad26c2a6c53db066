#include "deploy/nearest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace midlane {
namespace {

TEST(Nearest, EditDistanceIsLevenshteins) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("epoch", "epochs"), 1u);
}

TEST(Nearest, HintsAtTheNearestOrListsWhatThereIs) {
  EXPECT_EQ(NearestHint("blobbi", {"null", "blobby"}), "; did you mean blobby?");
  EXPECT_EQ(NearestHint("zzzzzzzzz", {"null", "blobby"}), "; known: null, blobby");
  EXPECT_EQ(NearestHint("x", {}), "");
  const std::vector<std::string> many(13, "aaaaaaaa");
  EXPECT_THAT(NearestHint("z", many), testing::EndsWith("aaaaaaaa, ..."));
  EXPECT_THAT(NearestHint("z", many, "x --help"), testing::EndsWith(", ... (all: x --help)"));
}

}  // namespace
}  // namespace midlane
