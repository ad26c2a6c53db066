#include "preload/clock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

namespace {

constexpr uint64_t kMs = 1000000;

TEST(Clock, MovesOnlyByWaitsOfItsOwner) {
  midlane_clock_start(5000 * kMs, 0, 0);
  EXPECT_EQ(midlane_clock_read(), 5000 * kMs);
  EXPECT_EQ(midlane_clock_read(), 5000 * kMs) << "asking costs no time";
  midlane_clock_wait(3600ull * 1000 * kMs);
  EXPECT_EQ(midlane_clock_read(), 3605000 * kMs) << "an hour passed, and this test did not wait it";
  uint64_t before = midlane_clock_read();
  uint64_t real_before = midlane_real_now_ns();
  std::thread([] { midlane_clock_wait(30 * kMs); }).join();
  EXPECT_EQ(midlane_clock_read(), before) << "another thread's wait moved game time";
  EXPECT_GE(midlane_real_now_ns() - real_before, 30 * kMs) << "another thread's wait did not wait";
}

TEST(Clock, StepsWhenItsOwnerAsks) {
  midlane_clock_start(0, 2 * kMs, 0);
  EXPECT_EQ(midlane_clock_read(), 2 * kMs);
  EXPECT_EQ(midlane_clock_read(), 4 * kMs);
  uint64_t seen = 0;
  std::thread([&] { seen = midlane_clock_read(); }).join();
  EXPECT_EQ(seen, 4 * kMs);
  EXPECT_EQ(midlane_clock_peek(), 4 * kMs);
}

TEST(Clock, ChangesItsOwner) {
  midlane_clock_start(0, 0, 0);
  std::thread([] {
    midlane_clock_take();
    midlane_clock_wait(100000 * kMs);
  }).join();
  EXPECT_EQ(midlane_clock_read(), 100000 * kMs);
  midlane_clock_wait(1 * kMs);
  EXPECT_EQ(midlane_clock_read(), 100000 * kMs) << "the old owner still moves it";
}

TEST(Clock, StandsStillWhileItIsHeld) {
  midlane_clock_start(0, 0, 0);
  uint64_t before = midlane_real_now_ns();
  std::atomic<bool> held = false;
  std::thread other([&] {
    midlane_clock_hold(true);
    held = true;
    midlane_real_sleep_ns(40 * kMs);
    EXPECT_EQ(midlane_clock_peek(), 0u);
    midlane_clock_hold(false);
  });
  while (!held) std::this_thread::yield();
  midlane_clock_wait(5 * kMs);
  EXPECT_GE(midlane_real_now_ns() - before, 40 * kMs);
  EXPECT_EQ(midlane_clock_read(), 5 * kMs);
  other.join();
  midlane_clock_hold(true);
  midlane_clock_wait(5 * kMs);
  EXPECT_EQ(midlane_clock_read(), 10 * kMs) << "the owner cannot hold itself up";
  midlane_clock_hold(false);
}

TEST(Clock, PacesToRealTime) {
  uint64_t before = midlane_real_now_ns();
  midlane_clock_start(0, 0, 4);
  for (int i = 0; i < 20; i++) midlane_clock_wait(10 * kMs);
  EXPECT_EQ(midlane_clock_read(), 200 * kMs);
  EXPECT_GE(midlane_real_now_ns() - before, 49 * kMs) << "faster than four times real time";
}

TEST(Clock, SkippedTimeCostsNoRealTime) {
  midlane_clock_start(0, 0, 1);
  uint64_t before = midlane_real_now_ns();
  midlane_clock_skip(3600ull * 1000 * kMs);
  midlane_clock_wait(5 * kMs);
  EXPECT_EQ(midlane_clock_read(), 3600005 * kMs);
  EXPECT_LT(midlane_real_now_ns() - before, 3600ull * 1000 * kMs / 2) << "the hour was waited for";
}

TEST(Clock, StartsElsewhereForEachSeed) {
  std::set<uint64_t> starts;
  for (uint64_t seed = 0; seed < 200; seed++) {
    uint64_t start = midlane_clock_seeded_start(seed);
    EXPECT_EQ(start, midlane_clock_seeded_start(seed));
    EXPECT_GE(start, 1000 * kMs);
    EXPECT_EQ(start % kMs, 0u);
    EXPECT_LT(start / kMs, 1ull << 32) << "SDL_GetTicks would wrap";
    starts.insert(start);
  }
  EXPECT_EQ(starts.size(), 200u);
}

}  // namespace
