#include "preload/shared.h"

#include <gtest/gtest.h>

#include <string>

namespace {

std::string Get(const std::string& key) {
  double number = 0;
  char text[MIDLANE_SHARED_BYTES_MAX];
  size_t bytes = 0;
  switch (midlane_shared_get(key.data(), key.size(), &number, text, sizeof(text), &bytes)) {
    case MIDLANE_SHARED_NUMBER:
      return "number " + std::to_string(number);
    case MIDLANE_SHARED_STRING:
      return "string " + std::string(text, bytes);
    default:
      return "nothing";
  }
}

bool Set(const std::string& key, double value) {
  return midlane_shared_set_number(key.data(), key.size(), value);
}

bool Set(const std::string& key, const std::string& value) {
  return midlane_shared_set_string(key.data(), key.size(), value.data(), value.size());
}

TEST(Shared, KeepsNumbersAndStrings) {
  EXPECT_EQ(Get("a"), "nothing");
  EXPECT_TRUE(Set("a", 1.5));
  EXPECT_EQ(Get("a"), "number 1.500000");
  EXPECT_TRUE(Set("a", std::string("x\0y", 3)));
  EXPECT_EQ(Get("a"), "string " + std::string("x\0y", 3));
  midlane_shared_clear("a", 1);
  EXPECT_EQ(Get("a"), "nothing");
  EXPECT_TRUE(Set("a", 2.0));
  EXPECT_EQ(Get("a"), "number 2.000000");
  EXPECT_TRUE(Set("", "empty key"));
  EXPECT_EQ(Get(""), "string empty key");
}

TEST(Shared, HoldsItsLimits) {
  EXPECT_TRUE(Set("long", std::string(MIDLANE_SHARED_BYTES_MAX, 'x')));
  EXPECT_FALSE(Set("long", std::string(MIDLANE_SHARED_BYTES_MAX + 1, 'x')));
  EXPECT_EQ(Get("long"), "string " + std::string(MIDLANE_SHARED_BYTES_MAX, 'x'));
  int stored = 0;
  for (int i = 0; i < 2 * MIDLANE_SHARED_KEYS_MAX; i++) stored += Set("key" + std::to_string(i), i);
  EXPECT_LE(stored, MIDLANE_SHARED_KEYS_MAX);
  EXPECT_GT(stored, MIDLANE_SHARED_KEYS_MAX / 2);
  for (int i = 0; i < stored; i++) {
    EXPECT_EQ(Get("key" + std::to_string(i)), "number " + std::to_string(double(i)));
  }
}

}  // namespace
