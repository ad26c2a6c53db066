// Doorbell: one futex on which a host waits for any of many games.
//
// Each post of a game rings once (rings + 1). WaitFor(seen, count) sleeps until `count` rings have
// come since `seen`, so a host that wants k observations for one batch is woken once, not k times.
// Thread-safety: Ring from any thread or process; Wait from one thread at a time.
// Ownership: owns its memfd and mapping; games inherit fd().
#ifndef MIDLANE_BRIDGE_DOORBELL_H_
#define MIDLANE_BRIDGE_DOORBELL_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bridge/channel.h"

namespace midlane {

class Doorbell {
 public:
  static absl::StatusOr<std::shared_ptr<Doorbell>> Create();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  int fd() const { return fd_; }
  uint32_t rings() const { return shared_->rings.load(std::memory_order_acquire); }
  void Ring();

  // True when at least `count` rings have come since `seen`; false at the timeout. Polls `spin`
  // times before it sleeps.
  bool WaitFor(uint32_t seen, uint32_t count, absl::Duration timeout, uint32_t spin = 0);

 private:
  Doorbell(int fd, midlane_doorbell* shared) : fd_(fd), shared_(shared) {}

  int fd_;
  midlane_doorbell* shared_;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_DOORBELL_H_
