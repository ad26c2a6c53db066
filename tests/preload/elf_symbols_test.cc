#include "preload/elf_symbols.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

extern "C" void midlane_elf_test_marker(void) {}

std::vector<unsigned char> Self() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::set<std::string> Names(const std::vector<unsigned char>& image) {
  std::set<std::string> names;
  midlane_elf_visit(
      image.data(), image.size(),
      [](const char* name, uint64_t, uint64_t, void* data) {
        static_cast<std::set<std::string>*>(data)->insert(name);
      },
      &names);
  return names;
}

TEST(ElfSymbols, FindsFunctionsOfThisProgram) {
  midlane_elf_test_marker();
  std::vector<unsigned char> image = Self();
  std::set<std::string> names = Names(image);
  EXPECT_TRUE(names.count("midlane_elf_visit"));
  EXPECT_TRUE(names.count("midlane_elf_test_marker"));
  EXPECT_FALSE(names.count("midlane_elf_no_such_function"));
  EXPECT_TRUE(midlane_elf_mentions(image.data(), image.size(), "a constant of this test"));
  std::string absent = "no such";
  absent += " constant anywhere";
  EXPECT_FALSE(midlane_elf_mentions(image.data(), image.size(), absent.c_str()));
}

TEST(ElfSymbols, SurvivesDamagedFiles) {
  const std::vector<unsigned char> image = Self();
  std::mt19937 random(1);
  for (size_t bytes : {0, 1, 16, 63, 64, 4096}) {
    Names({image.begin(), image.begin() + static_cast<long>(bytes)});
  }
  // The header and the section table, which stands last, hold all offsets.
  for (int round = 0; round < 300; round++) {
    std::vector<unsigned char> bad = image;
    for (int i = 0; i < 4; i++) {
      bad[random() % 64] = static_cast<unsigned char>(random());
      bad[bad.size() - 1 - random() % 2048] = static_cast<unsigned char>(random());
    }
    Names(bad);
    midlane_elf_mentions(bad.data(), bad.size(), "x");
  }
}

}  // namespace
