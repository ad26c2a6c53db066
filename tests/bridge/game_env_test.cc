// GameEnv against the toy game: the conformance suite, then every way in which a game goes wrong.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <regex>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "bridge/launcher.h"
#include "tests/bridge/env_conformance.h"
#include "tests/bridge/toy_env.h"

namespace midlane {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const ToyFolder& SharedFolder() {
  static const auto* const folder = new ToyFolder;
  return *folder;
}

EnvCase ToyCase(const std::string& name, const std::string& agents, uint64_t skip, uint64_t delay,
                uint32_t spin) {
  EnvCase c;
  c.name = name;
  c.options.settings = {{"agents", agents}};
  c.options.spin = spin;
  c.settings = {{"agents", agents},
                {"frame_skip", std::to_string(skip)},
                {"delay", std::to_string(delay)},
                {"masks", "true"},
                {"length", "9"},
                {"length_right", "5"},
                {"match", "2"}};
  c.other_settings = {{"agents", agents}, {"length", "6"}};
  c.delay = delay;
  c.frame_skip = skip;
  c.length_max = 18;
  c.make = [](const EnvOptions& options) { return SharedFolder().Make(options); };
  return c;
}

INSTANTIATE_TEST_SUITE_P(Toy, EnvConformance,
                         testing::Values(ToyCase("One", "1", 4, 1, 0), ToyCase("Two", "2", 3, 3, 0),
                                         ToyCase("Spinning", "2", 1, 1, 100)),
                         EnvCaseName);

// Process ids of running toy games in this test's session, by the folder they run in.
std::vector<pid_t> GamesUnder(const std::string& folder) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code error;
    const std::string cwd = std::filesystem::read_symlink(entry.path() / "cwd", error).string();
    if (!error && absl::StartsWith(cwd, folder)) found.push_back(std::stoi(name));
  }
  return found;
}

bool Within(absl::Duration limit, const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + limit;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

// For games that are to be late; the others have all the time of a busy machine.
constexpr absl::Duration kShort = absl::Seconds(1);
constexpr absl::Duration kPatience = absl::Seconds(30);

class GameFault : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Env>> Make(const Settings& settings,
                                            absl::Duration timeout = kPatience) {
    EnvOptions options;
    options.settings = settings;
    options.timeout = timeout;
    return folder_.Make(options);
  }

  // An env in its first timestep.
  std::unique_ptr<Env> Running(const Settings& settings, absl::Duration timeout = kPatience) {
    absl::StatusOr<std::unique_ptr<Env>> env = Make(settings, timeout);
    EXPECT_TRUE(env.ok()) << env.status();
    if (!env.ok()) return nullptr;
    EXPECT_TRUE((*env)->Reset(settings).ok());
    const absl::Status status = (*env)->Wait(kPatience);
    EXPECT_TRUE(status.ok()) << status;
    return *std::move(env);
  }

  static absl::Status StepAndWait(Env* env, absl::Duration limit = kPatience) {
    for (size_t i = 0; i < env->spec().agents.size(); ++i) env->agent(i).actions[0] = 0;
    if (absl::Status status = env->Step(); !status.ok()) return status;
    return env->Wait(limit);
  }

  pid_t OnlyGame() {
    const std::vector<pid_t> games = GamesUnder(folder_.path());
    EXPECT_EQ(games.size(), 1u);
    return games.empty() ? 0 : games[0];
  }

  void TearDown() override {
    EXPECT_TRUE(Within(absl::Seconds(5), [&] { return GamesUnder(folder_.path()).empty(); }))
        << "a game was left behind";
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.work_dir(), error)) {
      ADD_FAILURE() << "left behind: " << entry.path();
    }
  }

  ToyFolder folder_;
};

TEST_F(GameFault, DeathIsUnavailableWithTheLastLines) {
  std::unique_ptr<Env> env = Running({{"fault", "exit"}, {"fault_at", "3"}});
  ASSERT_TRUE(StepAndWait(env.get()).ok());
  const absl::Status status = StepAndWait(env.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("toy ended (exit status 5)"), HasSubstr("I have had enough")));
  EXPECT_EQ(env->Ready().status(), status);
  EXPECT_EQ(env->Step(), status);
  EXPECT_EQ(env->Reset({}), status);
}

TEST_F(GameFault, ACrashNamesItsSignal) {
  std::unique_ptr<Env> env = Running({{"fault", "crash"}, {"fault_at", "2"}});
  EXPECT_THAT(std::string(StepAndWait(env.get()).message()), HasSubstr("signal 6 (Aborted)"));
}

TEST_F(GameFault, DeathIsNoticedWithoutWaiting) {
  std::unique_ptr<Env> env = Running({});
  const pid_t game = OnlyGame();
  for (int i = 0; i < 2; ++i) env->agent(i).actions[0] = 0;
  kill(game, SIGSTOP);
  ASSERT_TRUE(env->Step().ok());
  kill(game, SIGKILL);
  EXPECT_TRUE(Within(absl::Seconds(1), [&] { return !env->Ready().ok(); }));
  EXPECT_EQ(env->Ready().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(GameFault, ADeathRingsTheDoorbell) {
  absl::StatusOr<std::shared_ptr<Doorbell>> doorbell = Doorbell::Create();
  ASSERT_TRUE(doorbell.ok());
  EnvOptions options;
  options.doorbell = *doorbell;
  absl::StatusOr<std::unique_ptr<Env>> env = folder_.Make(options);
  ASSERT_TRUE(env.ok());
  ASSERT_TRUE((*env)->Reset({}).ok());
  ASSERT_TRUE((*env)->Wait(kPatience).ok());
  const pid_t game = OnlyGame();
  kill(game, SIGSTOP);
  const uint32_t seen = (*doorbell)->rings();
  std::thread killer([game] {
    absl::SleepFor(absl::Milliseconds(50));
    kill(game, SIGKILL);
  });
  EXPECT_TRUE((*doorbell)->WaitFor(seen, 1, kPatience));
  killer.join();
}

TEST_F(GameFault, RestartGoesOnAfterADeath) {
  std::unique_ptr<Env> env =
      Running({{"fault", "exit"}, {"fault_at", "4"}, {"fault_once", "1"}, {"length", "20"}});
  ASSERT_TRUE(StepAndWait(env.get()).ok());
  ASSERT_TRUE(StepAndWait(env.get()).ok());
  const uint64_t frames = env->stats().frames;
  EXPECT_GT(frames, 0u);
  ASSERT_FALSE(StepAndWait(env.get()).ok());
  ASSERT_TRUE(env->Restart().ok());
  ASSERT_TRUE(env->Reset({{"fault", "exit"}, {"fault_at", "4"}, {"fault_once", "1"}}).ok());
  ASSERT_TRUE(env->Wait(kPatience).ok());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(StepAndWait(env.get()).ok());
  EXPECT_EQ(env->stats().restarts, 1u);
  EXPECT_GT(env->stats().frames, frames + 10);
}

TEST_F(GameFault, AHangIsDeadlineExceededAndRestartHelps) {
  const Settings settings = {{"fault", "hang"}, {"fault_at", "2"}, {"fault_once", "1"}};
  std::unique_ptr<Env> env = Running(settings, kShort);
  const absl::Status status = StepAndWait(env.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("toy has not answered within 1s"));
  EXPECT_EQ(env->Ready().status(), status) << "the error stays";
  ASSERT_TRUE(env->Restart().ok());
  ASSERT_TRUE(env->Reset(settings).ok());
  ASSERT_TRUE(env->Wait(kPatience).ok());
  EXPECT_TRUE(StepAndWait(env.get()).ok());
}

TEST_F(GameFault, WhileNobodyLooksNothingIsLate) {
  std::unique_ptr<Env> env = Running({{"fault", "hang"}, {"fault_at", "2"}}, kShort);
  ASSERT_TRUE(env->Step().ok());
  ASSERT_EQ(env->Ready().value_or(true), false);
  absl::SleepFor(3 * kShort);
  EXPECT_EQ(env->Ready().value_or(true), false) << "the host was away, perhaps for the same reason";
  EXPECT_EQ(env->Wait(kPatience).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GameFault, AWaitsOwnTimeoutLeavesTheEnvAlive) {
  std::unique_ptr<Env> env = Running({});
  const pid_t game = OnlyGame();
  kill(game, SIGSTOP);
  EXPECT_EQ(StepAndWait(env.get(), absl::Milliseconds(50)).code(),
            absl::StatusCode::kDeadlineExceeded);
  kill(game, SIGCONT);
  EXPECT_TRUE(env->Wait(kPatience).ok());
}

TEST_F(GameFault, AStoppedGameIsDeadlineExceededAndLeavesNothing) {
  std::unique_ptr<Env> env = Running({}, kShort);
  kill(OnlyGame(), SIGSTOP);
  EXPECT_EQ(StepAndWait(env.get()).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GameFault, AStubbornGameIsKilledInTheEnd) {
  std::unique_ptr<Env> env = Running({{"fault", "stubborn"}, {"fault_at", "2"}});
  for (int i = 0; i < 2; ++i) env->agent(i).actions[0] = 0;
  ASSERT_TRUE(env->Step().ok());
  absl::SleepFor(absl::Milliseconds(50));
  const absl::Time start = absl::Now();
  env.reset();
  EXPECT_LT(absl::Now() - start, kPatience);
}

TEST_F(GameFault, ABusyGameIsNoOrphan) {
  std::unique_ptr<Env> env = Running({{"fault", "spin"}, {"fault_at", "2"}}, kShort);
  EXPECT_EQ(StepAndWait(env.get()).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GameFault, AGamesChildrenGoWithIt) {
  std::unique_ptr<Env> env = Running({{"fault", "orphan"}, {"fault_at", "2"}});
  ASSERT_TRUE(StepAndWait(env.get()).ok());
  EXPECT_EQ(GamesUnder(folder_.path()).size(), 2u);
}

TEST_F(GameFault, AFloodOfOutputIsBoundedAndHarmless) {
  std::unique_ptr<Env> env = Running({{"fault", "flood"}, {"fault_at", "2"}, {"length", "1000"}});
  ASSERT_TRUE(StepAndWait(env.get()).ok());
  kill(OnlyGame(), SIGKILL);
  const absl::Status status = StepAndWait(env.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  const std::string message(status.message());
  EXPECT_THAT(message, AllOf(HasSubstr("line 199999 of a flood"), Not(HasSubstr("line 199000 "))));
  EXPECT_LT(message.size(), (kOutputLinesMax + 2) * (kOutputLineBytesMax + 1));
}

TEST_F(GameFault, AReportedFaultIsInternalWithItsSentence) {
  std::unique_ptr<Env> env = Running({{"fault", "fail"}, {"fault_at", "2"}});
  const absl::Status status = StepAndWait(env.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("toy: adapter.lua:12: attempt to call a nil value"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\x01")));
}

TEST_F(GameFault, BrokenPostsAreRefused) {
  const struct {
    const char* fault;
    const char* sentence;
  } cases[] = {{"nan_reward", "reward term of agent 'left' is not a finite number"},
               {"no_agent", "posted no agent"},
               {"bad_flags", "unknown flags"},
               {"jump", "counted its posts wrongly"}};
  for (const auto& c : cases) {
    absl::StatusOr<std::unique_ptr<Env>> env =
        Make({{"agents", "1"}, {"fault", c.fault}, {"fault_at", "1"}});
    ASSERT_TRUE(env.ok()) << env.status();
    ASSERT_TRUE((*env)->Reset({{"agents", "1"}, {"fault", c.fault}, {"fault_at", "1"}}).ok());
    const absl::Status status = (*env)->Wait(kPatience);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << c.fault << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.sentence));
  }
}

TEST_F(GameFault, AResetThatIsIgnoredIsRefused) {
  std::unique_ptr<Env> env = Running({{"fault", "no_first"}});
  ASSERT_TRUE(StepAndWait(env.get()).ok());
  ASSERT_TRUE(env->Reset({{"fault", "no_first"}}).ok());
  const absl::Status status = env->Wait(kPatience);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("without FIRST after a reset"));
}

TEST_F(GameFault, FaultyStartsSayWhatIsWrong) {
  const struct {
    const char* fault;
    absl::StatusCode code;
    const char* sentence;
  } cases[] = {
      {"die_early", absl::StatusCode::kUnavailable, "cannot find my data"},
      {"silent", absl::StatusCode::kDeadlineExceeded,
       "before the shim announced itself in a process 'toy_game'"},
      {"no_attach", absl::StatusCode::kDeadlineExceeded, "before its adapter"},
      {"wrong_abi", absl::StatusCode::kInternal, "this shim ABI 99"},
      {"bad_spec", absl::StatusCode::kInternal, "observation 'frame' has size 0 in dimension 1"},
      {"bad_name", absl::StatusCode::kInternal, "declares the environment 'somebody_else'"},
  };
  const ToyFolder patient, hasty(/*start_timeout_seconds=*/1);
  for (const auto& c : cases) {
    EnvOptions options;
    options.settings = {{"fault", c.fault}};
    const bool late = c.code == absl::StatusCode::kDeadlineExceeded;
    const absl::Status status = (late ? hasty : patient).Make(options).status();
    EXPECT_EQ(status.code(), c.code) << c.fault << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.sentence));
  }
}

TEST_F(GameFault, NoFirstTimestepIsDeadlineExceeded) {
  absl::StatusOr<std::unique_ptr<Env>> env = Make({{"fault", "no_post"}}, kShort);
  ASSERT_TRUE(env.ok()) << env.status();
  ASSERT_TRUE((*env)->Reset({{"fault", "no_post"}}).ok());
  const absl::Status status = (*env)->Wait(kPatience);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GameFault, ASpecThatChangesWithARestartIsRefused) {
  const Settings settings = {{"fault", "other_spec"}, {"fault_at", "1"}};
  std::unique_ptr<Env> env = Running(settings);
  ASSERT_TRUE(env->Restart().ok());
  ASSERT_TRUE(env->Reset(settings).ok());
  const absl::Status status = env->Wait(kPatience);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("declared another spec"));
}

TEST_F(GameFault, AMissingGameNamesItsPackage) {
  absl::StatusOr<GameDescription> description = ReadDescription(folder_.path());
  ASSERT_TRUE(description.ok());
  description->command = {"/usr/games/no-such-game"};
  description->package = "no-such-game-data";
  const absl::Status status = MakeGameEnv({}, *description, "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("/usr/games/no-such-game"), HasSubstr("apt install no-such-game")));
}

TEST_F(GameFault, AMissingShimIsNotFound) {
  absl::StatusOr<GameDescription> description = ReadDescription(folder_.path());
  ASSERT_TRUE(description.ok());
  const absl::Status status = MakeGameEnv({}, *description, "/nowhere/libmidlane.so").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("midlane_preload"));
}

TEST_F(GameFault, AResetKeepsTheProcessAndRewritesItsFiles) {
  std::unique_ptr<Env> env = Running({{"length", "4"}});
  const pid_t game = OnlyGame();
  const std::string file =
      std::filesystem::read_symlink(absl::StrCat("/proc/", game, "/cwd")).string() +
      "/conf/toy.cfg";
  const auto content = [&file] {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_EQ(content(), "length 4\n");
  ASSERT_TRUE(env->Reset({{"length", "7"}}).ok());
  EXPECT_EQ(content(), "length 7\n");
  ASSERT_TRUE(env->Wait(kPatience).ok());
  EXPECT_EQ(OnlyGame(), game);
  int steps = 0;
  while (!env->agent(0).last()) {
    ASSERT_TRUE(StepAndWait(env.get()).ok());
    ++steps;
  }
  EXPECT_EQ(steps, 7);
}

TEST_F(GameFault, ARestartRepairsFilesThatTheGameSpoilt) {
  std::unique_ptr<Env> env = Running({{"length", "4"}});
  const std::string file =
      std::filesystem::read_symlink(absl::StrCat("/proc/", OnlyGame(), "/cwd")).string() +
      "/conf/toy.cfg";
  std::ofstream(file) << "cut off in";
  ASSERT_TRUE(env->Restart().ok());
  std::ifstream in(file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "length 4\n");
}

TEST_F(GameFault, ASettingOfTheCommandRelaunches) {
  std::unique_ptr<Env> env = Running({{"label", "a"}});
  const pid_t game = OnlyGame();
  ASSERT_TRUE(env->Reset({{"label", "b"}}).ok());
  ASSERT_TRUE(env->Wait(kPatience).ok());
  EXPECT_NE(OnlyGame(), game);
  EXPECT_TRUE(StepAndWait(env.get()).ok());
}

TEST_F(GameFault, AMatchBeginsInAFreshProcessWhereTheClockIsSpent) {
  const Settings settings = {{"hours", "100"}, {"length", "5"}, {"match", "2"}};
  std::unique_ptr<Env> env = Running(settings);
  const pid_t game = OnlyGame();
  const auto play_episode = [&] {
    while (!env->agent(0).last()) ASSERT_TRUE(StepAndWait(env.get()).ok());
  };
  ASSERT_NO_FATAL_FAILURE(play_episode());  // 600 hours of the 500 that are the limit
  ASSERT_FALSE(env->agent(0).match_over());
  ASSERT_TRUE(env->Reset(settings).ok());
  ASSERT_TRUE(env->Wait(kPatience).ok());
  EXPECT_EQ(OnlyGame(), game) << "a match was torn in two";
  ASSERT_NO_FATAL_FAILURE(play_episode());
  ASSERT_TRUE(env->agent(0).match_over());
  const uint64_t frames = env->stats().frames;
  ASSERT_TRUE(env->Reset(settings).ok());
  ASSERT_TRUE(env->Wait(kPatience).ok());
  EXPECT_TRUE(env->agent(0).first());
  EXPECT_NE(OnlyGame(), game);
  EXPECT_EQ(env->stats().restarts, 1u);
  EXPECT_GT(env->stats().frames, frames);
  ASSERT_NO_FATAL_FAILURE(play_episode());
  EXPECT_EQ(env->stats().restarts, 1u);
}

// Else an evaluation's match that is played again would be another match.
TEST_F(GameFault, AFreshProcessHasAnotherSeedUnlessTheMatchHasOne) {
  const auto seed = [&] {
    const std::string folder =
        std::filesystem::read_symlink(absl::StrCat("/proc/", OnlyGame(), "/cwd")).string();
    std::ifstream in(folder + "/seed");
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  std::unique_ptr<Env> env = Running({});
  EXPECT_EQ(seed(), "1");
  const auto restart = [&](const Settings& settings) {
    ASSERT_TRUE(env->Reset(settings).ok());
    ASSERT_TRUE(env->Wait(kPatience).ok());
    ASSERT_TRUE(env->Restart().ok());
    ASSERT_TRUE(env->Reset(settings).ok());
    ASSERT_TRUE(env->Wait(kPatience).ok());
  };
  ASSERT_NO_FATAL_FAILURE(restart({{"seed", "7"}}));
  EXPECT_EQ(seed(), "1");
  ASSERT_NO_FATAL_FAILURE(restart({{"seed", "0"}}));
  const std::string second = seed();
  EXPECT_NE(second, "1");
  ASSERT_NO_FATAL_FAILURE(restart({}));
  EXPECT_NE(seed(), second);
}

TEST_F(GameFault, AResetWithinAnEpisodeAlsoReplacesWhereTheClockIsSpent) {
  const Settings settings = {{"hours", "499"}};
  std::unique_ptr<Env> env = Running(settings);
  const pid_t game = OnlyGame();
  ASSERT_TRUE(env->Reset(settings).ok());  // it stands at the first timestep, at 499 hours
  ASSERT_TRUE(env->Wait(kPatience).ok());
  ASSERT_TRUE(StepAndWait(env.get()).ok());
  EXPECT_EQ(OnlyGame(), game);
  ASSERT_TRUE(env->Reset({{"hours", "0"}}).ok());
  ASSERT_TRUE(env->Wait(kPatience).ok());
  EXPECT_NE(OnlyGame(), game);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(StepAndWait(env.get()).ok());
  EXPECT_EQ(env->stats().restarts, 1u);
}

// kill -9 of the host: its games are gone, its folders at the next start.
TEST_F(GameFault, AKilledHostLeavesNoOrphan) {
  for (const char* fault : {"none", "spin", "stubborn"}) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t host = fork();
    if (host == 0) {
      std::unique_ptr<Env> env = Running({{"fault", fault}, {"fault_at", "2"}});
      for (int i = 0; i < 2; ++i) env->agent(i).actions[0] = 0;
      (void)env->Step();
      absl::SleepFor(absl::Milliseconds(50));
      (void)!write(ready[1], "x", 1);
      for (;;) pause();
    }
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_EQ(GamesUnder(folder_.work_dir()).size(), 1u);
    kill(host, SIGKILL);
    waitpid(host, nullptr, 0);
    EXPECT_TRUE(Within(absl::Seconds(2), [&] { return GamesUnder(folder_.path()).empty(); }))
        << fault;
    close(ready[0]);
    close(ready[1]);
  }
  Running({});  // sweeps the folders that the killed hosts left
}

TEST(GameProcess, IsLaunchedTheSameWayWhoeverLaunchesIt) {
  std::string seen[2];
  for (int run = 0; run < 2; ++run) {
    setenv("LOGNAME", run == 0 ? "a" : "a_much_longer_name_of_somebody", 1);
    setenv("SOME_SECRET", "x", 1);
    LaunchOptions options;
    options.command = {MIDLANE_TOY_GAME, "--environment"};
    options.environment = GameEnvironment({{"HOME", "/tmp"}});
    options.directory = "/";
    EXPECT_THAT(options.environment, Not(testing::Contains(HasSubstr("SOME_SECRET"))));
    absl::StatusOr<std::unique_ptr<GameProcess>> game = GameProcess::Start(options);
    ASSERT_TRUE(game.ok()) << game.status();
    ASSERT_TRUE((*game)->WaitExit(absl::Seconds(5)));
    EXPECT_EQ((*game)->ExitText(), "exit status 0");
    seen[run] = (*game)->LastLines();
  }
  EXPECT_EQ(seen[0], seen[1]) << "the stack moved with the environment";
  EXPECT_THAT(seen[0], AllOf(HasSubstr("cwd / home /tmp group 1"), HasSubstr("personality 40000")));
}

TEST(GameProcess, StartsHaveTheirErrors) {
  LaunchOptions options;
  options.command = {"no-such-command-anywhere"};
  EXPECT_EQ(GameProcess::Start(options).status().code(), absl::StatusCode::kNotFound);
  options.command = {"/etc"};
  EXPECT_EQ(GameProcess::Start(options).status().code(), absl::StatusCode::kNotFound);
  const ToyFolder folder;
  folder.Write("broken", "neither a program nor a script");
  std::filesystem::permissions(folder.path() + "/broken", std::filesystem::perms::owner_all);
  options.command = {folder.path() + "/broken"};
  const absl::Status status = GameProcess::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Exec format error"));
}

TEST(GameProcess, ManyStartsAndStopsFromManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 10; ++i) {
        LaunchOptions options;
        options.command = {i % 2 ? "/bin/true" : "/bin/cat"};
        absl::StatusOr<std::unique_ptr<GameProcess>> game = GameProcess::Start(options);
        ASSERT_TRUE(game.ok()) << game.status();
        if (i % 3 == 0) (*game)->Stop(absl::Milliseconds(1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace midlane
