#include "deploy/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge/cores.h"

namespace midlane {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(20);

[[noreturn]] void RunChild(const ProcessOptions& options, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);  // it died before the line above
  setpgid(0, 0);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  const int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, 0);
  if (!options.log.empty()) {
    const int flags = O_WRONLY | O_CREAT | (options.append_log ? O_APPEND : O_TRUNC);
    const int log = open(options.log.c_str(), flags, 0644);
    if (log >= 0) {
      dup2(log, 1);
      dup2(log, 2);
    }
  }
  if (options.niceness != 0) (void)!nice(options.niceness);
  if (options.core) PinToCore(*options.core);
  for (const auto& [name, value] : options.environment) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& word : options.command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(const ProcessOptions& options) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot start ", options.command[0], ": ", strerror(errno)));
  }
  if (pid == 0) RunChild(options, parent);
  setpgid(pid, pid);
  return std::unique_ptr<Process>(new Process(pid));
}

Process::~Process() { Terminate(absl::ZeroDuration()); }

bool Process::Running() {
  if (reaped_) return false;
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG | WUNTRACED | WCONTINUED) == pid_) {
    if (WIFSTOPPED(status)) {
      stopped_since_ = absl::Now();
    } else if (WIFCONTINUED(status)) {
      stopped_since_ = absl::InfiniteFuture();
    } else {
      reaped_ = true;
      if (WIFEXITED(status)) exit_code_ = WEXITSTATUS(status);
      if (WIFSIGNALED(status)) signal_ = WTERMSIG(status);
      return false;
    }
  }
  return true;
}

std::string Process::Outcome() const {
  if (signal_ != 0) return absl::StrCat("signal ", signal_, " (", strsignal(signal_), ")");
  return absl::StrCat("exit code ", exit_code_);
}

void Process::Signal(int signal) {
  if (!reaped_) kill(pid_, signal);
}

void Process::Terminate(absl::Duration grace) {
  if (!Running()) return;
  if (grace > absl::ZeroDuration()) {
    Signal(SIGTERM);
    Signal(SIGCONT);
    const absl::Time deadline = absl::Now() + grace;
    while (Running() && absl::Now() < deadline) absl::SleepFor(kPoll);
  }
  if (Running()) {
    Signal(SIGKILL);
    while (Running()) absl::SleepFor(absl::Milliseconds(1));
  }
}

}  // namespace midlane
