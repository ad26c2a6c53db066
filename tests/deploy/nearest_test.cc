#include "deploy/nearest.h"

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
}

}  // namespace
}  // namespace midlane
