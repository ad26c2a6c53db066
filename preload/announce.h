// announce: what the shim found, for the channel and for people.
//
// Purpose: the loader says nothing when a preload fails or finds nothing, so the shim does:
// dialect,
//   linkage, library, states, chunks and the hooks that were reached.
// Thread-safety: counters from any thread.
#ifndef MIDLANE_PRELOAD_ANNOUNCE_H_
#define MIDLANE_PRELOAD_ANNOUNCE_H_

#include <stdbool.h>
#include <stdint.h>

#include "bridge/channel.h"

#ifdef __cplusplus
extern "C" {
#endif

// Hooked Lua functions, in the order of the report.
// (clang-format does not come to rest on this.)
// clang-format off
#define MIDLANE_HOOKS(X) \
  X(luaL_newstate) X(lua_newstate) X(luaL_openlibs) X(luaL_requiref) X(lua_close) \
  X(lua_newthread) X(luaL_loadbuffer) X(luaL_loadbufferx) X(luaL_loadstring) X(luaL_loadfile) \
  X(luaL_loadfilex) X(lua_load) X(lua_loadx) X(lua_pcall) X(lua_cpcall) X(lua_pcallk) \
  X(lua_call) X(lua_callk) X(lua_resume)
// clang-format on

enum midlane_hook {
#define MIDLANE_HOOK_INDEX(name) MIDLANE_HOOK_##name,
  MIDLANE_HOOKS(MIDLANE_HOOK_INDEX)
#undef MIDLANE_HOOK_INDEX
      MIDLANE_HOOK_COUNT,
};

// The announcement: the channel's, or this process's own where there is no channel.
extern struct midlane_announcement* midlane_announcement;
extern uint32_t midlane_hooks_reached;  // bit set of midlane_hook

static inline void midlane_hook_reached(enum midlane_hook hook) {
  if (!(midlane_hooks_reached & (1u << hook))) midlane_hooks_reached |= 1u << hook;
}

// Sets the place of the announcement and the executable's path.
void midlane_announce_begin(struct midlane_announcement* where, const char* executable);

// Enters what midlane_lua holds (once it is resolved).
void midlane_announce_lua(void);

// One line on stderr.
void midlane_announce_report(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_ANNOUNCE_H_
