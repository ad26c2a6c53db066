#include "deploy/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "deploy/files.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

ProcessOptions Shell(const std::string& script) {
  ProcessOptions options;
  options.command = {"/bin/sh", "-c", script};
  options.log = ::testing::TempDir() + "/midlane_process_test.log";
  return options;
}

bool WaitUntil(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

TEST(Process, TellsExitCodesAndSignals) {
  auto fine = Process::Start(Shell("echo hello; echo oops >&2"));
  ASSERT_TRUE(fine.ok());
  ASSERT_TRUE(WaitUntil([&] { return !(*fine)->Running(); }));
  EXPECT_TRUE((*fine)->succeeded());
  EXPECT_EQ(FileTail(Shell("").log, 2), "hello\noops");

  auto failing = Process::Start(Shell("exit 7"));
  ASSERT_TRUE(WaitUntil([&] { return !(*failing)->Running(); }));
  EXPECT_EQ((*failing)->Outcome(), "exit code 7");
  EXPECT_FALSE((*failing)->killed());

  auto killed = Process::Start(Shell("kill -9 $$"));
  ASSERT_TRUE(WaitUntil([&] { return !(*killed)->Running(); }));
  EXPECT_THAT((*killed)->Outcome(), HasSubstr("signal 9"));
  EXPECT_TRUE((*killed)->killed());
}

TEST(Process, SaysWhatCannotBeRun) {
  ProcessOptions options = Shell("");
  options.command = {"/nowhere/program"};
  auto process = Process::Start(options);
  ASSERT_TRUE(process.ok());
  ASSERT_TRUE(WaitUntil([&] { return !(*process)->Running(); }));
  EXPECT_EQ((*process)->exit_code(), 127);
  EXPECT_THAT(FileTail(options.log, 1), HasSubstr("/nowhere/program"));
}

TEST(Process, PassesTheEnvironmentAndAppends) {
  ProcessOptions options = Shell("echo $GREETING");
  options.environment = {{"GREETING", "one"}};
  auto first = Process::Start(options);
  ASSERT_TRUE(WaitUntil([&] { return !(*first)->Running(); }));
  options.environment["GREETING"] = "two";
  options.append_log = true;
  auto second = Process::Start(options);
  ASSERT_TRUE(WaitUntil([&] { return !(*second)->Running(); }));
  EXPECT_EQ(FileTail(options.log, 3), "one\ntwo");
}

TEST(Process, TerminateAsksThenKills) {
  auto polite = Process::Start(Shell("trap 'exit 3' TERM; while :; do sleep 0.01; done"));
  ASSERT_TRUE(WaitUntil([&] { return (*polite)->Running(); }));
  absl::SleepFor(absl::Milliseconds(200));
  (*polite)->Terminate(absl::Seconds(10));
  EXPECT_EQ((*polite)->Outcome(), "exit code 3");

  auto deaf = Process::Start(Shell("trap '' TERM; while :; do sleep 0.01; done"));
  absl::SleepFor(absl::Milliseconds(200));
  (*deaf)->Terminate(absl::Milliseconds(100));
  EXPECT_THAT((*deaf)->Outcome(), HasSubstr("signal 9"));
}

TEST(Process, NoticesThatAChildIsStopped) {
  auto process = Process::Start(Shell("while :; do sleep 0.01; done"));
  ASSERT_TRUE((*process)->Running());
  EXPECT_EQ((*process)->stopped_since(), absl::InfiniteFuture());
  (*process)->Signal(SIGSTOP);
  EXPECT_TRUE(WaitUntil([&] {
    return (*process)->Running() && (*process)->stopped_since() < absl::InfiniteFuture();
  }));
  (*process)->Signal(SIGCONT);
  EXPECT_TRUE(WaitUntil([&] {
    return (*process)->Running() && (*process)->stopped_since() == absl::InfiniteFuture();
  }));
}

TEST(Process, ChildrenEndWithTheirParent) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    auto process = Process::Start(Shell("sleep 60"));
    const pid_t child = (*process)->pid();
    (void)!write(pipe_ends[1], &child, sizeof child);
    pause();
  }
  pid_t child = 0;
  ASSERT_EQ(read(pipe_ends[0], &child, sizeof child), ssize_t(sizeof child));
  absl::SleepFor(absl::Milliseconds(200));
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  // An orphan is reaped by init, or stays a zombie where there is none.
  EXPECT_TRUE(WaitUntil([&] {
    if (kill(child, 0) != 0) return true;
    const std::string stat = FileTail("/proc/" + std::to_string(child) + "/stat", 1);
    return stat.find(") Z") != std::string::npos;
  }));
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

}  // namespace
}  // namespace midlane
