#include "bridge/game_watch.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bridge/launcher.h"
#include "bridge/minder.h"

namespace midlane {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kLastReadBytes = 4 << 20;  // after the end: what a pipe and a late child hold
constexpr int kEvents = 64;
constexpr int kFloodPauseUs = 1000;

// An event names a game and which of its descriptors is ready; pid 0 is the stop event.
uint64_t EventKey(pid_t pid, bool is_output) {
  return (static_cast<uint64_t>(pid) << 1) | (is_output ? 1 : 0);
}

absl::Status Refused(absl::string_view what) {
  return absl::ResourceExhaustedError(absl::StrCat("cannot ", what, " (", strerror(errno),
                                                   "): raise the limit of open files (ulimit -n)"));
}

}  // namespace

void LastLines::Add(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const absl::string_view piece = bytes.substr(0, end);
    if (open_.size() < kOutputLineBytesMax) {
      open_.append(piece.data(), std::min(piece.size(), kOutputLineBytesMax - open_.size()));
    }
    if (end == absl::string_view::npos) return;
    lines_.push_back(std::move(open_));
    open_.clear();
    if (lines_.size() > kOutputLinesMax) lines_.pop_front();
    bytes.remove_prefix(end + 1);
  }
}

std::string LastLines::Text() const {
  std::string text;
  for (const std::string& line : lines_) absl::StrAppend(&text, line, "\n");
  if (!open_.empty()) absl::StrAppend(&text, open_, "\n");
  return text;
}

absl::StatusOr<std::shared_ptr<GameWatch>> GameWatch::Shared() {
  static auto* const mutex = new std::mutex;
  static auto* const current = new std::weak_ptr<GameWatch>;
  std::lock_guard<std::mutex> lock(*mutex);
  if (std::shared_ptr<GameWatch> running = current->lock()) return running;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return Refused("watch games");
  const int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) {
    const absl::Status status = Refused("watch games");
    close(epoll);
    return status;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = EventKey(0, false);
  epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event);
  std::shared_ptr<GameWatch> watch(new GameWatch(epoll, wake));
  // Signals are for the host's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  watch->thread_ = std::thread([raw = watch.get()] { raw->Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  *current = watch;
  return watch;
}

GameWatch::~GameWatch() {
  eventfd_write(wake_, 1);
  thread_.join();
  close(wake_);
  close(epoll_);
}

absl::Status GameWatch::Add(std::shared_ptr<WatchedGame> game) {
  const pid_t pid = game->pid;
  const int pidfd = game->pidfd, output = game->output;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    games_[pid] = game;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = EventKey(pid, true);
  bool watched = output < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, output, &event) == 0;
  event.data.u64 = EventKey(pid, false);
  watched = watched && epoll_ctl(epoll_, EPOLL_CTL_ADD, pidfd, &event) == 0;
  if (watched) return absl::OkStatus();
  const absl::Status status = Refused("watch a game");
  Finish(game.get());
  return status;
}

bool GameWatch::Drain(WatchedGame* game, size_t most) {
  char buffer[kReadBytes];
  while (most > 0) {
    const ssize_t got = read(game->output, buffer, std::min(sizeof(buffer), most));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    std::lock_guard<std::mutex> lock(game->mutex);
    game->lines.Add(absl::string_view(buffer, static_cast<size_t>(got)));
    most -= static_cast<size_t>(got);
  }
  return true;
}

void GameWatch::Finish(WatchedGame* game) {
  {
    // Until the reaping the group's number cannot belong to anybody else, so stragglers first.
    std::lock_guard<std::mutex> lock(game->mutex);
    kill(-game->pid, SIGKILL);
    TellMinder(game->minder, -game->pid);
    while (waitpid(game->pid, &game->wait_status, 0) < 0 && errno == EINTR) {
    }
    game->reaped = true;
  }
  if (game->output >= 0) {
    Drain(game, kLastReadBytes);
    close(game->output);
  }
  close(game->pidfd);
  {
    std::lock_guard<std::mutex> lock(game->mutex);
    game->ended = true;
    game->exited.store(true, std::memory_order_release);
  }
  game->changed.notify_all();
  if (game->on_exit) game->on_exit();
  std::lock_guard<std::mutex> lock(mutex_);
  games_.erase(game->pid);
}

void GameWatch::Run() {
  epoll_event events[kEvents];
  for (;;) {
    const int count = epoll_wait(epoll_, events, kEvents, -1);
    if (count < 0 && errno != EINTR) return;
    bool flooded = false;
    for (int i = 0; i < count; ++i) {
      const uint64_t key = events[i].data.u64;
      if (key == EventKey(0, false)) return;
      std::shared_ptr<WatchedGame> game;
      {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto found = games_.find(static_cast<pid_t>(key >> 1));
        if (found != games_.end()) game = found->second;
      }
      if (game == nullptr) continue;  // ended earlier in this batch
      if ((key & 1) == 0) {
        Finish(game.get());
      } else if (Drain(game.get(), kReadBytes)) {
        flooded = true;
      } else if (events[i].events & (EPOLLHUP | EPOLLERR)) {
        epoll_ctl(epoll_, EPOLL_CTL_DEL, game->output, nullptr);
      }
    }
    // A game that floods its output is slowed by its pipe, not given a core.
    if (flooded) usleep(kFloodPauseUs);
  }
}

}  // namespace midlane
