#include "learner/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

// RFC 3720 appendix B.4.
TEST(TensorBoardTest, Crc32cOfKnownBytes) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
}

// Event{wall_time: 1.5, step: 300, summary{value{tag: "a", simple_value: 2.0}}}, byte by byte.
TEST(TensorBoardTest, AnEventByteByByte) {
  const std::string event(
      "\x09\x00\x00\x00\x00\x00\x00\xf8\x3f"  // 1: double 1.5
      "\x10\xac\x02"                          // 2: varint 300
      "\x2a\x0a"                              // 5: 10 bytes
      "\x0a\x08"                              // 1: 8 bytes
      "\x0a\x01\x61"                          // 1: "a"
      "\x15\x00\x00\x00\x40",                 // 2: float 2
      24);
  const std::string record = EncodeEventRecord(1.5, 300, {{"a", 2.0}});
  ASSERT_EQ(record.size(), 8 + 4 + event.size() + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, event.size()), event);
  uint32_t crc = 0;
  std::memcpy(&crc, record.data() + 12 + event.size(), 4);
  EXPECT_EQ(crc, MaskedCrc32c(event));
  std::memcpy(&crc, record.data() + 8, 4);
  EXPECT_EQ(crc, MaskedCrc32c(record.substr(0, 8)));
}

TEST(TensorBoardTest, WritesAFile) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/tensorboard_test_", getpid());
  std::filesystem::remove_all(folder);
  auto writer = TensorBoardWriter::Create(folder);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const auto begun = std::filesystem::file_size((*writer)->path());
  EXPECT_EQ(begun, EncodeFileVersionRecord(0).size());
  ASSERT_EQ((*writer)->Add(7, {{"x", 1}, {"y", 2}}), absl::OkStatus());
  EXPECT_EQ(std::filesystem::file_size((*writer)->path()),
            begun + EncodeEventRecord(0, 7, {{"x", 1}, {"y", 2}}).size());
}

}  // namespace
}  // namespace midlane
