#include "learner/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "learner/files.h"
#include "learner/sha256.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

Sections Example() { return {{"weights", std::string(1000, 'w')}, {"empty", ""}, {"config", "x"}}; }

std::string Message(std::string_view bytes) {
  return std::string(DecodeCheckpoint("run/checkpoint.mdl", bytes).status().message());
}

// With the hash made to fit again: what a forger, or our own mistake, could write.
std::string Rehashed(std::string bytes) {
  bytes.resize(bytes.size() - 32);
  const Sha256Digest digest = Sha256(bytes);
  return bytes.append(reinterpret_cast<const char*>(digest.data()), digest.size());
}

TEST(CheckpointTest, RoundTrip) {
  const auto decoded = DecodeCheckpoint("x", EncodeCheckpoint(Example()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, Example());
  EXPECT_EQ(*DecodeCheckpoint("x", EncodeCheckpoint({})), Sections());
}

TEST(CheckpointTest, WritesAndReadsAFile) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/checkpoint_test_", getpid());
  ASSERT_EQ(WriteCheckpoint(path, Example()), absl::OkStatus());
  EXPECT_EQ(*ReadCheckpoint(path), Example());
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  EXPECT_EQ(ReadCheckpoint(path + ".none").status().code(), absl::StatusCode::kNotFound);
}

TEST(CheckpointTest, RefusesForeignFiles) {
  EXPECT_THAT(Message(""), HasSubstr("not a Midlane checkpoint"));
  EXPECT_THAT(Message("PK\3\4 a zip archive, say, of PyTorch"), HasSubstr("not a Midlane"));
  EXPECT_THAT(Message("PK"), HasSubstr("run/checkpoint.mdl"));
}

TEST(CheckpointTest, RefusesEveryTruncation) {
  const std::string bytes = EncodeCheckpoint(Example());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto decoded = DecodeCheckpoint("x", std::string_view(bytes).substr(0, size));
    ASSERT_FALSE(decoded.ok()) << size;
    if (size >= 8) {
      EXPECT_EQ(decoded.status().code(), absl::StatusCode::kDataLoss) << size;
    }
  }
  EXPECT_THAT(Message(bytes.substr(0, 100)), HasSubstr("truncated"));
  EXPECT_THAT(Message(bytes + "x"), HasSubstr("appended"));
}

TEST(CheckpointTest, RefusesEveryFlippedByte) {
  const std::string bytes = EncodeCheckpoint(Example());
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string bad = bytes;
    bad[at] ^= 0x10;
    ASSERT_FALSE(DecodeCheckpoint("x", bad).ok()) << at;
  }
  std::string bad = bytes;
  bad[bytes.size() / 2] ^= 1;
  EXPECT_THAT(Message(bad), HasSubstr("corrupt"));
}

TEST(CheckpointTest, RefusesAnotherFormatInWords) {
  std::string bytes = EncodeCheckpoint(Example());
  bytes[8] = 2;
  EXPECT_THAT(Message(Rehashed(bytes)), HasSubstr("format 2"));
}

TEST(CheckpointTest, RefusesTablesThatLie) {
  const std::string bytes = EncodeCheckpoint({{"ab", "xyz"}, {"cd", ""}});
  std::string many = bytes;
  many[12] = 100;
  EXPECT_FALSE(DecodeCheckpoint("x", Rehashed(many)).ok());
  std::string long_name = bytes;
  long_name[24] = 0x7f;
  EXPECT_THAT(Message(Rehashed(long_name)), HasSubstr("name of section 0"));
  std::string long_section = bytes;
  long_section[24 + 4 + 2 + 7] = 0x7f;
  EXPECT_THAT(Message(Rehashed(long_section)), HasSubstr("section 'ab' leaves the file"));
  std::string twice = bytes;
  twice[24 + 4 + 2 + 8 + 4] = 'a';
  twice[24 + 4 + 2 + 8 + 5] = 'b';
  EXPECT_THAT(Message(Rehashed(twice)), HasSubstr("twice"));
}

}  // namespace
}  // namespace midlane
