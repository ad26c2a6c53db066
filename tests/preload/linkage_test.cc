// Ways in which a game may hold its Lua, and programs that must not notice the shim.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "host.h"

namespace midlane::testing {
namespace {

using ::testing::HasSubstr;

std::string BuildDir() { return getenv("MIDLANE_BUILD_DIR"); }
std::string Shim() { return BuildDir() + "/lib/libmidlane_preload.so"; }

HostOptions Game(const std::string& executable, std::vector<std::string> arguments) {
  HostOptions options;
  options.command = {BuildDir() + "/tests/" + executable};
  options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  options.description = "executable=" + executable + "\nadapter=" + getenv("MIDLANE_SOURCE_DIR") +
                        "/tests/preload/probe_adapter.lua\nclock=virtual\nseed=3\n";
  options.shim = Shim();
  return options;
}

// Answers three posts and expects the actions in what the game printed.
void Play(TestHost& host) {
  ASSERT_TRUE(host.WaitState(MIDLANE_STATE_ATTACHED)) << host.Output() << host.channel()->error;
  for (int frame = 1; frame <= 3; frame++) {
    ASSERT_TRUE(host.WaitPost()) << host.Output();
    EXPECT_EQ(host.f32(0, 0)[0], static_cast<float>(frame));
    host.slot(0)->action[0] = 2;
    host.slot(0)->action[1] = frame;
    host.Answer();
  }
  EXPECT_EQ(host.WaitExit(), 0);
  for (const char* line : {"frame 1: 12\n", "frame 2: 22\n", "frame 3: 32\n", "done"}) {
    EXPECT_THAT(host.Output(), HasSubstr(line));
  }
}

class Plugin : public ::testing::TestWithParam<const char*> {};

TEST_P(Plugin, IsAttached) {
  TestHost host(Game("plugin_game", {GetParam(), BuildDir() + "/tests/libprobe_plugin.so"}));
  host.Start();
  Play(host);
  EXPECT_STREQ(host.channel()->announcement.linkage, "plugin");
  EXPECT_STREQ(host.channel()->announcement.dialect, "5.4");
}

INSTANTIATE_TEST_SUITE_P(Flags, Plugin, ::testing::Values("local", "global", "deepbind"),
                         [](const auto& info) { return std::string(info.param); });

class StaticLua : public ::testing::TestWithParam<const char*> {};

TEST_P(StaticLua, WithSymbolsIsAttached) {
  std::string executable = std::string("static_") + GetParam();
  for (const char* entry : {"buffer", "file", "load", "coroutine"}) {
    SCOPED_TRACE(entry);
    TestHost host(Game(executable, {"--entry", entry}));
    host.Start();
    Play(host);
    EXPECT_STREQ(host.channel()->announcement.linkage, "static");
    EXPECT_EQ(host.channel()->announcement.states.load(), 1u);
    EXPECT_EQ(host.channel()->announcement.chunks.load(), 1u);
  }
}

TEST_P(StaticLua, WithoutSymbolsIsRefusedInWords) {
  TestHost host(Game(std::string("stripped_") + GetParam(), {}));
  host.Start();
  EXPECT_EQ(WEXITSTATUS(host.WaitExit()), 70) << host.Output();
  EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_FAILED});
  EXPECT_THAT(host.channel()->error, HasSubstr("without symbols"));
  EXPECT_STREQ(host.channel()->announcement.linkage, "static");
}

INSTANTIATE_TEST_SUITE_P(Dialects, StaticLua,
                         ::testing::Values("lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit"),
                         [](const auto& info) {
                           std::string name = info.param;
                           name.erase(std::remove(name.begin(), name.end(), '.'), name.end());
                           return name;
                         });

TEST(Linkage, FunctionsFetchedByDlsymAreAttached) {
  TestHost host(Game("plugin_game", {"dlsym", "liblua5.4.so.0"}));
  host.Start();
  Play(host);
}

TEST(Linkage, DlmopenIsRefusedInWords) {
  TestHost host(Game("plugin_game", {"dlmopen", "liblua5.4.so.0"}));
  host.Start();
  EXPECT_EQ(WEXITSTATUS(host.WaitExit()), 70);
  EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_FAILED});
  EXPECT_THAT(host.channel()->error, HasSubstr("dlmopen"));
}

TEST(Linkage, TwoLuaLibrariesAreRefusedInWords) {
  TestHost host(Game("two_luas", {}));
  host.Start();
  EXPECT_EQ(WEXITSTATUS(host.WaitExit()), 70);
  EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_FAILED});
  EXPECT_THAT(host.channel()->error, HasSubstr("liblua5.1"));
  EXPECT_THAT(host.channel()->error, HasSubstr("liblua5.4"));
}

// Runs a command without and with the shim: nothing may differ.
void ExpectUnharmed(std::vector<std::string> command) {
  HostOptions bare;
  bare.command = std::move(command);
  bare.channel = false;
  bare.randomize_addresses = false;  // some programs print them
  HostOptions shimmed = bare;
  shimmed.shim = Shim();
  TestHost one(bare), two(shimmed);
  one.Start();
  two.Start();
  int status = one.WaitExit(20);
  EXPECT_EQ(two.WaitExit(20), status);
  EXPECT_EQ(two.Output(), one.Output());
  EXPECT_FALSE(one.Output().empty());
}

TEST(Unharmed, PluginsOfEveryKind) {
  for (const char* flags : {"local", "global", "deepbind"}) {
    SCOPED_TRACE(flags);
    ExpectUnharmed({BuildDir() + "/tests/plugin_game", flags,
                    BuildDir() + "/tests/libprobe_plugin.so", "--states", "2"});
  }
  for (const char* way : {"dlsym", "dlmopen"}) {
    SCOPED_TRACE(way);
    ExpectUnharmed({BuildDir() + "/tests/plugin_game", way, "liblua5.4.so.0"});
  }
}

TEST(Unharmed, EarlyCallsAndAStatePerThread) {
  ExpectUnharmed({BuildDir() + "/tests/threads_game"});
}

TEST(Unharmed, TheLuaInterpreters) {
  // Exported static Lua, counted (detoured) as well as passed through.
  const std::string code =
      "local t = {} for i = 1, 100 do t[i] = (i * 37) % 101 end table.sort(t) "
      "print(_VERSION, table.concat(t, ','), select(2, pcall(error, 'caught'))) "
      "for v in coroutine.wrap(function() for i = 1, 5 do coroutine.yield(i) end end) do "
      "io.write(v, ' ') end "
      "print(#arg, (loadstring or load)('return 1 + 1')()) error('last words')";
  for (const char* name : {"lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit"}) {
    SCOPED_TRACE(name);
    std::string path = std::string("/usr/bin/") + name;
    if (access(path.c_str(), X_OK) != 0) continue;
    ExpectUnharmed({path, "-e", code});
    HostOptions vanilla = Game(name, {});
    vanilla.command = {path, "-e", code};
    vanilla.description = "vanilla=1\n";
    vanilla.randomize_addresses = false;
    HostOptions bare = vanilla;
    bare.shim = "";
    bare.channel = false;
    TestHost one(bare), two(vanilla);
    one.Start();
    two.Start();
    int status = one.WaitExit();
    EXPECT_EQ(two.WaitExit(), status);
    EXPECT_EQ(two.Output(), one.Output());
    EXPECT_EQ(two.channel()->announcement.states.load(), 1u);
  }
}

TEST(Unharmed, TwoLuaLibraries) { ExpectUnharmed({BuildDir() + "/tests/two_luas"}); }

TEST(Unharmed, ShellsAndForks) {
  ExpectUnharmed(
      {"/bin/sh", "-c", "for i in 1 2 3; do (echo $i | cat); done; exec env -u LD_PRELOAD id -u"});
}

TEST(Unharmed, ASetuidProgram) {
  // The loader leaves the preload out by itself (AT_SECURE), silently: the program must run as
  // ever.
  if (getuid() != 0) GTEST_SKIP() << "needs root to make a setuid program";
  char folder[] = "/tmp/midlane_setuid_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  std::string copy = std::string(folder) + "/program";
  std::string command = "cp /usr/bin/id " + copy + " && chown nobody " + copy + " && chmod 4755 " +
                        copy + " && chmod 755 " + folder;
  ASSERT_EQ(system(command.c_str()), 0);
  ExpectUnharmed({"/bin/sh", "-c", "setpriv --reuid=1234 --clear-groups " + copy});
  ASSERT_EQ(system((std::string("rm -r ") + folder).c_str()), 0);
}

TEST(Threads, EachStateGetsTheAdapter) {
  HostOptions options = Game("threads_game", {});
  options.description =
      "executable=threads_game\nadapter=" + std::string(getenv("MIDLANE_SOURCE_DIR")) +
      "/tests/preload/count_adapter.lua\nclock=virtual\nseed=3\n";
  TestHost host(options);
  host.Start();
  EXPECT_EQ(host.WaitExit(30), 0);
  EXPECT_THAT(host.Output(), HasSubstr("total 718400"));
  EXPECT_EQ(host.channel()->announcement.states.load(), 1601u);
  EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_CLOSED}) << host.channel()->error;
}

}  // namespace
}  // namespace midlane::testing
