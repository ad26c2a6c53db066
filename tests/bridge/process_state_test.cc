#include "bridge/process_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace midlane {
namespace {

// A child that does `what` until it is killed.
template <typename What>
class Child {
 public:
  explicit Child(What what) : pid_(fork()) {
    if (pid_ != 0) return;
    for (;;) what();
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  const pid_t pid_;
};

// The state settles a little after the fork.
std::string Settled(pid_t pid, const std::string& wanted) {
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text = ProcessStateText(pid);
    if (text.find(wanted) != std::string::npos) break;
    usleep(10000);
  }
  return text;
}

TEST(ProcessState, TellsSleepFromWork) {
  const Child sleeper([] { pause(); });
  EXPECT_THAT(Settled(sleeper.pid(), "sleeps"), testing::StartsWith("it sleeps"));
  volatile unsigned work = 0;
  const Child worker([&work] { work = work + 1; });
  EXPECT_EQ(Settled(worker.pid(), "busy"), "it is busy");
}

TEST(ProcessState, TellsAStoppedProcess) {
  const Child child([] { pause(); });
  kill(child.pid(), SIGSTOP);
  EXPECT_THAT(Settled(child.pid(), "stopped"), testing::StartsWith("it is stopped"));
}

TEST(ProcessState, IsEmptyOfAProcessThatIsGone) {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  EXPECT_EQ(Settled(pid, "nothing"), "") << "a zombie";
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(ProcessStateText(pid), "");
}

}  // namespace
}  // namespace midlane
