// adapter: the adapter's life inside each lua_State (docs/adapter_api.md).
//
// Purpose: loads the adapter before a state's first chunk runs, and tells it of each chunk that has
//   finished its first run. Thread-safety: on the thread that owns L.
// Errors: an error in the adapter goes to midlane_fail with file and line.
#ifndef MIDLANE_PRELOAD_ADAPTER_H_
#define MIDLANE_PRELOAD_ADAPTER_H_

#include <stdbool.h>

#include "preload/lua_api.h"
#include "preload/states.h"

#ifdef __cplusplus
extern "C" {
#endif

// True while the shim itself runs Lua on this thread (the adapter's load and its callbacks): what
// the hooks see then is not the game's.
extern __thread int midlane_adapter_running __attribute__((tls_model("initial-exec")));

// A pending chunk's first run, between begin and end.
struct midlane_run {
  struct midlane_state_entry* entry;
  struct midlane_chunk* chunk;
};

// Reads the adapter's file. False with a sentence in `error`.
bool midlane_adapter_read(const char* path, char* error, size_t error_bytes);

// [-0, +0, m] enters a new state.
void midlane_adapter_opened(lua_State* L);

// [-0, +0, -] a state is about to close.
void midlane_adapter_closing(lua_State* L);

// [-0, +0, m] the function on top is a chunk that the game loaded. liblua calls itself, so the same
// chunk may come several times; true only for the first. `name` may be NULL.
bool midlane_adapter_chunk(lua_State* L, const char* name);

// [-0, +0, m] the function below `nargs` arguments is about to be called: true where this is a
// pending chunk's first run; then midlane_adapter_end must follow if the call returns.
bool midlane_adapter_begin(lua_State* L, int nargs, struct midlane_run* run);

// [-0, +0, -] the first run returned with `status`.
void midlane_adapter_end(lua_State* L, const struct midlane_run* run, int status);

// [-0, +0, m] as begin and end, for a coroutine: `nargs` counts where it has not started yet.
bool midlane_adapter_resume(lua_State* L, int nargs, struct midlane_run* run);
void midlane_adapter_resumed(lua_State* L, const struct midlane_run* run, int status);

// [-0, +0, -] a protected call that the game made failed with the message on top: fails the channel
// where the message begins with the adapter's name.
void midlane_adapter_inspect(lua_State* L);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_ADAPTER_H_
