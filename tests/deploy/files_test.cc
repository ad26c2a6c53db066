#include "deploy/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace midlane {
namespace {

using ::testing::HasSubstr;

TEST(Files, WritesWholeFilesAndReadsThemBack) {
  const std::string dir = ::testing::TempDir() + "/midlane_files_test";
  ASSERT_TRUE(MakeFolders(dir + "/a/b").ok());
  const std::string path = dir + "/a/b/file";
  ASSERT_TRUE(WriteFileAtomically(path, "one\ntwo\nthree\n").ok());
  EXPECT_EQ(*ReadFile(path, 100), "one\ntwo\nthree\n");
  EXPECT_EQ(LastLines(path, 2), "two\nthree");
  EXPECT_THAT(ReadFile(path, 3).status().message(), HasSubstr(path));
  // Nothing but the file itself is left behind.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir + "/a/b"), {}), 1);
  std::filesystem::remove_all(dir);
}

TEST(Files, NamesThePathInErrors) {
  EXPECT_THAT(ReadFile("/nowhere/x", 10).status().message(), HasSubstr("/nowhere/x"));
  EXPECT_THAT(WriteFileAtomically("/nowhere/x", "").message(), HasSubstr("/nowhere/x"));
  EXPECT_EQ(LastLines("/nowhere/x", 3), "");
}

TEST(Files, AFullDiskLeavesTheOldFile) {
  EXPECT_EQ(WriteFileAtomically("/dev/full/x", "text").ok(), false);
}

}  // namespace
}  // namespace midlane
