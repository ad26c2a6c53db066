// Tells the thread sanitizer what Abseil's locks do. Debian builds Abseil without it, so a lock
// that is taken inside the library would be no lock to the sanitizer, and every access under it a
// race.
//
// The functions here stand before the library's own of the same name, for our calls and for its
// own, report to the sanitizer as Abseil does where it is built with it, and hand over to the
// library.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/base/config.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

#define MIDLANE_STRING(x) #x
#define MIDLANE_STRING_OF(x) MIDLANE_STRING(x)

namespace {

// The library's function: `rest` is its mangled name behind the namespace.
void* LibrarysOwn(const char* prefix, const char* rest) {
  const std::string space = MIDLANE_STRING_OF(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string name =
      std::string("_ZN") + prefix + "4absl" + std::to_string(space.size()) + space + rest;
  void* const function = dlsym(RTLD_NEXT, name.c_str());
  if (function != nullptr) return function;
  std::fprintf(stderr, "tsan_abseil: Abseil's library has no %s\n", name.c_str());
  std::abort();
}

// One of the functions below, which may call another: only the outermost reports.
class Outermost {
 public:
  Outermost() { ++depth_; }
  ~Outermost() { --depth_; }
  explicit operator bool() const { return depth_ == kNone + 1; }

 private:
  static constexpr int kNone = 1;  // not 0: mold 1.10 makes no good program of a lone .tbss
  static thread_local int depth_;
};
thread_local int Outermost::depth_ = kNone;

struct Taken {
  ~Taken() { __tsan_mutex_post_lock(mutex, 0, 0); }
  void* mutex;
};

// `lock` returns with the mutex held.
template <typename Lock>
auto Locking(void* mutex, const Lock& lock) {
  const Outermost outermost;
  if (!outermost) return lock();
  __tsan_mutex_pre_lock(mutex, 0);
  const Taken taken{mutex};
  return lock();
}

// `wait` lets go of the mutex and returns with it held again.
template <typename Wait>
auto Waiting(void* mutex, const Wait& wait) {
  const Outermost outermost;
  if (!outermost) return wait();
  __tsan_mutex_pre_unlock(mutex, 0);
  __tsan_mutex_post_unlock(mutex, 0);
  __tsan_mutex_pre_lock(mutex, 0);
  const Taken taken{mutex};
  return wait();
}

}  // namespace

// REAL(RESULT, PREFIX, NAME, ARGUMENTS...): a pointer to the library's own member function.
#define MIDLANE_REAL(result, prefix, rest, ...) \
  static const auto real = reinterpret_cast<result (*)(__VA_ARGS__)>(LibrarysOwn(prefix, rest))

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  MIDLANE_REAL(void, "", "5Mutex4LockEv", Mutex*);
  Locking(this, [&] { real(this); });
}

void Mutex::Unlock() {
  MIDLANE_REAL(void, "", "5Mutex6UnlockEv", Mutex*);
  const Outermost outermost;
  if (!outermost) return real(this);
  __tsan_mutex_pre_unlock(this, 0);
  real(this);
  __tsan_mutex_post_unlock(this, 0);
}

void Mutex::LockWhen(const Condition& condition) {
  MIDLANE_REAL(void, "", "5Mutex8LockWhenERKNS0_9ConditionE", Mutex*, const Condition&);
  Locking(this, [&] { real(this, condition); });
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  MIDLANE_REAL(bool, "", "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE", Mutex*,
               const Condition&, Time);
  return Locking(this, [&] { return real(this, condition, deadline); });
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  MIDLANE_REAL(bool, "", "5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE", Mutex*,
               const Condition&, Duration);
  return Locking(this, [&] { return real(this, condition, timeout); });
}

void Mutex::Await(const Condition& condition) {
  MIDLANE_REAL(void, "", "5Mutex5AwaitERKNS0_9ConditionE", Mutex*, const Condition&);
  Waiting(this, [&] { real(this, condition); });
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  MIDLANE_REAL(bool, "", "5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", Mutex*,
               const Condition&, Duration);
  return Waiting(this, [&] { return real(this, condition, timeout); });
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  MIDLANE_REAL(bool, "", "5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE", Mutex*,
               const Condition&, Time);
  return Waiting(this, [&] { return real(this, condition, deadline); });
}

void CondVar::Wait(Mutex* mutex) {
  MIDLANE_REAL(void, "", "7CondVar4WaitEPNS0_5MutexE", CondVar*, Mutex*);
  Waiting(mutex, [&] { real(this, mutex); });
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  MIDLANE_REAL(bool, "", "7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", CondVar*, Mutex*,
               Duration);
  return Waiting(mutex, [&] { return real(this, mutex, timeout); });
}

void Notification::Notify() {
  MIDLANE_REAL(void, "", "12Notification6NotifyEv", Notification*);
  __tsan_release(this);
  real(this);
}

void Notification::WaitForNotification() const {
  MIDLANE_REAL(void, "K", "12Notification19WaitForNotificationEv", const Notification*);
  real(this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  MIDLANE_REAL(bool, "K", "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE",
               const Notification*, Duration);
  const bool notified = real(this, timeout);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
