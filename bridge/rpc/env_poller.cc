#include "bridge/rpc/env_poller.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "bridge/cores.h"

namespace midlane::rpc {
namespace {

// Between two looks where nobody rings: a game that is late or died rings nothing of its own.
constexpr absl::Duration kWaitSlice = absl::Milliseconds(100);

}  // namespace

absl::StatusOr<std::unique_ptr<EnvPoller>> EnvPoller::Create(std::optional<int> core) {
  absl::StatusOr<std::shared_ptr<Doorbell>> doorbell = Doorbell::Create();
  if (!doorbell.ok()) return doorbell.status();
  return std::unique_ptr<EnvPoller>(new EnvPoller(*std::move(doorbell), core));
}

EnvPoller::EnvPoller(std::shared_ptr<Doorbell> doorbell, std::optional<int> core)
    : doorbell_(std::move(doorbell)), core_(core) {
  thread_ = std::thread(&EnvPoller::Run, this);
}

EnvPoller::~EnvPoller() {
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
  }
  doorbell_->Ring();
  thread_.join();
}

void EnvPoller::Add(Polled* polled) {
  absl::MutexLock lock(&mu_);
  polled_.push_back(polled);
}

void EnvPoller::Remove(Polled* polled) {
  absl::MutexLock lock(&mu_);
  polled_.erase(std::find(polled_.begin(), polled_.end(), polled));
}

void EnvPoller::Do(std::function<void()> task) {
  {
    absl::MutexLock lock(&tasks_mu_);
    tasks_.push_back(std::move(task));
  }
  doorbell_->Ring();
}

void EnvPoller::PinCaller() const {
  if (core_) PinToCore(*core_);
}

void EnvPoller::DoTasks() {
  std::vector<std::function<void()>> tasks;
  {
    absl::MutexLock lock(&tasks_mu_);
    tasks.swap(tasks_);
  }
  for (const std::function<void()>& task : tasks) task();
}

void EnvPoller::At(absl::Time time, std::weak_ptr<Timed> timed) {
  {
    absl::MutexLock lock(&timed_mu_);
    timed_.emplace_back(time, std::move(timed));
  }
  if (std::this_thread::get_id() != thread_.get_id()) doorbell_->Ring();
}

absl::Duration EnvPoller::TellTimed() {
  std::vector<std::pair<absl::Time, std::weak_ptr<Timed>>> waiting;
  {
    absl::MutexLock lock(&timed_mu_);
    if (timed_.empty()) return absl::InfiniteDuration();
    waiting.swap(timed_);
  }
  const absl::Time now = absl::Now();
  absl::Time next = absl::InfiniteFuture();
  for (auto& [time, timed] : waiting) {
    if (time <= now) {
      const std::shared_ptr<Timed> told = timed.lock();
      time = told == nullptr ? absl::InfiniteFuture() : told->OnTime(now);
    }
    next = std::min(next, time);
  }
  absl::MutexLock lock(&timed_mu_);
  for (auto& entry : waiting) {
    if (entry.first < absl::InfiniteFuture()) timed_.push_back(std::move(entry));
  }
  for (const auto& [time, timed] : timed_) next = std::min(next, time);
  return next - absl::Now();
}

void EnvPoller::Run() {
  PinCaller();
  for (;;) {
    const uint32_t rings = doorbell_->rings();
    DoTasks();
    {
      Finished finished;
      absl::MutexLock lock(&mu_);
      if (stop_) return;
      for (Polled* polled : polled_) polled->Poll(&finished);
    }
    const absl::Duration until_next = TellTimed();
    doorbell_->WaitFor(rings, 1, std::min(until_next, kWaitSlice));
  }
}

}  // namespace midlane::rpc
