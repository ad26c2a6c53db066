// Programs as Debian ships them do their usual work under the shim, which nothing is attached to:
// stdout, stderr, exit status and the files they leave are those of a run without it.
// Skipped where a program is not installed.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "host.h"
#include "tests/may_skip.h"

namespace midlane::testing {
namespace {

using ::testing::HasSubstr;

std::string Source(const std::string& name) {
  return std::string(getenv("MIDLANE_SOURCE_DIR")) + "/tests/preload/" + name;
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void Write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

struct Outcome {
  int status = -1;  // of waitpid
  std::string out, err;
  std::vector<std::string> files;  // below the home, sorted
};

class DebianProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "debian-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    Write(folder_ + "/in", "");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string home() const { return folder_ + "/home"; }

  // A run in a fresh home, with the file `in` as stdin. Where `working` is given, the program gets
  // `signal` as soon as it holds.
  Outcome Run(const std::vector<std::string>& command, bool shim,
              const std::function<bool()>& working = nullptr, int signal = SIGINT) {
    std::filesystem::remove_all(home());
    std::filesystem::create_directories(home());
    if (furnish_) furnish_();
    const pid_t pid = fork();
    if (pid == 0) {
      Redirect("in", O_RDONLY, STDIN_FILENO);
      Redirect("out", O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
      Redirect("err", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
      personality(ADDR_NO_RANDOMIZE);  // some programs print addresses
      for (const char* variable : {"SDL_VIDEODRIVER", "SDL_AUDIODRIVER"}) {
        setenv(variable, "dummy", 1);
      }
      setenv("HOME", home().c_str(), 1);
      setenv("EVERYDAY", "set", 1);
      if (shim) {
        const std::string path =
            std::string(getenv("MIDLANE_BUILD_DIR")) + "/lib/libmidlane_preload.so";
        setenv("LD_PRELOAD", path.c_str(), 1);
      }
      std::vector<char*> arguments;
      for (const std::string& argument : command) arguments.push_back(strdup(argument.c_str()));
      arguments.push_back(nullptr);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    Outcome outcome;
    bool signalled = working == nullptr;
    const double deadline = RealSeconds() + 40;
    while (waitpid(pid, &outcome.status, WNOHANG) == 0) {
      if (RealSeconds() > deadline) {
        ADD_FAILURE() << command[0] << " does not end: " << Read(folder_ + "/err");
        kill(pid, SIGKILL);
        waitpid(pid, &outcome.status, 0);
        break;
      }
      if (!signalled && working()) {
        kill(pid, signal);
        signalled = true;
      }
      usleep(5000);
    }
    EXPECT_TRUE(signalled) << command[0] << " did not come to its work";
    outcome.out = Read(folder_ + "/out");
    outcome.err = Read(folder_ + "/err");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(home())) {
      outcome.files.push_back(entry.path().string());
    }
    std::sort(outcome.files.begin(), outcome.files.end());
    return outcome;
  }

  std::string folder_;
  std::function<void()> furnish_;  // fills a fresh home

 private:
  void Redirect(const char* name, int flags, int to) {
    dup2(open((folder_ + "/" + name).c_str(), flags, 0600), to);
  }
};

void ExpectSame(const Outcome& bare, const Outcome& shimmed) {
  EXPECT_EQ(shimmed.status, bare.status);
  EXPECT_EQ(shimmed.out, bare.out);
  EXPECT_EQ(shimmed.err, bare.err);
  EXPECT_EQ(shimmed.files, bare.files);
}

class Interpreter : public DebianProgram, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    DebianProgram::SetUp();
    path_ = std::string("/usr/bin/") + GetParam();
    if (access(path_.c_str(), X_OK) != 0 && MaySkip()) {
      GTEST_SKIP() << GetParam() << " is not installed";
    }
    Write(folder_ + "/in", "one\ntwo\nlast, without an end of line");
  }
  std::string path_;
};

TEST_P(Interpreter, RunsAScript) {
  const struct {
    const char* name;
    int status;
    const char* error;
  } endings[] = {{"return", 0, "read last"},
                 {"exit", 7, "read last"},
                 {"error", 1, "last words"},
                 {"object", 1, "read last"}};
  for (const auto& ending : endings) {
    SCOPED_TRACE(ending.name);
    const std::vector<std::string> command = {path_, Source("everyday.lua"), ending.name};
    const Outcome bare = Run(command, false);
    EXPECT_EQ(WEXITSTATUS(bare.status), ending.status) << bare.err;
    EXPECT_THAT(bare.out, HasSubstr("lines\t3"));
    EXPECT_THAT(bare.err, HasSubstr(ending.error));
    ExpectSame(bare, Run(command, true));
  }
}

TEST_P(Interpreter, RunsAScriptFromStdin) {
  Write(folder_ + "/in", Read(Source("everyday.lua")));
  const std::vector<std::string> command = {path_, "-", "exit"};
  const Outcome bare = Run(command, false);
  EXPECT_EQ(WEXITSTATUS(bare.status), 7) << bare.err;
  ExpectSame(bare, Run(command, true));
}

TEST_P(Interpreter, AnswersItsOptions) {
  for (const char* option : {"-v", "-i", "--no-such-option"}) {
    SCOPED_TRACE(option);
    const std::vector<std::string> command = {path_, option};
    const Outcome bare = Run(command, false);
    EXPECT_FALSE(bare.out.empty() && bare.err.empty());
    ExpectSame(bare, Run(command, true));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Interpreter,
                         ::testing::Values("lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit"),
                         [](const auto& info) {
                           std::string name = info.param;
                           name.erase(std::remove(name.begin(), name.end(), '.'), name.end());
                           return name;
                         });

// A UDP port that nobody holds now.
uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

class Minetest : public DebianProgram {
 protected:
  void SetUp() override {
    DebianProgram::SetUp();
    if (access(kServer, X_OK) != 0 && MaySkip()) GTEST_SKIP() << "minetest-server is not installed";
  }
  static constexpr const char* kServer = "/usr/games/minetestserver";
};

TEST_F(Minetest, AnswersItsOptions) {
  for (const char* option : {"--version", "--help", "--no-such-option"}) {
    SCOPED_TRACE(option);
    const Outcome bare = Run({kServer, option}, false);
    EXPECT_FALSE(bare.out.empty() && bare.err.empty());
    ExpectSame(bare, Run({kServer, option}, true));
  }
}

TEST_F(Minetest, MakesAWorldAndShutsDown) {
  const std::string world = home() + "/world";
  furnish_ = [&] {
    Write(home() + "/minetest.conf",
          "fixed_map_seed = 143\nmg_name = v7\nmg_flags = nodecorations\nnum_emerge_threads = "
          "1\nserver_announce = false\n"
          "bind_address = 127.0.0.1\nipv6_server = false\ntime_speed = 0\n");
    Write(world + "/world.mt",
          "gameid = minetest_game\nbackend = dummy\nplayer_backend = dummy\n"
          "auth_backend = files\nmod_storage_backend = dummy\n");
    Write(world + "/worldmods/everyday/mod.conf", "name = everyday\n");
    Write(world + "/worldmods/everyday/init.lua", Read(Source("everyday_mod.lua")));
  };
  const std::vector<std::string> command = {kServer,
                                            "--config",
                                            home() + "/minetest.conf",
                                            "--logfile",
                                            home() + "/log.txt",
                                            "--world",
                                            world,
                                            "--gameid",
                                            "minetest_game",
                                            "--port",
                                            std::to_string(FreePort())};
  Outcome outcomes[2];
  std::string made[2], meta[2];
  for (int shim = 0; shim < 2; ++shim) {
    outcomes[shim] =
        Run(command, shim == 1, [&] { return access((world + "/ready").c_str(), F_OK) == 0; });
    made[shim] = Read(world + "/ready");
    meta[shim] = Read(world + "/map_meta.txt");
    const std::regex stamp(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: )");
    outcomes[shim].err = std::regex_replace(outcomes[shim].err, stamp, "");
    outcomes[shim].out = std::regex_replace(outcomes[shim].out, stamp, "");
  }
  EXPECT_EQ(outcomes[0].status, 0) << outcomes[0].err;
  EXPECT_THAT(outcomes[0].err, HasSubstr("everyday: shutdown"));
  EXPECT_THAT(made[0], HasSubstr("default:stone="));
  ExpectSame(outcomes[0], outcomes[1]);
  EXPECT_EQ(made[1], made[0]);
  EXPECT_EQ(meta[1], meta[0]);
}

class Blobby : public DebianProgram {};

TEST_F(Blobby, ShowsItsMenuUntilItIsEnded) {
  const std::string game = "/usr/games/blobby";
  if (access(game.c_str(), X_OK) != 0 && MaySkip()) GTEST_SKIP() << "blobby is not installed";
  Outcome outcomes[2];
  for (int shim = 0; shim < 2; ++shim) {
    double since = 0;  // it has made the last of its folders
    outcomes[shim] = Run(
        {game}, shim == 1,
        [&] {
          if (since == 0 && access((home() + "/.blobby/scripts").c_str(), F_OK) == 0) {
            since = RealSeconds();
          }
          return since != 0 && RealSeconds() > since + 1.5;
        },
        SIGTERM);
  }
  EXPECT_EQ(outcomes[0].status, 0) << outcomes[0].err;
  EXPECT_THAT(outcomes[0].out, HasSubstr(".blobby/scripts created"));
  ExpectSame(outcomes[0], outcomes[1]);
}

}  // namespace
}  // namespace midlane::testing
