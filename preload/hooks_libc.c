// The exported libc hooks: time, waits with a timeout or for the disk, randomness. Each forwards
// where nothing is virtual. See clock.h and random.h for what they mean.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "preload/attach.h"
#include "preload/clock.h"
#include "preload/random.h"
#include "preload/real.h"

#define EXPORT __attribute__((visibility("default")))

enum { kNsPerSecond = 1000000000 };

// Another library's constructor may come here before the shim's own.
static bool is_virtual(void) {
  if (midlane_clock.virtual_time) return true;
  midlane_attach_once();
  return midlane_clock.virtual_time;
}

static bool is_seeded(void) {
  if (midlane_random_seeded) return true;
  midlane_attach_once();
  return midlane_random_seeded;
}

static void to_timespec(uint64_t ns, struct timespec* out) {
  out->tv_sec = (time_t)(ns / kNsPerSecond);
  out->tv_nsec = (long)(ns % kNsPerSecond);
}

static uint64_t to_ns(const struct timespec* time) {
  return time->tv_sec < 0 ? 0 : (uint64_t)time->tv_sec * kNsPerSecond + (uint64_t)time->tv_nsec;
}

static uint64_t wall_ns(uint64_t now) { return MIDLANE_CLOCK_EPOCH_S * kNsPerSecond + now; }

// What a virtual clock shows; false for clocks that stay real.
static bool virtual_now(clockid_t clock, uint64_t* ns) {
  if (!is_virtual()) return false;
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
      *ns = wall_ns(midlane_clock_read());
      return true;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
      *ns = midlane_clock_read();
      return true;
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
      *ns = midlane_clock_read() - midlane_clock.start_ns;
      return true;
    default:
      return false;
  }
}

EXPORT int clock_gettime(clockid_t clock, struct timespec* out) {
  uint64_t ns = 0;
  if (virtual_now(clock, &ns)) {
    to_timespec(ns, out);
    return 0;
  }
  MIDLANE_REAL(clock_gettime, int (*)(clockid_t, struct timespec*));
  return real_clock_gettime(clock, out);
}

EXPORT int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  if (is_virtual()) {
    uint64_t ns = wall_ns(midlane_clock_read());
    out->tv_sec = (time_t)(ns / kNsPerSecond);
    out->tv_usec = (suseconds_t)(ns % kNsPerSecond / 1000);
    return 0;
  }
  MIDLANE_REAL(gettimeofday, int (*)(struct timeval*, void*));
  return real_gettimeofday(out, zone);
}

EXPORT time_t time(time_t* out) {
  if (is_virtual()) {
    time_t now = (time_t)(wall_ns(midlane_clock_read()) / kNsPerSecond);
    if (out) *out = now;
    return now;
  }
  MIDLANE_REAL(time, time_t(*)(time_t*));
  return real_time(out);
}

EXPORT clock_t clock(void) {
  if (is_virtual()) {
    return (clock_t)((midlane_clock_read() - midlane_clock.start_ns) / 1000);
  }
  MIDLANE_REAL(clock, clock_t(*)(void));
  return real_clock();
}

EXPORT int nanosleep(const struct timespec* wanted, struct timespec* left) {
  if (is_virtual() && wanted) {
    midlane_clock_wait(to_ns(wanted));
    if (left) to_timespec(0, left);
    return 0;
  }
  MIDLANE_REAL(nanosleep, int (*)(const struct timespec*, struct timespec*));
  return real_nanosleep(wanted, left);
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec* wanted,
                           struct timespec* left) {
  if (is_virtual() && wanted) {
    uint64_t ns = to_ns(wanted);
    if (flags & TIMER_ABSTIME) {
      uint64_t now = midlane_clock_peek();
      if (clock == CLOCK_REALTIME) now = wall_ns(now);
      ns = ns > now ? ns - now : 0;
    } else if (left) {
      to_timespec(0, left);
    }
    midlane_clock_wait(ns);
    return 0;
  }
  MIDLANE_REAL(clock_nanosleep, int (*)(clockid_t, int, const struct timespec*, struct timespec*));
  return real_clock_nanosleep(clock, flags, wanted, left);
}

EXPORT int usleep(useconds_t us) {
  if (is_virtual()) {
    midlane_clock_wait((uint64_t)us * 1000);
    return 0;
  }
  MIDLANE_REAL(usleep, int (*)(useconds_t));
  return real_usleep(us);
}

EXPORT unsigned sleep(unsigned seconds) {
  if (is_virtual()) {
    midlane_clock_wait((uint64_t)seconds * kNsPerSecond);
    return 0;
  }
  MIDLANE_REAL(sleep, unsigned (*)(unsigned));
  return real_sleep(seconds);
}

// Where time is virtual nobody waits for the disk, which can take longer than a game may for an
// answer; what was written is in the kernel's hands, and other processes see it.
static int skip_sync(int fd) { return fcntl(fd, F_GETFD) < 0 ? -1 : 0; }

EXPORT int fsync(int fd) {
  if (is_virtual()) return skip_sync(fd);
  MIDLANE_REAL(fsync, int (*)(int));
  return real_fsync(fd);
}

EXPORT int fdatasync(int fd) {
  if (is_virtual()) return skip_sync(fd);
  MIDLANE_REAL(fdatasync, int (*)(int));
  return real_fdatasync(fd);
}

EXPORT ssize_t getrandom(void* out, size_t bytes, unsigned flags) {
  if (is_seeded()) {
    midlane_random_fill(out, bytes);
    return (ssize_t)bytes;
  }
  MIDLANE_REAL(getrandom, ssize_t(*)(void*, size_t, unsigned));
  return real_getrandom(out, bytes, flags);
}

EXPORT int getentropy(void* out, size_t bytes) {
  if (is_seeded() && bytes <= 256) {
    midlane_random_fill(out, bytes);
    return 0;
  }
  MIDLANE_REAL(getentropy, int (*)(void*, size_t));
  return real_getentropy(out, bytes);
}
