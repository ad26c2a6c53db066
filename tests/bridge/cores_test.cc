// Cores: a pinned thread, and what it starts, may use one alone; others keep theirs.
#include "bridge/cores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace midlane {
namespace {

TEST(Cores, APinnedThreadHasOneAndLeavesTheOthersAlone) {
  const std::vector<int> all = AvailableCores();
  ASSERT_FALSE(all.empty());
  for (const int core : all) {
    std::vector<int> pinned, started;
    std::thread([&] {
      PinToCore(core);
      pinned = AvailableCores();
      std::thread([&] { started = AvailableCores(); }).join();
    }).join();
    EXPECT_THAT(pinned, testing::ElementsAre(core));
    EXPECT_EQ(started, pinned);
  }
  EXPECT_EQ(AvailableCores(), all);
}

TEST(Cores, AForeignCoreChangesNothing) {
  std::thread([] {
    const std::vector<int> before = AvailableCores();
    PinToCore(CPU_SETSIZE - 1);
    EXPECT_EQ(AvailableCores(), before);
  }).join();
}

}  // namespace
}  // namespace midlane
