// The shim end to end, in a small game of each dialect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string>

#include "host.h"

namespace midlane::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string BuildDir() { return getenv("MIDLANE_BUILD_DIR"); }
std::string Shim() { return BuildDir() + "/lib/libmidlane_preload.so"; }
std::string Adapter() {
  return std::string(getenv("MIDLANE_SOURCE_DIR")) + "/tests/preload/probe_adapter.lua";
}

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) count++;
  return count;
}

class ProbeGame : public ::testing::TestWithParam<const char*> {
 protected:
  std::string executable() const { return std::string("probe_") + GetParam(); }
  std::string path() const { return BuildDir() + "/tests/" + executable(); }
  const char* dialect() const {
    static const std::map<std::string, const char*> names = {{"lua5.1", "5.1"},
                                                             {"lua5.2", "5.2"},
                                                             {"lua5.3", "5.3"},
                                                             {"lua5.4", "5.4"},
                                                             {"luajit", "luajit"}};
    return names.at(GetParam());
  }

  HostOptions Options(std::vector<std::string> arguments, std::string settings = "") const {
    HostOptions options;
    options.command = {path()};
    options.command.insert(options.command.end(), arguments.begin(), arguments.end());
    options.description = "executable=" + executable() + "\nadapter=" + Adapter() +
                          "\nclock=virtual\nclock_speed=0\nseed=11\nfallback=exit\n";
    options.settings = std::move(settings);
    options.shim = Shim();
    return options;
  }

  // Plays a whole game against probe_adapter.lua and checks each exchange.
  void Play(TestHost& host, int frames) {
    ASSERT_TRUE(host.WaitState(MIDLANE_STATE_ATTACHED)) << host.Output() << host.channel()->error;
    EXPECT_STREQ(host.channel()->announcement.dialect, dialect());
    for (int frame = 1; frame <= frames; frame++) {
      ASSERT_TRUE(host.WaitPost()) << host.Output();
      for (uint32_t agent = 0; agent < 2; agent++) {
        midlane_slot* slot = host.slot(agent);
        EXPECT_EQ(slot->observed_frame, static_cast<uint64_t>(frame));
        EXPECT_EQ(slot->flags & MIDLANE_SLOT_FIRST, frame == 1 ? uint32_t{MIDLANE_SLOT_FIRST} : 0u);
        EXPECT_EQ(slot->flags & MIDLANE_SLOT_PASSIVE,
                  agent == 1 ? uint32_t{MIDLANE_SLOT_PASSIVE} : 0u);
        EXPECT_EQ(slot->effect_frame, agent == 0 && frame > 1 ? frame - 1u : 0u);
        EXPECT_EQ(slot->reward[0], frame == 1 ? 0.0f : 0.75f);
        EXPECT_EQ(slot->metric[0], static_cast<float>(agent));
        const float* echo = host.f32(agent, 0);
        EXPECT_EQ(echo[0], static_cast<float>(frame));
        EXPECT_EQ(echo[1], static_cast<float>(agent + 1));
        EXPECT_EQ(echo[3], 1.0f);
        const auto* counts = reinterpret_cast<const int32_t*>(host.f32(agent, 1));
        EXPECT_EQ(counts[0], -frame);
        EXPECT_EQ(counts[3], 4);
        const auto* allowed = reinterpret_cast<const uint8_t*>(host.f32(agent, 2));
        EXPECT_EQ(allowed[0] + 10 * allowed[1] + 100 * allowed[2], 101);
      }
      host.slot(0)->action[0] = frame % 3;
      host.slot(0)->action[1] = 10 + frame;
      host.Answer();
    }
  }
};

TEST_P(ProbeGame, IsDrivenFromEveryEntry) {
  for (const char* entry : {"buffer", "string", "file", "load", "call", "coroutine"}) {
    SCOPED_TRACE(entry);
    TestHost host(Options({"--entry", entry, "--frames", "3"}));
    host.Start();
    Play(host, 3);
    EXPECT_EQ(host.WaitExit(), 0);
    std::string output = host.Output();
    for (int frame = 1; frame <= 3; frame++) {
      std::string line = "state 1 frame " + std::to_string(frame) + ": " +
                         std::to_string(frame % 3 + 10 * (10 + frame)) + "\n";
      EXPECT_THAT(output, HasSubstr(line));
    }
    EXPECT_THAT(output, HasSubstr("state 1 top " +
                                  std::string(entry == std::string("coroutine") ? "1" : "0")))
        << "the shim left something on the game's stack";
    EXPECT_EQ(Count(output, "midlane: loaded "), 1) << output;
    EXPECT_THAT(output, HasSubstr("raw table table function function leaked nil"));
    EXPECT_EQ(host.channel()->announcement.chunks.load(), 1u) << "one chunk, seen once";
    EXPECT_EQ(host.channel()->announcement.states.load(), 1u);
    EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_CLOSED});
  }
}

TEST_P(ProbeGame, NamesItsChunk) {
  TestHost host(Options({"--entry", "load"}, "idle=1\n"));
  host.Start();
  EXPECT_EQ(host.WaitExit(), 0);
  EXPECT_THAT(host.Output(), HasSubstr("midlane: loaded bot.lua env table\n"));
}

TEST_P(ProbeGame, WorksInASandbox) {
  TestHost host(Options({"--sandbox"}));
  host.Start();
  Play(host, 3);
  EXPECT_EQ(host.WaitExit(), 0) << host.Output();
}

TEST_P(ProbeGame, KeepsStatesApart) {
  TestHost host(Options({"--states", "3", "--frames", "2"}, "state=2\n"));
  host.Start();
  Play(host, 2);
  EXPECT_EQ(host.WaitExit(), 0);
  std::string output = host.Output();
  EXPECT_EQ(Count(output, "midlane: adapter in state"), 3) << output;
  EXPECT_THAT(output, HasSubstr("state 1 frame 2: -2\n"));
  EXPECT_THAT(output, HasSubstr("state 2 frame 2: 122\n"));
  EXPECT_THAT(output, HasSubstr("state 3 frame 2: -2\n"));
  EXPECT_EQ(host.channel()->announcement.states.load(), 3u);
  EXPECT_EQ(host.channel()->announcement.chunks.load(), 3u);
}

TEST_P(ProbeGame, ResetsAndCloses) {
  TestHost host(Options({"--frames", "9"}));
  host.Start();
  ASSERT_TRUE(host.WaitPost());
  host.Answer(MIDLANE_COMMAND_RESET);
  ASSERT_TRUE(host.WaitPost());
  EXPECT_TRUE(host.slot(0)->flags & MIDLANE_SLOT_FIRST);
  EXPECT_EQ(host.slot(0)->episode, 2u);
  host.Answer(MIDLANE_COMMAND_CLOSE);
  EXPECT_EQ(host.WaitExit(), 0);
  EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_CLOSED});
  EXPECT_THAT(host.Output(), HasSubstr("state 1 frame 1: 77\n"));
  EXPECT_THAT(host.Output(), Not(HasSubstr("done")));
}

TEST_P(ProbeGame, PlaysOnWhereTheDescriptionSaysSo) {
  HostOptions options = Options({"--frames", "4"});
  options.description += "fallback=play\n";
  TestHost host(options);
  host.Start();
  ASSERT_TRUE(host.WaitPost());
  host.Answer(MIDLANE_COMMAND_CLOSE);
  EXPECT_EQ(host.WaitExit(), 0);
  EXPECT_THAT(host.Output(), HasSubstr("state 1 frame 4: 99\n"));
  EXPECT_THAT(host.Output(), HasSubstr("done"));
}

TEST_P(ProbeGame, ReportsAnErrorWithFileAndLine) {
  for (const char* where : {"loaded", "think"}) {
    SCOPED_TRACE(where);
    TestHost host(Options({}, std::string("fail=") + where + "\n"));
    host.Start();
    EXPECT_EQ(WEXITSTATUS(host.WaitExit()), 70);
    EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_FAILED});
    EXPECT_THAT(host.channel()->error, HasSubstr("preload/probe_adapter.lua:"));
    EXPECT_THAT(host.channel()->error,
                HasSubstr(where == std::string("loaded") ? "the adapter is broken" : "index"));
    EXPECT_THAT(host.Output(), HasSubstr(host.channel()->error));
  }
}

TEST_P(ProbeGame, LeavesTheGamesOwnErrorsAlone) {
  TestHost host(Options({}, "idle=1\n"));
  host.Start();
  EXPECT_EQ(host.WaitExit(), 0);
  EXPECT_THAT(host.Output(), HasSubstr("the game is angry"));
  EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_CLOSED});
}

TEST_P(ProbeGame, RefusesNaN) {
  TestHost host(Options({}, "fail=nan\n"));
  host.Start();
  ASSERT_TRUE(host.WaitPost());
  host.Answer();
  EXPECT_EQ(WEXITSTATUS(host.WaitExit()), 70);
  EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_FAILED});
  for (const char* part : {"\"echo\"", "\"one\"", "NaN", "element 3"}) {
    EXPECT_THAT(host.channel()->error, HasSubstr(part));
  }
}

TEST_P(ProbeGame, FallsBackWhereItsHostDies) {
  pid_t other = fork();
  if (other == 0) {
    pause();
    _exit(0);
  }
  HostOptions options = Options({"--frames", "1000"});
  options.host_pid = static_cast<uint32_t>(other);
  options.wait_limit_ms = 60000;
  TestHost host(options);
  host.Start();
  ASSERT_TRUE(host.WaitPost());
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
  EXPECT_EQ(WEXITSTATUS(host.WaitExit(5)), 70);
  EXPECT_THAT(host.Output(), HasSubstr("midlane: the host process"));
}

TEST_P(ProbeGame, RepeatsWithOneSeed) {
  auto run = [this](const char* seed) {
    HostOptions options = Options({"--pairs"}, "idle=1\n");
    options.description += std::string("seed=") + seed + "\n";
    options.randomize_addresses = false;
    TestHost host(options);
    host.Start();
    EXPECT_EQ(host.WaitExit(), 0);
    return host.Output();
  };
  std::string first = run("5");
  EXPECT_THAT(first, HasSubstr("pairs: "));
  EXPECT_EQ(run("5"), first);
  EXPECT_NE(run("6"), first);
}

TEST_P(ProbeGame, WaitsForNoDiskInVirtualTime) {
  TestHost host(Options({"--sync"}, "idle=1\n"));
  host.Start();
  EXPECT_EQ(host.WaitExit(), 0);
  EXPECT_THAT(host.Output(), HasSubstr("sync 0 0, closed -1"));
}

TEST_P(ProbeGame, IsTheSameWithVanillaAndWithoutShim) {
  HostOptions bare = Options({"--states", "2", "--sandbox", "--sync"});
  bare.shim = "";
  bare.channel = false;
  HostOptions vanilla = Options({"--states", "2", "--sandbox", "--sync"});
  vanilla.description += "vanilla=1\n";
  HostOptions unattached = Options({"--states", "2", "--sandbox", "--sync"});
  unattached.channel = false;
  TestHost bare_host(bare), vanilla_host(vanilla), unattached_host(unattached);
  for (TestHost* host : {&bare_host, &vanilla_host, &unattached_host}) {
    host->Start();
    EXPECT_EQ(host->WaitExit(), 0);
    EXPECT_EQ(host->Output(), bare_host.Output());
  }
  EXPECT_THAT(bare_host.Output(), HasSubstr("sync -1 -1, closed -1"));
  EXPECT_EQ(vanilla_host.channel()->announcement.states.load(), 2u);
  EXPECT_EQ(vanilla_host.channel()->announcement.chunks.load(), 2u);
  EXPECT_GE(vanilla_host.channel()->announcement.calls.load(), 9u);
}

TEST_P(ProbeGame, SaysWhatItFoundWithoutAHost) {
  HostOptions options = Options({});
  options.channel = false;
  options.environment = {"MIDLANE_ANNOUNCE=1"};
  TestHost host(options);
  host.Start();
  EXPECT_EQ(host.WaitExit(), 0);
  EXPECT_THAT(host.Output(), HasSubstr(std::string(": Lua ") + dialect() + ", shared, /"));
  EXPECT_THAT(host.Output(), HasSubstr("1 states, 1 chunks; hooks reached: luaL_newstate"));
}

TEST_P(ProbeGame, IsFoundBehindAWrapper) {
  HostOptions options = Options({});
  options.command = {"/bin/sh", "-c",
                     "export EXTRA=1; exec /bin/sh -c 'exec " + path() + " --frames 3'"};
  TestHost host(options);
  host.Start();
  Play(host, 3);
  EXPECT_EQ(host.WaitExit(), 0);
}

TEST_P(ProbeGame, LeavesItsChildrenAlone) {
  TestHost host(Options({"--exec-child"}, "idle=1\n"));
  host.Start();
  EXPECT_EQ(host.WaitExit(), 0);
  EXPECT_THAT(host.Output(), HasSubstr("child LD_PRELOAD=[] FD=[]\n0\n"));
}

TEST_P(ProbeGame, FollowsAForkedServer) {
  TestHost host(Options({"--fork-server"}));
  host.Start();
  pid_t parent = host.pid();
  Play(host, 3);
  EXPECT_NE(host.channel()->game_pid.load(), static_cast<uint32_t>(parent));
  EXPECT_EQ(host.WaitExit(), 0);
  EXPECT_THAT(host.Output(), HasSubstr("server ended with 0"));
  EXPECT_EQ(host.channel()->state.load(), uint32_t{MIDLANE_STATE_CLOSED});
}

INSTANTIATE_TEST_SUITE_P(Dialects, ProbeGame,
                         ::testing::Values("lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit"),
                         [](const auto& info) {
                           std::string name = info.param;
                           name.erase(std::remove(name.begin(), name.end(), '.'), name.end());
                           return name;
                         });

TEST(Unharmed, ProgramsWithoutLua) {
  HostOptions bare;
  bare.channel = false;
  bare.command = {"/bin/sh", "-c", "date -d @0 -u; echo $((6*7)); ls /; exec sort /etc/passwd"};
  HostOptions shimmed = bare;
  shimmed.shim = Shim();
  TestHost one(bare), two(shimmed);
  one.Start();
  two.Start();
  EXPECT_EQ(one.WaitExit(), 0);
  EXPECT_EQ(two.WaitExit(), 0);
  EXPECT_EQ(one.Output(), two.Output());
}

}  // namespace
}  // namespace midlane::testing
