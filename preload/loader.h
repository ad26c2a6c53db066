// loader: dlopen, dlmopen, dlsym and syscall, for games that load or find their Lua by hand.
//
// Purpose: RTLD_DEEPBIND is stripped (it would go past the hooks), dlsym of a Lua function answers
//   the hook, syscall(SYS_getrandom) and (SYS_clock_gettime) answer as the libc functions do.
//   Only where something is watched or virtual; everywhere else all four go straight on.
// Thread-safety: any thread.
#ifndef MIDLANE_PRELOAD_LOADER_H_
#define MIDLANE_PRELOAD_LOADER_H_

#include <stdbool.h>
#include <stdint.h>

#include "preload/real.h"

// Indexes of loader_*.S.
enum {
  MIDLANE_LOADER_DLOPEN = 0,
  MIDLANE_LOADER_DLMOPEN = 1,
  MIDLANE_LOADER_DLSYM = 2,
  MIDLANE_LOADER_SYSCALL = 3,
};

// What a call of hook `index` with these first two arguments must jump to.
midlane_function midlane_loader_pick(const void* first, const void* second, uint32_t index);

// libc's syscall (at first the way to pick), and dlopen.
extern midlane_function midlane_loader_syscall;
extern midlane_function midlane_loader_dlopen;

// dlopen without RTLD_DEEPBIND.
void midlane_loader_dlopen_shallow(void);

// The exported hook of that name, or NULL (hooks.c).
midlane_function midlane_hook_named(const char* name);

#endif  // MIDLANE_PRELOAD_LOADER_H_
