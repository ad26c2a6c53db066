#include "bridge/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bridge/descriptor.h"
#include "bridge/game_watch.h"
#include "bridge/minder.h"

namespace midlane {
namespace {

constexpr size_t kEnvironmentVariables = 64;    // padded to a multiple
constexpr size_t kEnvironmentBytes = 16 << 10;  // padded to a multiple
constexpr absl::Duration kReapLimit = absl::Seconds(5);
constexpr absl::Duration kLongestWait = absl::Hours(24);

// What a game may know of its surroundings. The rest stays out: it would move the game's stack.
constexpr const char* kPassedOn[] = {
    "PATH",         "LANG",    "LANGUAGE",        "LC_ALL",          "LC_CTYPE",
    "TZ",           "DISPLAY", "XAUTHORITY",      "WAYLAND_DISPLAY", "TMPDIR",
    "USER",         "LOGNAME", "XDG_RUNTIME_DIR", "XDG_DATA_DIRS",   "LD_LIBRARY_PATH",
    "ASAN_OPTIONS",
};

struct Child {
  const char* path;
  char* const* argv;
  char* const* envp;
  const char* directory;  // or null
  const int* inherited;
  size_t inherited_count;
  int output;  // or -1
  int null_input;
  int minder;
  bool randomise;
  int errors;  // close-on-exec: takes errno where there is no exec
};

[[noreturn]] void GiveUp(const Child* child) {
  const int error = errno;
  if (write(child->errors, &error, sizeof(error)) != sizeof(error)) _exit(126);
  _exit(127);
}

// In the child between vfork and exec: system calls only, on memory that is still the parent's.
[[noreturn]] void BecomeGame(const Child* child) {
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  setpgid(0, 0);
  TellMinder(child->minder, getpid());
  if (!child->randomise) {
    const int persona = personality(0xffffffff);
    if (persona >= 0) personality(static_cast<unsigned long>(persona) | ADDR_NO_RANDOMIZE);
  }
  if (child->null_input >= 0) dup2(child->null_input, STDIN_FILENO);
  if (child->output >= 0) {
    dup2(child->output, STDOUT_FILENO);
    dup2(child->output, STDERR_FILENO);
  }
  for (size_t i = 0; i < child->inherited_count; ++i) {
    const int flags = fcntl(child->inherited[i], F_GETFD);
    fcntl(child->inherited[i], F_SETFD, flags & ~FD_CLOEXEC);
  }
  if (child->directory != nullptr && chdir(child->directory) != 0) GiveUp(child);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(child->path, child->argv, child->envp);
  GiveUp(child);
}

// Not inlined: vfork's child shares this frame.
[[gnu::noinline]] pid_t Spawn(const Child* child) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = vfork();
  if (pid == 0) BecomeGame(child);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return pid;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

absl::Status Refused(absl::string_view what, int error) {
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot ", what, " (", strerror(error),
                   "): raise the limits of open files and processes (ulimit -n, ulimit -u)"));
}

}  // namespace

std::string ExitText(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    return absl::StrCat("signal ", number, " (", strsignal(number), ")");
  }
  return absl::StrCat("exit status ", WEXITSTATUS(wait_status));
}

static bool IsExecutable(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         access(path.c_str(), X_OK) == 0;
}

absl::StatusOr<std::string> FindExecutable(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (IsExecutable(name)) return name;
    return absl::NotFoundError(absl::StrCat("there is no executable ", name));
  }
  const char* path = std::getenv("PATH");
  const std::string searched = path == nullptr ? "/usr/bin:/bin" : path;
  for (absl::string_view folder : absl::StrSplit(searched, ':', absl::SkipEmpty())) {
    const std::string candidate = absl::StrCat(folder, "/", name);
    if (IsExecutable(candidate)) return candidate;
  }
  return absl::NotFoundError(absl::StrCat("there is no executable ", name, " in ", searched));
}

std::vector<std::string> GameEnvironment(
    const std::vector<std::pair<std::string, std::string>>& extra) {
  std::map<std::string, std::string> variables;
  for (const char* name : kPassedOn) {
    if (const char* value = std::getenv(name)) variables[name] = value;
  }
  for (const auto& [name, value] : extra) {
    if (value.empty()) {
      variables.erase(name);
    } else {
      variables[name] = value;
    }
  }
  std::vector<std::string> result;
  size_t bytes = 0;
  const auto add = [&](std::string entry) {
    bytes += entry.size() + 1;
    result.push_back(std::move(entry));
  };
  for (const auto& [name, value] : variables) add(absl::StrCat(name, "=", value));
  const size_t count = (result.size() / kEnvironmentVariables + 1) * kEnvironmentVariables;
  while (result.size() + 1 < count) add(absl::StrCat("MIDLANE_PAD", result.size(), "="));
  std::string last = absl::StrCat("MIDLANE_PAD", result.size(), "=");
  last.resize(last.size() + kEnvironmentBytes - (bytes + last.size() + 1) % kEnvironmentBytes, '.');
  add(std::move(last));
  return result;
}

absl::StatusOr<std::unique_ptr<GameProcess>> GameProcess::Start(const LaunchOptions& options) {
  absl::StatusOr<std::string> path = FindExecutable(options.command.at(0));
  if (!path.ok()) return path.status();
  absl::StatusOr<int> minder = MinderSocket();
  if (!minder.ok()) return minder.status();
  absl::StatusOr<std::shared_ptr<GameWatch>> watch = GameWatch::Shared();
  if (!watch.ok()) return watch.status();

  Descriptor output, output_write, null_input;
  if (options.keep_output) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return Refused("open a pipe", errno);
    output.reset(ends[0]);
    output_write.reset(ends[1]);
    fcntl(output.get(), F_SETFL, O_NONBLOCK);
  }
  // Not the terminal: the game's group is in its background, where reading stops a process.
  null_input.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Descriptor errors, errors_write;
  {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return Refused("open a pipe", errno);
    errors.reset(ends[0]);
    errors_write.reset(ends[1]);
  }
  const std::vector<char*> argv = Pointers(options.command);
  const std::vector<char*> envp = Pointers(options.environment);
  const Child child{path->c_str(),
                    argv.data(),
                    envp.data(),
                    options.directory.empty() ? nullptr : options.directory.c_str(),
                    options.inherited.data(),
                    options.inherited.size(),
                    output_write.get(),
                    null_input.get(),
                    *minder,
                    options.randomise_addresses,
                    errors_write.get()};
  const pid_t pid = Spawn(&child);
  if (pid < 0) return Refused("start a process", errno);
  errors_write.reset(-1);
  int error = 0;
  ssize_t told;
  while ((told = read(errors.get(), &error, sizeof(error))) < 0 && errno == EINTR) {
  }
  if (told > 0) {
    TellMinder(*minder, -pid);
    waitpid(pid, nullptr, 0);
    return absl::FailedPreconditionError(absl::StrCat("cannot execute ", *path, " (",
                                                      strerror(error),
                                                      "): make it an executable for this machine"));
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    const int error = errno;
    kill(-pid, SIGKILL);
    TellMinder(*minder, -pid);
    waitpid(pid, nullptr, 0);
    return Refused("watch a process (Linux 5.3 or later is needed)", error);
  }
  auto game = std::make_shared<WatchedGame>();
  game->pid = pid;
  game->pidfd = pidfd;
  game->output = output.release();
  game->minder = *minder;
  game->on_exit = options.on_exit;
  std::unique_ptr<GameProcess> process(new GameProcess(*watch, game));
  if (absl::Status status = (*watch)->Add(game); !status.ok()) return status;
  return process;
}

GameProcess::GameProcess(std::shared_ptr<GameWatch> watch, std::shared_ptr<WatchedGame> game)
    : watch_(std::move(watch)), game_(std::move(game)) {}

GameProcess::~GameProcess() { Kill(); }

pid_t GameProcess::pid() const { return game_->pid; }

bool GameProcess::exited() const { return game_->exited.load(std::memory_order_acquire); }

std::string GameProcess::ExitText() const {
  std::lock_guard<std::mutex> lock(game_->mutex);
  return midlane::ExitText(game_->wait_status);
}

std::string GameProcess::LastLines() const {
  std::lock_guard<std::mutex> lock(game_->mutex);
  return game_->lines.Text();
}

bool GameProcess::WaitExit(absl::Duration timeout) const {
  std::unique_lock<std::mutex> lock(game_->mutex);
  return game_->changed.wait_for(lock, absl::ToChronoNanoseconds(std::min(timeout, kLongestWait)),
                                 [this] { return game_->ended; });
}

void GameProcess::Stop(absl::Duration grace) {
  if (!WaitExit(grace)) {
    {
      std::lock_guard<std::mutex> lock(game_->mutex);
      if (!game_->reaped) {
        kill(-game_->pid, SIGTERM);
        kill(-game_->pid, SIGCONT);  // a stopped process takes no other signal
      }
    }
    WaitExit(grace);
  }
  Kill();
}

void GameProcess::Kill() {
  {
    std::lock_guard<std::mutex> lock(game_->mutex);
    if (!game_->reaped) kill(-game_->pid, SIGKILL);
  }
  WaitExit(kReapLimit);
}

}  // namespace midlane
