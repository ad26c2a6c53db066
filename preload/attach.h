// attach: what the shim is in this process.
//
// Purpose: decides once, from the environment, whether to pass everything through (no channel, or a
//   wrapper on the way to the game), only to count (MIDLANE_ANNOUNCE=1, vanilla), or to attach.
// Thread-safety: midlane_attach runs in the library's constructor, before the game's threads, or
//   before that where another library's constructor reaches a hook first.
#ifndef MIDLANE_PRELOAD_ATTACH_H_
#define MIDLANE_PRELOAD_ATTACH_H_

#include <stdbool.h>

#include "preload/adapter.h"
#include "preload/announce.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MIDLANE_ENV_ANNOUNCE "MIDLANE_ANNOUNCE"

enum midlane_watch {
  MIDLANE_WATCH_NOTHING = 0,  // hooks forward and do nothing else
  MIDLANE_WATCH_COUNT = 1,    // states, chunks and calls are counted
  MIDLANE_WATCH_ADAPT = 2,    // states get the adapter
};

extern enum midlane_watch midlane_watch;

extern bool midlane_attach_decided;
void midlane_attach(void);

static inline void midlane_attach_once(void) {
  if (__builtin_expect(!midlane_attach_decided, 0)) midlane_attach();
}

// The process ends in an orderly way: CLOSED, and the report where one was asked for.
void midlane_leave(void);

// The hooks' side: a state was opened or is about to close, a chunk was loaded, a call failed.
void midlane_watch_opened(lua_State* L);
void midlane_watch_closing(lua_State* L);
void midlane_watch_chunk(lua_State* L, const char* name);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_ATTACH_H_
