#include "preload/skip_functions.h"

#include <gtest/gtest.h>

#include <cstring>

namespace {

int drawn = 0;

// Functions of the executable that nobody exports: found in its symbol table.
extern "C" __attribute__((noinline, noclone)) int midlane_test_draw(int sprites) {
  drawn += sprites;
  return drawn + 1;
}

extern "C" __attribute__((noinline, noclone)) int midlane_test_think(int moves) {
  drawn -= moves;
  return drawn - 1;
}

extern "C" __attribute__((noinline, noclone)) int midlane_test_smoke(int puffs) {
  drawn += 100 * puffs;
  return drawn;
}

midlane_description Description(uint32_t render_every) {
  midlane_description description = {};
  strcpy(description.skip_function[0].name, "midlane_test_draw");
  strcpy(description.skip_function[1].name, "midlane_test_no_such_function");
  strcpy(description.skip_function[2].name, "midlane_test_smoke");
  description.skip_function[2].always = true;
  description.skip_functions = 3;
  description.render_every = render_every;
  return description;
}

// The code is the process's: one test walks through its states in order.
TEST(SkipFunctions, ReturnsZeroOnlyWhereNothingIsDrawn) {
  char missing[512] = "untouched";
  const midlane_description watching = Description(1);
  midlane_skip_functions(&watching, missing, sizeof(missing));
  EXPECT_STREQ(missing, "");
  EXPECT_EQ(midlane_test_draw(3), 4);
  EXPECT_EQ(midlane_test_smoke(1), 0) << "dropped in either case";

  const midlane_description blind = Description(0);
  midlane_skip_functions(&blind, missing, sizeof(missing));
  EXPECT_STREQ(missing, "midlane_test_no_such_function");
  EXPECT_EQ(midlane_test_draw(3), 0);
  EXPECT_EQ(drawn, 3) << "skipped: nothing was drawn";
  EXPECT_EQ(midlane_test_think(1), 1) << "what is not named goes on";
}

}  // namespace
