#include "deploy/files.h"

#include <gtest/gtest.h>

#include <fstream>

namespace midlane {
namespace {

TEST(Files, TellsTheFileTail) {
  const std::string path = ::testing::TempDir() + "/midlane_files_test";
  std::ofstream(path) << "one\ntwo\nthree\n\n";
  EXPECT_TRUE(FileExists(path));
  EXPECT_EQ(FileTail(path, 2), "two\nthree");
  EXPECT_EQ(FileTail(path, 9), "one\ntwo\nthree");
  EXPECT_EQ(FileTail("/nowhere/x", 3), "");
  EXPECT_FALSE(FileExists("/nowhere/x"));
}

TEST(Files, KnowsItsOwnFolder) { EXPECT_TRUE(FileExists(ExecutableDir() + "/deploy_files_test")); }

}  // namespace
}  // namespace midlane
