// sandbox: the adapter's own environment, beside the game's.
//
// Purpose: a table with the whole standard library (but io, package), whatever the game removed
//   from its sandbox, which reads through to the game's globals. What the adapter assigns to its
//   globals stays there: the game's tables are left as they are.
// Thread-safety: on the thread that owns L.
#ifndef MIDLANE_PRELOAD_SANDBOX_H_
#define MIDLANE_PRELOAD_SANDBOX_H_

#include "preload/lua_api.h"

#ifdef __cplusplus
extern "C" {
#endif

// [-0, +1, m] pushes a new environment.
void midlane_sandbox_push(lua_State* L);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_SANDBOX_H_
