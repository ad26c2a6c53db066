#define _GNU_SOURCE
#include "preload/clock.h"

#include <errno.h>

#include "preload/random.h"
#include "preload/real.h"

enum { kNsPerSecond = 1000000000 };
// Shorter waits for real time are saved up: a sleep is never exact.
static const uint64_t kPaceSlackNs = 500 * 1000;
// A game that fell this far behind real time does not hurry to catch up.
static const uint64_t kPaceForgiveNs = 250 * 1000 * 1000;

struct midlane_clock midlane_clock;
__thread bool midlane_clock_owner __attribute__((tls_model("initial-exec")));
static __thread uint32_t owner_ticket __attribute__((tls_model("initial-exec")));
static uint32_t owner_generation;
static uint32_t holds;
static const uint64_t kHeldLookNs = 50 * 1000;

typedef int (*clock_gettime_function)(clockid_t, struct timespec*);
typedef int (*clock_nanosleep_function)(clockid_t, int, const struct timespec*, struct timespec*);

uint64_t midlane_real_now_ns(void) {
  MIDLANE_REAL(clock_gettime, clock_gettime_function);
  struct timespec now = {0, 0};
  if (real_clock_gettime) real_clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * kNsPerSecond + (uint64_t)now.tv_nsec;
}

void midlane_real_sleep_ns(uint64_t ns) {
  MIDLANE_REAL(clock_nanosleep, clock_nanosleep_function);
  struct timespec left = {(time_t)(ns / kNsPerSecond), (long)(ns % kNsPerSecond)};
  while (real_clock_nanosleep && real_clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
  }
}

void midlane_clock_take(void) {
  owner_ticket = __atomic_add_fetch(&owner_generation, 1, __ATOMIC_RELAXED);
  midlane_clock_owner = true;
}

void midlane_clock_hold(bool held) {
  if (midlane_clock_owner || !midlane_clock.virtual_time) return;
  __atomic_add_fetch(&holds, held ? 1 : (uint32_t)-1, __ATOMIC_RELAXED);
}

static void wait_while_held(void) {
  if (__builtin_expect(__atomic_load_n(&holds, __ATOMIC_RELAXED) == 0, 1)) return;
  while (__atomic_load_n(&holds, __ATOMIC_RELAXED) != 0) midlane_real_sleep_ns(kHeldLookNs);
  // Real time went on meanwhile: the pace starts afresh.
  midlane_clock.paced_real_ns = midlane_real_now_ns();
  midlane_clock.paced_virtual_ns = midlane_clock_peek();
}

void midlane_clock_start(uint64_t start_ns, uint64_t step_ns, double speed) {
  midlane_clock.start_ns = start_ns;
  midlane_clock.step_ns = step_ns;
  midlane_clock.speed = speed;
  midlane_clock.paced_real_ns = speed > 0 ? midlane_real_now_ns() : 0;
  midlane_clock.paced_virtual_ns = start_ns;
  __atomic_store_n(&midlane_clock.now_ns, start_ns, __ATOMIC_RELAXED);
  midlane_clock_take();
  midlane_clock.virtual_time = true;
}

uint64_t midlane_clock_seeded_start(uint64_t seed) {
  const uint64_t kSpanMs = 1ULL << 30;
  return (1000 + midlane_mix(seed) % kSpanMs) * 1000000ULL;
}

static void pace(uint64_t now) {
  uint64_t real_now = midlane_real_now_ns();
  uint64_t due = midlane_clock.paced_real_ns +
                 (uint64_t)((double)(now - midlane_clock.paced_virtual_ns) / midlane_clock.speed);
  if (due > real_now + kPaceSlackNs) {
    midlane_real_sleep_ns(due - real_now);
  } else if (real_now > due + kPaceForgiveNs) {
    midlane_clock.paced_real_ns = real_now;
    midlane_clock.paced_virtual_ns = now;
  }
}

void midlane_clock_advance(uint64_t ns) {
  __atomic_store_n(&midlane_clock.now_ns, midlane_clock_peek() + ns, __ATOMIC_RELAXED);
}

void midlane_clock_skip(uint64_t ns) {
  midlane_clock_advance(ns);
  midlane_clock.paced_virtual_ns += ns;
}

void midlane_clock_wait(uint64_t ns) {
  if (midlane_clock_owner && owner_ticket != __atomic_load_n(&owner_generation, __ATOMIC_RELAXED)) {
    midlane_clock_owner = false;
  }
  if (!midlane_clock_owner) {
    midlane_real_sleep_ns(ns);
    return;
  }
  wait_while_held();
  midlane_clock_advance(ns);
  if (midlane_clock.speed > 0) pace(midlane_clock_peek());
}
