#include "bridge/doorbell.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "bridge/futex.h"

namespace midlane {
namespace {

constexpr absl::Duration kLongestWait = absl::Hours(24);

// Rings count upwards and wrap, so order is the sign of the difference.
bool Reached(uint32_t rings, uint32_t target) { return static_cast<int32_t>(rings - target) >= 0; }

}  // namespace

absl::StatusOr<std::shared_ptr<Doorbell>> Doorbell::Create() {
  const int fd = memfd_create("midlane-doorbell", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, sizeof(midlane_doorbell)) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot create the doorbell's memory (", strerror(error),
                     "): raise the limit of open files (ulimit -n) or free memory"));
  }
  void* memory = mmap(nullptr, sizeof(midlane_doorbell), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot map the doorbell's memory (", strerror(error), "): free memory"));
  }
  auto* shared = new (memory) midlane_doorbell{};
  shared->magic = MIDLANE_DOORBELL_MAGIC;
  shared->abi = MIDLANE_CHANNEL_ABI;
  return std::shared_ptr<Doorbell>(new Doorbell(fd, shared));
}

Doorbell::~Doorbell() {
  munmap(shared_, sizeof(midlane_doorbell));
  close(fd_);
}

void Doorbell::Ring() {
  const uint32_t rings = shared_->rings.fetch_add(1, std::memory_order_seq_cst) + 1;
  if (shared_->asleep.load(std::memory_order_seq_cst) == 0) return;
  if (!Reached(rings, shared_->wake_at.load(std::memory_order_relaxed))) return;
  // The flag is the sleeper's own to clear: who took it here could be late, and take that of the
  // next sleep, which then nobody would end.
  FutexWake(&shared_->rings);
}

bool Doorbell::WaitFor(uint32_t seen, uint32_t count, absl::Duration timeout, uint32_t spin) {
  const uint32_t target = seen + count;
  for (uint32_t i = 0; i < spin; ++i) {
    if (Reached(rings(), target)) return true;
    CpuRelax();
  }
  if (Reached(rings(), target)) return true;
  if (timeout <= absl::ZeroDuration()) return false;
  const int64_t deadline_ns =
      MonotonicNs() + absl::ToInt64Nanoseconds(std::min(timeout, kLongestWait));
  for (;;) {
    // Announce the sleep, then look again: a ring either sees the flag or is seen here.
    shared_->wake_at.store(target, std::memory_order_relaxed);
    shared_->asleep.store(1, std::memory_order_seq_cst);
    const uint32_t now = shared_->rings.load(std::memory_order_seq_cst);
    if (Reached(now, target)) break;
    FutexWaitUntil(&shared_->rings, now, deadline_ns);
    if (Reached(rings(), target)) break;
    if (MonotonicNs() >= deadline_ns) {
      shared_->asleep.store(0, std::memory_order_relaxed);
      return Reached(rings(), target);
    }
  }
  shared_->asleep.store(0, std::memory_order_relaxed);
  return true;
}

}  // namespace midlane
