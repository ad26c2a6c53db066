#include "learner/version_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "learner/files.h"

namespace midlane {
namespace {

TEST(VersionFile, RemembersTheLastVersionOverStarts) {
  const std::string folder = ::testing::TempDir() + "/version_file_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  EXPECT_EQ(VersionFile(folder).Read(), 0u);
  {
    VersionFile file(folder);
    ASSERT_TRUE(file.Write(1234567).ok());
    ASSERT_TRUE(file.Write(9).ok());
  }
  EXPECT_EQ(VersionFile(folder).Read(), 9u);
  ASSERT_TRUE(WriteFileAtomically(folder + "/learner.version", "garbage").ok());
  EXPECT_EQ(VersionFile(folder).Read(), 0u);
}

TEST(VersionFile, NamesTheFileThatCannotBeWritten) {
  const absl::Status status = VersionFile("/nowhere/run").Write(1);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("/nowhere/run/learner.version"));
}

}  // namespace
}  // namespace midlane
