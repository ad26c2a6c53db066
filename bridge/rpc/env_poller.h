// EnvPoller: one thread that waits for the Envs of many worlds, on one doorbell.
//
// A game's post wakes this thread alone, whichever world it is of. A poller with a core keeps to
//   it, and so do the games of its worlds: for a client that keeps to the same core, since a
//   wake-up across cores costs several times one on the core (docs/decisions/0007-lanes.md).
// Thread-safety: all methods, any thread.
// Ownership: shares the doorbell with the Envs; outlives what it polls.
#ifndef MIDLANE_BRIDGE_RPC_ENV_POLLER_H_
#define MIDLANE_BRIDGE_RPC_ENV_POLLER_H_

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bridge/doorbell.h"
#include "bridge/rpc/completion.h"

namespace midlane::rpc {

// What waits for an Env.
class Polled {
 public:
  // Looks whether the answer is there; called after each ring, and ten times a second without one.
  // On the poller's thread.
  virtual void Poll(Finished* finished) = 0;

 protected:
  ~Polled() = default;
};

// What is to be told that a time has come.
class Timed {
 public:
  // On the poller's thread, under no lock. Answers when it wants to be told again; InfiniteFuture:
  // not any more.
  virtual absl::Time OnTime(absl::Time now) = 0;

 protected:
  ~Timed() = default;
};

class EnvPoller {
 public:
  // ResourceExhausted where the doorbell cannot be made.
  static absl::StatusOr<std::unique_ptr<EnvPoller>> Create(std::optional<int> core = std::nullopt);
  ~EnvPoller();
  EnvPoller(const EnvPoller&) = delete;
  EnvPoller& operator=(const EnvPoller&) = delete;

  // What every polled Env rings.
  const std::shared_ptr<Doorbell>& doorbell() const { return doorbell_; }

  void Add(Polled* polled);
  // Poll is not called any more, nor under way, when it returns. Not from within Poll.
  void Remove(Polled* polled);

  // Runs `task` soon on the poller's thread, under no lock; it may not wait.
  void Do(std::function<void()> task);

  // Where the poller has a core, the calling thread and what it starts keep to it from now on.
  void PinCaller() const;

  // Has `timed` told at `time` or a little later, unless it is gone by then.
  void At(absl::Time time, std::weak_ptr<Timed> timed);

 private:
  EnvPoller(std::shared_ptr<Doorbell> doorbell, std::optional<int> core);
  void Run();
  void DoTasks();
  // Tells those whose time has come; answers how long the next one has still to wait.
  absl::Duration TellTimed();

  const std::shared_ptr<Doorbell> doorbell_;
  const std::optional<int> core_;
  absl::Mutex tasks_mu_;
  std::vector<std::function<void()>> tasks_ ABSL_GUARDED_BY(tasks_mu_);
  absl::Mutex mu_;
  std::vector<Polled*> polled_ ABSL_GUARDED_BY(mu_);
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  absl::Mutex timed_mu_;
  std::vector<std::pair<absl::Time, std::weak_ptr<Timed>>> timed_ ABSL_GUARDED_BY(timed_mu_);
  std::thread thread_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_ENV_POLLER_H_
