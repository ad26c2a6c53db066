#include "preload/random.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

namespace {

std::vector<unsigned char> Fill(size_t bytes) {
  std::vector<unsigned char> out(bytes + 1, 0xAB);
  midlane_random_fill(out.data(), bytes);
  EXPECT_EQ(out.back(), 0xAB) << "wrote past the end";
  out.pop_back();
  return out;
}

TEST(Random, RepeatsWithItsSeed) {
  midlane_random_seed(42);
  auto first = Fill(37);
  auto second = Fill(37);
  EXPECT_NE(first, second);
  midlane_random_seed(42);
  EXPECT_EQ(Fill(37), first);
  EXPECT_EQ(Fill(37), second);
  midlane_random_seed(43);
  EXPECT_NE(Fill(37), first);
}

TEST(Random, ThreadsHaveStreamsOfTheirOwn) {
  midlane_random_seed(7);
  auto before = Fill(16);
  std::vector<unsigned char> other;
  std::thread([&] { other = Fill(16); }).join();
  auto after = Fill(16);
  EXPECT_NE(other, before);
  midlane_random_seed(7);
  EXPECT_EQ(Fill(16), before);
  EXPECT_EQ(Fill(16), after) << "another thread's use changed this thread's bytes";
}

TEST(Random, UsesAllBits) {
  midlane_random_seed(1);
  std::array<int, 256> count{};
  for (unsigned char byte : Fill(1 << 16)) count[byte]++;
  for (int value = 0; value < 256; value++) {
    EXPECT_GT(count[value], 150) << value;
    EXPECT_LT(count[value], 370) << value;
  }
}

}  // namespace
