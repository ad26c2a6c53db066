#include "learner/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "learner/checkpoint.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

std::string FreshFolder(const std::string& name) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/files_test_", getpid(), "_", name);
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

TEST(FilesTest, WritesAtomically) {
  const std::string path = FreshFolder("atomic") + "/file";
  ASSERT_EQ(WriteFileAtomically(path, "old"), absl::OkStatus());
  ASSERT_EQ(WriteFileAtomically(path, "new"), absl::OkStatus());
  EXPECT_EQ(*ReadFile(path), "new");
}

TEST(FilesTest, SaysWhatIsMissing) {
  const std::string path = FreshFolder("missing") + "/none/file";
  EXPECT_THAT(std::string(WriteFileAtomically(path, "x").message()), HasSubstr(path));
  EXPECT_EQ(ReadFile(path).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadFile(FreshFolder("folder")).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FilesTest, AFolderOfAnotherUserIsRefusedInWords) {
  if (geteuid() == 0) {
    // Root bypasses file modes: look through the eyes of another user.
    const std::string folder = FreshFolder("forbidden");
    chmod(folder.c_str(), 0755);
    const pid_t child = fork();
    if (child == 0) {
      if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
      const absl::Status status = WriteFileAtomically(folder + "/file", "x");
      _exit(status.code() == absl::StatusCode::kPermissionDenied ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

TEST(FilesTest, AFullDiskLosesNothing) {
  const std::string folder = FreshFolder("full");
  if (mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs here";
  }
  const std::string path = folder + "/checkpoint.mdl";
  const Sections small = {{"a", std::string(1000, 'a')}};
  EXPECT_EQ(WriteCheckpoint(path, small), absl::OkStatus());
  const absl::Status full = WriteCheckpoint(path, {{"a", std::string(200000, 'b')}});
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("disk is full"));
  EXPECT_EQ(*ReadCheckpoint(path), small) << "the old one stands";
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp")) << "the space is given back";

  auto file = AppendFile::Open(folder + "/lines");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->Append("first\n"), absl::OkStatus());
  EXPECT_EQ((*file)->Append(std::string(200000, 'x')).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ((*file)->Append("second\n"), absl::OkStatus()) << "it goes on once there is room";
  EXPECT_EQ(*ReadFile(folder + "/lines"), "first\nsecond\n");
  file->reset();
  EXPECT_EQ(umount(folder.c_str()), 0);
}

TEST(FilesTest, AppendCutsWhatACrashLeftOfALine) {
  const std::string path = FreshFolder("append") + "/lines";
  std::ofstream(path) << "one\ntwo\nhal";
  auto file = AppendFile::Open(path, /*after_newline=*/true);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->Append("three\n"), absl::OkStatus());
  EXPECT_EQ(*ReadFile(path), "one\ntwo\nthree\n");
}

TEST(RunLockTest, IsHeldByOneAndFreeAfterwards) {
  const std::string folder = FreshFolder("lock");
  auto first = RunLock::Take(folder);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = RunLock::Take(folder);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(absl::StrCat("(process ", getpid(), ")")));
  first->reset();
  EXPECT_TRUE(RunLock::Take(folder).ok());
}

}  // namespace
}  // namespace midlane
