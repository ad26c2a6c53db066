// clock: the virtual clock of the game.
//
// Purpose: one deterministic time that moves only when the game waits (and by step_ns when it
//   asks). Free-running (speed 0) a wait costs nothing; at speed N a wait also sleeps until real
//   time has caught up. The wall clock shows kEpoch + the same time.
// Thread-safety: any thread may read. Only the owner thread moves the clock (at first the main
//   thread, then the one that declares a spec); another thread's wait is a real one, so that a
//   helper thread can neither move game time nor spin.
//   A main loop on one thread and Lua on another are kept in step only by a speed, not
//   free-running.
// Units: nanoseconds of game time.
#ifndef MIDLANE_PRELOAD_CLOCK_H_
#define MIDLANE_PRELOAD_CLOCK_H_

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

// Seconds from the Unix epoch to the virtual clock's zero (2020-01-01).
#define MIDLANE_CLOCK_EPOCH_S 1577836800ULL

struct midlane_clock {
  uint64_t now_ns;
  uint64_t start_ns;
  uint64_t step_ns;
  double speed;  // 0: free-running
  bool virtual_time;
  uint64_t paced_real_ns;  // real time at which the clock showed paced_virtual_ns
  uint64_t paced_virtual_ns;
};

extern struct midlane_clock midlane_clock;
extern __thread bool midlane_clock_owner __attribute__((tls_model("initial-exec")));

// Starts virtual time; the calling thread owns it.
void midlane_clock_start(uint64_t start_ns, uint64_t step_ns, double speed);

// A start that differs from seed to seed, a whole number of milliseconds in [1 s, ~12 days).
uint64_t midlane_clock_seeded_start(uint64_t seed);

// While it is held, time stands still: the owner's waits do not return before it is let go. An
// exchange holds it, so that a game whose clock runs on another thread than its Lua does not run
// away from a host that is thinking. Not for the owner itself.
void midlane_clock_hold(bool held);

// Makes the calling thread the owner, and no other.
void midlane_clock_take(void);

// Owner: advances by `ns` and paces. Other threads: really sleeps `ns`.
void midlane_clock_wait(uint64_t ns);

// Owner only: advances by `ns` without waiting for real time, for which a later wait makes up.
void midlane_clock_advance(uint64_t ns);

// Owner only: `ns` pass at once, whatever the speed.
void midlane_clock_skip(uint64_t ns);

// Real monotonic time, whatever the hooks do, and a real sleep.
uint64_t midlane_real_now_ns(void);
void midlane_real_sleep_ns(uint64_t ns);

static inline uint64_t midlane_clock_peek(void) {
  return __atomic_load_n(&midlane_clock.now_ns, __ATOMIC_RELAXED);
}

// The time as the game reads it.
static inline uint64_t midlane_clock_read(void) {
  uint64_t now = midlane_clock_peek();
  if (midlane_clock.step_ns && midlane_clock_owner) {
    now += midlane_clock.step_ns;
    __atomic_store_n(&midlane_clock.now_ns, now, __ATOMIC_RELAXED);
  }
  return now;
}

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_CLOCK_H_
