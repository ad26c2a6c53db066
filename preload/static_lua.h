// static_lua: Lua that is linked into the executable.
//
// Purpose: finds its functions by the executable's symbols, fills midlane_lua with them, and
// detours
//   the few through which all Lua passes to the hooks. Where it is there but has no symbols, or a
//   function cannot be detoured, says so in a sentence: nothing is guessed.
// Thread-safety: none; before the program's threads.
#ifndef MIDLANE_PRELOAD_STATIC_LUA_H_
#define MIDLANE_PRELOAD_STATIC_LUA_H_

#include <stddef.h>

#include "preload/real.h"

#ifdef __cplusplus
extern "C" {
#endif

enum midlane_static {
  MIDLANE_STATIC_NONE,      // no sign of Lua in the executable
  MIDLANE_STATIC_ATTACHED,  // midlane_lua is filled, hooks are reached
  MIDLANE_STATIC_REFUSED,   // Lua is there; `error` says why it cannot be driven
};

// REQUIRES: midlane_lua is not resolved. `hook_named` gives the hook of a name, or NULL.
enum midlane_static midlane_static_attach(midlane_function (*hook_named)(const char* name),
                                          char* error, size_t error_bytes);

// The original of a detoured function, or NULL.
midlane_function midlane_static_original(const char* name);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_STATIC_LUA_H_
