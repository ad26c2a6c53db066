#define _GNU_SOURCE
#include "preload/loader.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>

#include "preload/attach.h"
#include "preload/clock.h"
#include "preload/fail.h"
#include "preload/random.h"

midlane_function midlane_loader_dlopen;

static __thread void* dlsym_answer __attribute__((tls_model("initial-exec")));

static void* answer_dlsym(void) { return dlsym_answer; }

static midlane_function pick_dlopen(intptr_t flags) {
  if (!midlane_loader_dlopen) midlane_loader_dlopen = midlane_real("dlopen");
  midlane_lua_attention = MIDLANE_LUA_RECOUNT;
  bool strip = midlane_watch != MIDLANE_WATCH_NOTHING && (flags & RTLD_DEEPBIND) != 0;
  return strip ? midlane_loader_dlopen_shallow : midlane_loader_dlopen;
}

static midlane_function pick_dlmopen(intptr_t space, const char* file) {
  static midlane_function real;
  if (!real) real = midlane_real("dlmopen");
  const char* name = file ? strrchr(file, '/') : NULL;
  name = name ? name + 1 : file;
  if (midlane_watch != MIDLANE_WATCH_NOTHING && space != LM_ID_BASE && name &&
      strstr(name, "lua")) {
    midlane_refuse("%s is loaded by dlmopen into a namespace of its own, where no shim can reach",
                   file);
  }
  return real;
}

static midlane_function pick_dlsym(void* handle, const char* name) {
  if (midlane_watch == MIDLANE_WATCH_NOTHING || !name || strncmp(name, "lua", 3) != 0 ||
      handle == RTLD_DEFAULT || handle == RTLD_NEXT) {
    return (midlane_function)midlane_dlsym_address();
  }
  midlane_function hook = midlane_hook_named(name);
  void* real = hook ? midlane_dlsym(handle, name) : NULL;
  if (!real || !midlane_lua_resolve() || !midlane_lua_calls_itself(real)) {
    return (midlane_function)midlane_dlsym_address();
  }
  dlsym_answer = (void*)hook;
  return (midlane_function)answer_dlsym;
}

// As libc's syscall(number, a, b, ...).
static long answer_getrandom(long number, void* out, size_t bytes) {
  (void)number;
  midlane_random_fill(out, bytes);
  return (long)bytes;
}

static long answer_clock_gettime(long number, clockid_t clock, struct timespec* out) {
  (void)number;
  return clock_gettime(clock, out);
}

static midlane_function pick_syscall(long number) {
  static midlane_function real;
  if (!real) {
    real = midlane_real("syscall");
    midlane_loader_syscall = real;
  }
  if (number == SYS_getrandom && midlane_random_seeded) return (midlane_function)answer_getrandom;
  if (number == SYS_clock_gettime && midlane_clock.virtual_time) {
    return (midlane_function)answer_clock_gettime;
  }
  return real;
}

midlane_function midlane_loader_pick(const void* first, const void* second, uint32_t index) {
  switch (index) {
    case MIDLANE_LOADER_DLOPEN:
      return pick_dlopen((intptr_t)second);
    case MIDLANE_LOADER_DLMOPEN:
      return pick_dlmopen((intptr_t)first, second);
    case MIDLANE_LOADER_DLSYM:
      return pick_dlsym((void*)first, second);
    default:
      return pick_syscall((long)first);
  }
}
