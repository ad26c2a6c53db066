// `midlane preload`'s core on programs with and without Lua, and on those that cannot be preloaded.
#include "bridge/preload_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace midlane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PreloadRun : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "preload-run-XXXXXX").string();
    folder_ = mkdtemp(path.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Script(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), 0755);
    return path;
  }

  PreloadReport Run(std::vector<std::string> command) {
    PreloadOptions options;
    options.command = std::move(command);
    options.find_limit = absl::Seconds(1);
    options.run_limit = absl::Seconds(2);
    options.found = [this](const PreloadReport&) { ++told_; };
    absl::StatusOr<PreloadReport> report = RunPreloaded(options);
    EXPECT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(told_, 1);
    return report.ok() ? *report : PreloadReport();
  }

  std::string folder_;
  int told_ = 0;
};

TEST_F(PreloadRun, SaysWhatItFound) {
  const PreloadReport report = Run({MIDLANE_PROBE_GAME, "--states", "2"});
  EXPECT_TRUE(report.found_lua());
  EXPECT_EQ(report.found.dialect, "5.2");
  EXPECT_EQ(report.found.linkage, "shared");
  EXPECT_THAT(report.found.library, HasSubstr("liblua5.2"));
  EXPECT_EQ(report.found.states, 2u);
  EXPECT_GT(report.found.chunks, 0u);
  EXPECT_TRUE(report.exited);
  EXPECT_THAT(report.causes, IsEmpty());
}

TEST_F(PreloadRun, LooksBehindAWrapper) {
  const std::string wrapper = Script("game.sh", "#!/bin/sh\nsleep 0.1\nexec /bin/sleep 30\n");
  const PreloadReport report = Run({wrapper});
  EXPECT_TRUE(report.announced);
  EXPECT_THAT(report.found.executable, HasSubstr("/sleep"));
  EXPECT_FALSE(report.exited) << "it was stopped";
}

TEST_F(PreloadRun, NoLuaHasCauses) {
  const PreloadReport report = Run({"/bin/sleep", "30"});
  EXPECT_TRUE(report.announced);
  EXPECT_FALSE(report.found_lua());
  EXPECT_THAT(report.causes, testing::Contains(HasSubstr("may not use Lua at all")));
}

TEST_F(PreloadRun, AWrapperThatCleansTheEnvironmentIsNamed) {
  const PreloadReport report = Run({Script("clean.sh", "#!/bin/sh\nexec env -i /bin/sleep 30\n")});
  EXPECT_FALSE(report.announced);
  EXPECT_THAT(report.causes, ElementsAre(HasSubstr("takes LD_PRELOAD out")));
}

TEST_F(PreloadRun, AnotherExecutableIsNamed) {
  PreloadOptions options;
  options.command = {"/bin/sleep", "30"};
  options.executable = "game";
  options.find_limit = absl::Milliseconds(300);
  options.run_limit = absl::Milliseconds(400);
  absl::StatusOr<PreloadReport> report = RunPreloaded(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->causes, ElementsAre(HasSubstr("give --executable sleep")));
}

TEST_F(PreloadRun, AStaticProgramIsNamed) {
  const PreloadReport report = Run({MIDLANE_STATIC_PROGRAM});
  EXPECT_FALSE(report.announced);
  EXPECT_THAT(report.causes, ElementsAre(HasSubstr("statically linked")));
}

TEST_F(PreloadRun, AProgramThatEndsAtOnceIsNamed) {
  const PreloadReport report = Run({Script("broken.sh", "#!/bin/sh\nexit 3\n")});
  EXPECT_THAT(report.causes, ElementsAre(HasSubstr("exit status 3")));
}

TEST_F(PreloadRun, StopsOnRequest) {
  PreloadOptions options;
  options.command = {"/bin/sleep", "30"};
  options.stop = [] { return true; };
  absl::StatusOr<PreloadReport> report = RunPreloaded(options);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->exited);
}

TEST_F(PreloadRun, MissingPartsAreNotFound) {
  PreloadOptions options;
  options.command = {"/no/such/game"};
  EXPECT_EQ(RunPreloaded(options).status().code(), absl::StatusCode::kNotFound);
  options.command = {"/bin/sleep"};
  options.preload = "/no/such/shim.so";
  EXPECT_EQ(RunPreloaded(options).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace midlane
