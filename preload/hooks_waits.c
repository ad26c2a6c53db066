// The exported waits with a timeout. Under the virtual clock a timeout is game time: for the
// clock's owner, a wait for descriptors looks once and then passes its timeout at once; a wait for
// another thread waits as long in real time (that thread needs it), and then passes it. Deadlines,
// which the game computed from the virtual clock, are moved to the real one. Other threads wait
// really.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

#include "preload/clock.h"
#include "preload/real.h"

#define EXPORT __attribute__((visibility("default")))

enum { kNsPerSecond = 1000000000, kNsPerMs = 1000000 };

static bool passes_at_once(int64_t timeout_ns) {
  return midlane_clock.virtual_time && midlane_clock_owner && timeout_ns > 0;
}

static int64_t timespec_ns(const struct timespec* time) {
  return time ? (int64_t)time->tv_sec * kNsPerSecond + time->tv_nsec : -1;
}

EXPORT int poll(struct pollfd* files, nfds_t count, int timeout_ms) {
  MIDLANE_REAL(poll, int (*)(struct pollfd*, nfds_t, int));
  if (!passes_at_once(timeout_ms)) return real_poll(files, count, timeout_ms);
  int ready = real_poll(files, count, 0);
  if (ready != 0) return ready;
  midlane_clock_wait((uint64_t)timeout_ms * kNsPerMs);
  return real_poll(files, count, 0);
}

EXPORT int __poll_chk(struct pollfd* files, nfds_t count, int timeout_ms, size_t bytes);
EXPORT int __poll_chk(struct pollfd* files, nfds_t count, int timeout_ms, size_t bytes) {
  if (passes_at_once(timeout_ms) && bytes / sizeof(*files) >= count) {
    return poll(files, count, timeout_ms);
  }
  MIDLANE_REAL(__poll_chk, int (*)(struct pollfd*, nfds_t, int, size_t));
  return real___poll_chk(files, count, timeout_ms, bytes);
}

EXPORT int ppoll(struct pollfd* files, nfds_t count, const struct timespec* timeout,
                 const sigset_t* mask) {
  MIDLANE_REAL(ppoll, int (*)(struct pollfd*, nfds_t, const struct timespec*, const sigset_t*));
  const struct timespec now = {0, 0};
  if (!passes_at_once(timespec_ns(timeout))) return real_ppoll(files, count, timeout, mask);
  int ready = real_ppoll(files, count, &now, mask);
  if (ready != 0) return ready;
  midlane_clock_wait((uint64_t)timespec_ns(timeout));
  return real_ppoll(files, count, &now, mask);
}

EXPORT int select(int count, fd_set* restrict read, fd_set* restrict write, fd_set* restrict except,
                  struct timeval* restrict timeout) {
  MIDLANE_REAL(select, int (*)(int, fd_set*, fd_set*, fd_set*, struct timeval*));
  int64_t ns = timeout ? (int64_t)timeout->tv_sec * kNsPerSecond + timeout->tv_usec * 1000LL : -1;
  if (!passes_at_once(ns)) return real_select(count, read, write, except, timeout);
  // A select that finds nothing empties the sets: pass the time first, then look.
  midlane_clock_wait((uint64_t)ns);
  timeout->tv_sec = 0;
  timeout->tv_usec = 0;
  return real_select(count, read, write, except, timeout);
}

EXPORT int pselect(int count, fd_set* restrict read, fd_set* restrict write,
                   fd_set* restrict except, const struct timespec* restrict timeout,
                   const sigset_t* restrict mask) {
  MIDLANE_REAL(pselect,
               int (*)(int, fd_set*, fd_set*, fd_set*, const struct timespec*, const sigset_t*));
  const struct timespec now = {0, 0};
  if (!passes_at_once(timespec_ns(timeout))) {
    return real_pselect(count, read, write, except, timeout, mask);
  }
  midlane_clock_wait((uint64_t)timespec_ns(timeout));
  return real_pselect(count, read, write, except, &now, mask);
}

EXPORT int epoll_wait(int file, struct epoll_event* events, int count, int timeout_ms) {
  MIDLANE_REAL(epoll_wait, int (*)(int, struct epoll_event*, int, int));
  if (!passes_at_once(timeout_ms)) return real_epoll_wait(file, events, count, timeout_ms);
  int ready = real_epoll_wait(file, events, count, 0);
  if (ready != 0) return ready;
  midlane_clock_wait((uint64_t)timeout_ms * kNsPerMs);
  return real_epoll_wait(file, events, count, 0);
}

EXPORT int epoll_pwait(int file, struct epoll_event* events, int count, int timeout_ms,
                       const sigset_t* mask) {
  MIDLANE_REAL(epoll_pwait, int (*)(int, struct epoll_event*, int, int, const sigset_t*));
  if (!passes_at_once(timeout_ms)) return real_epoll_pwait(file, events, count, timeout_ms, mask);
  int ready = real_epoll_pwait(file, events, count, 0, mask);
  if (ready != 0) return ready;
  midlane_clock_wait((uint64_t)timeout_ms * kNsPerMs);
  return real_epoll_pwait(file, events, count, 0, mask);
}

// A deadline that the game took from the virtual clock.
struct deadline {
  struct timespec real;
  uint64_t left_ns;
};

// Which clock a deadline without one means is seen by its size: the virtual monotonic clock starts
// near zero, the virtual wall clock in 2020.
static struct deadline moved(const struct timespec* given) {
  MIDLANE_REAL(clock_gettime, int (*)(clockid_t, struct timespec*));
  const uint64_t epoch_ns = MIDLANE_CLOCK_EPOCH_S * kNsPerSecond;
  uint64_t wanted = timespec_ns(given) > 0 ? (uint64_t)timespec_ns(given) : 0;
  bool wall = wanted >= epoch_ns;
  uint64_t now = midlane_clock_peek() + (wall ? epoch_ns : 0);
  struct deadline deadline = {{0, 0}, wanted > now ? wanted - now : 0};
  real_clock_gettime(wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, &deadline.real);
  double speed = midlane_clock.speed > 0 ? midlane_clock.speed : 1;
  uint64_t due =
      (uint64_t)timespec_ns(&deadline.real) + (uint64_t)((double)deadline.left_ns / speed);
  deadline.real.tv_sec = (time_t)(due / kNsPerSecond);
  deadline.real.tv_nsec = (long)(due % kNsPerSecond);
  return deadline;
}

static void pass(const struct deadline* deadline, bool timed_out) {
  if (timed_out && midlane_clock_owner) midlane_clock_advance(deadline->left_ns);
}

// glibc keeps an old pthread_cond_timedwait beside the real one; the newest is meant.
static midlane_function real_cond_timedwait(void) {
  static midlane_function real;
  if (!real) real = (midlane_function)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (!real) real = midlane_real("pthread_cond_timedwait");
  return real;
}

EXPORT int pthread_cond_timedwait(pthread_cond_t* restrict condition,
                                  pthread_mutex_t* restrict mutex,
                                  const struct timespec* restrict until) {
  __typeof__(&pthread_cond_timedwait) real =
      (__typeof__(&pthread_cond_timedwait))real_cond_timedwait();
  if (!midlane_clock.virtual_time) return real(condition, mutex, until);
  struct deadline deadline = moved(until);
  int result = real(condition, mutex, &deadline.real);
  pass(&deadline, result == ETIMEDOUT);
  return result;
}

EXPORT int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                  clockid_t clock, const struct timespec* until) {
  MIDLANE_REAL(pthread_cond_clockwait,
               int (*)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const struct timespec*));
  if (!midlane_clock.virtual_time)
    return real_pthread_cond_clockwait(condition, mutex, clock, until);
  struct deadline deadline = moved(until);
  int result = real_pthread_cond_clockwait(condition, mutex, clock, &deadline.real);
  pass(&deadline, result == ETIMEDOUT);
  return result;
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t* restrict mutex,
                                   const struct timespec* restrict until) {
  MIDLANE_REAL(pthread_mutex_timedlock, int (*)(pthread_mutex_t*, const struct timespec*));
  if (!midlane_clock.virtual_time) return real_pthread_mutex_timedlock(mutex, until);
  struct deadline deadline = moved(until);
  int result = real_pthread_mutex_timedlock(mutex, &deadline.real);
  pass(&deadline, result == ETIMEDOUT);
  return result;
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock,
                                   const struct timespec* until) {
  MIDLANE_REAL(pthread_mutex_clocklock,
               int (*)(pthread_mutex_t*, clockid_t, const struct timespec*));
  if (!midlane_clock.virtual_time) return real_pthread_mutex_clocklock(mutex, clock, until);
  struct deadline deadline = moved(until);
  int result = real_pthread_mutex_clocklock(mutex, clock, &deadline.real);
  pass(&deadline, result == ETIMEDOUT);
  return result;
}

EXPORT int sem_timedwait(sem_t* restrict semaphore, const struct timespec* restrict until) {
  MIDLANE_REAL(sem_timedwait, int (*)(sem_t*, const struct timespec*));
  if (!midlane_clock.virtual_time) return real_sem_timedwait(semaphore, until);
  struct deadline deadline = moved(until);
  int result = real_sem_timedwait(semaphore, &deadline.real);
  pass(&deadline, result != 0 && errno == ETIMEDOUT);
  return result;
}

EXPORT int sem_clockwait(sem_t* semaphore, clockid_t clock, const struct timespec* until) {
  MIDLANE_REAL(sem_clockwait, int (*)(sem_t*, clockid_t, const struct timespec*));
  if (!midlane_clock.virtual_time) return real_sem_clockwait(semaphore, clock, until);
  struct deadline deadline = moved(until);
  int result = real_sem_clockwait(semaphore, clock, &deadline.real);
  pass(&deadline, result != 0 && errno == ETIMEDOUT);
  return result;
}
