// `midlane preload`'s core on programs with and without Lua, and on those that cannot be preloaded.
#include "bridge/preload_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/may_skip.h"

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

// Debian's interpreters: Lua inside the executable, which exports it.
TEST_F(PreloadRun, SaysWhatItFoundInEachInterpreter) {
  const std::string script = Script("work.lua",
                                    "local grow = coroutine.wrap(function(a)\n"
                                    "  while true do a = coroutine.yield(a + 1) end\n"
                                    "end)\n"
                                    "for i = 1, 10 do assert(grow(i) == i + 1) end\n"
                                    "assert(not pcall(error, 'caught'))\n"
                                    "assert((loadstring or load)('return ...')(arg[1]) == '7')\n"
                                    "os.exit(tonumber(arg[1]))\n");
  int tried = 0;
  for (const char* dialect : {"5.1", "5.2", "5.3", "5.4", "luajit"}) {
    const std::string name = dialect[0] == '5' ? std::string("lua") + dialect : dialect;
    if (!std::filesystem::exists("/usr/bin/" + name) && MaySkip()) continue;
    SCOPED_TRACE(name);
    told_ = 0;
    ++tried;
    const PreloadReport report = Run({"/usr/bin/" + name, script, "7"});
    EXPECT_EQ(report.refusal, "");
    EXPECT_EQ(report.found.dialect, dialect);
    EXPECT_EQ(report.found.linkage, "static");
    EXPECT_THAT(report.found.executable, testing::EndsWith("/" + name));
    EXPECT_EQ(report.found.states, 1u);
    EXPECT_GE(report.found.chunks, 2u) << "the script and the text that it loads";
    EXPECT_TRUE(report.exited);
    EXPECT_THAT(report.exit_text, HasSubstr("7"));
    EXPECT_THAT(report.causes, IsEmpty());
  }
  if (tried == 0) GTEST_SKIP() << "no interpreter is installed: apt-get install lua5.4";
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
