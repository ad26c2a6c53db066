// The exported Lua hooks: each forwards to the real function and, where something is watched, tells
// attach.h what happened. Nothing is held while a real function runs: it may longjmp or throw.
// Parameters are the widest of all dialects; the real function ignores what it does not take.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "preload/attach.h"
#include "preload/fail.h"
#include "preload/loader.h"
#include "preload/real.h"

#define EXPORT __attribute__((visibility("default")))

static midlane_function forward(const char* name, const void* return_address) {
  midlane_function real = midlane_lua_forward(name, return_address);
  if (!real) {
    midlane_say("%s was called, but no loaded library holds it: please report the game", name);
    _Exit(MIDLANE_EXIT_FALLBACK);
  }
  return real;
}

// `real` of the hook's own type, and whether this call is of interest: something is watched, the
// shim itself does not run Lua, and where there are several Lua libraries it is the game's one.
#define REAL(name)                                                                               \
  static __typeof__(&name) cached;                                                               \
  __typeof__(&name) real = cached;                                                               \
  if (__builtin_expect(real == NULL || midlane_lua_attention != MIDLANE_LUA_CALM, 0)) {          \
    real = (__typeof__(&name))forward(#name, __builtin_return_address(0));                       \
    __atomic_store_n(&cached, real, __ATOMIC_RELAXED);                                           \
  }                                                                                              \
  const bool watched =                                                                           \
      __builtin_expect(midlane_watch != MIDLANE_WATCH_NOTHING, 0) && !midlane_adapter_running && \
      (midlane_lua_attention == MIDLANE_LUA_CALM || is_the_games((const void*)real));            \
  if (watched) midlane_hook_reached(MIDLANE_HOOK_##name)

static bool is_the_games(const void* real) {
  return midlane_lua.dialect == MIDLANE_LUA_NONE || midlane_lua.linked_in ||
         midlane_lua_calls_itself(real);
}

typedef void* (*lua_Alloc)(void*, void*, size_t, size_t);

EXPORT lua_State* luaL_newstate(void) {
  midlane_attach_once();
  REAL(luaL_newstate);
  lua_State* L = real();
  if (watched && L) midlane_watch_opened(L);
  return L;
}

EXPORT lua_State* lua_newstate(lua_Alloc allocate, void* data, unsigned seed) {
  midlane_attach_once();
  REAL(lua_newstate);
  lua_State* L = real(allocate, data, seed);
  if (watched && L) midlane_watch_opened(L);
  return L;
}

EXPORT void lua_close(lua_State* L) {
  REAL(lua_close);
  if (watched && L) midlane_watch_closing(L);
  real(L);
}

EXPORT void luaL_openlibs(lua_State* L) {
  REAL(luaL_openlibs);
  real(L);
}

EXPORT void luaL_requiref(lua_State* L, const char* name, lua_CFunction open, int global) {
  REAL(luaL_requiref);
  real(L, name, open, global);
}

EXPORT lua_State* lua_newthread(lua_State* L) {
  REAL(lua_newthread);
  return real(L);
}

EXPORT int luaL_loadbuffer(lua_State* L, const char* text, size_t bytes, const char* name) {
  REAL(luaL_loadbuffer);
  int status = real(L, text, bytes, name);
  if (watched && status == MIDLANE_LUA_OK) midlane_watch_chunk(L, name);
  return status;
}

EXPORT int luaL_loadbufferx(lua_State* L, const char* text, size_t bytes, const char* name,
                            const char* mode) {
  REAL(luaL_loadbufferx);
  int status = real(L, text, bytes, name, mode);
  if (watched && status == MIDLANE_LUA_OK) midlane_watch_chunk(L, name);
  return status;
}

EXPORT int luaL_loadstring(lua_State* L, const char* text) {
  REAL(luaL_loadstring);
  int status = real(L, text);
  if (watched && status == MIDLANE_LUA_OK) midlane_watch_chunk(L, text);
  return status;
}

EXPORT int luaL_loadfile(lua_State* L, const char* path) {
  REAL(luaL_loadfile);
  int status = real(L, path);
  if (watched && status == MIDLANE_LUA_OK) midlane_watch_chunk(L, path ? path : "stdin");
  return status;
}

EXPORT int luaL_loadfilex(lua_State* L, const char* path, const char* mode) {
  REAL(luaL_loadfilex);
  int status = real(L, path, mode);
  if (watched && status == MIDLANE_LUA_OK) midlane_watch_chunk(L, path ? path : "stdin");
  return status;
}

EXPORT int lua_load(lua_State* L, lua_Reader reader, void* data, const char* name,
                    const char* mode) {
  REAL(lua_load);
  int status = real(L, reader, data, name, mode);
  if (watched && status == MIDLANE_LUA_OK) midlane_watch_chunk(L, name);
  return status;
}

EXPORT int lua_loadx(lua_State* L, lua_Reader reader, void* data, const char* name,
                     const char* mode) {
  REAL(lua_loadx);
  int status = real(L, reader, data, name, mode);
  if (watched && status == MIDLANE_LUA_OK) midlane_watch_chunk(L, name);
  return status;
}

// One shape for the four kinds of call: `run` is the forwarded call and yields `status`.
#define CALL(name, run)                                                                    \
  REAL(name);                                                                              \
  if (!watched) return run;                                                                \
  if (midlane_watch == MIDLANE_WATCH_COUNT) {                                              \
    atomic_fetch_add_explicit(&midlane_announcement->calls, 1, memory_order_relaxed);      \
    return run;                                                                            \
  }                                                                                        \
  struct midlane_run first_run;                                                            \
  bool chunk = midlane_chunks_pending != 0 && midlane_adapter_begin(L, nargs, &first_run); \
  int status = run;                                                                        \
  if (__builtin_expect(chunk, 0)) midlane_adapter_end(L, &first_run, status);              \
  if (__builtin_expect(status > MIDLANE_LUA_YIELD, 0) &&                                   \
      !midlane_lua_calls_itself(__builtin_return_address(0)))                              \
    midlane_adapter_inspect(L);                                                            \
  return status

EXPORT int lua_pcall(lua_State* L, int nargs, int nresults, int handler) {
  CALL(lua_pcall, real(L, nargs, nresults, handler));
}

EXPORT int lua_pcallk(lua_State* L, int nargs, int nresults, int handler, intptr_t context,
                      void* continuation) {
  CALL(lua_pcallk, real(L, nargs, nresults, handler, context, continuation));
}

EXPORT int lua_cpcall(lua_State* L, lua_CFunction function, void* data) {
  REAL(lua_cpcall);
  return real(L, function, data);
}

EXPORT void lua_call(lua_State* L, int nargs, int nresults) {
  REAL(lua_call);
  struct midlane_run first_run;
  bool chunk =
      watched && midlane_chunks_pending != 0 && midlane_adapter_begin(L, nargs, &first_run);
  real(L, nargs, nresults);
  if (chunk) midlane_adapter_end(L, &first_run, MIDLANE_LUA_OK);
}

EXPORT void lua_callk(lua_State* L, int nargs, int nresults, intptr_t context, void* continuation) {
  REAL(lua_callk);
  struct midlane_run first_run;
  bool chunk =
      watched && midlane_chunks_pending != 0 && midlane_adapter_begin(L, nargs, &first_run);
  real(L, nargs, nresults, context, continuation);
  if (chunk) midlane_adapter_end(L, &first_run, MIDLANE_LUA_OK);
}

// 5.1, LuaJIT: (L, nargs); 5.2, 5.3: (L, from, nargs); 5.4: (L, from, nargs, nresults).
EXPORT int lua_resume(lua_State* L, intptr_t second, intptr_t third, intptr_t fourth) {
  REAL(lua_resume);
  if (!watched || midlane_watch == MIDLANE_WATCH_COUNT || midlane_chunks_pending == 0) {
    return real(L, second, third, fourth);
  }
  bool short_form = midlane_lua.dialect == MIDLANE_LUA_51 || midlane_lua.dialect == MIDLANE_LUA_JIT;
  struct midlane_run first_run;
  bool chunk = midlane_adapter_resume(L, (int)(short_form ? second : third), &first_run);
  int status = real(L, second, third, fourth);
  if (chunk) midlane_adapter_resumed(L, &first_run, status);
  if (status > MIDLANE_LUA_YIELD && !midlane_lua_calls_itself(__builtin_return_address(0))) {
    midlane_adapter_inspect(L);
  }
  return status;
}

midlane_function midlane_hook_named(const char* name) {
  static const struct {
    const char* name;
    midlane_function hook;
  } hooks[] = {
#define MIDLANE_HOOK_ENTRY(name) {#name, (midlane_function)name},
      MIDLANE_HOOKS(MIDLANE_HOOK_ENTRY)
#undef MIDLANE_HOOK_ENTRY
  };
  for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
    if (strcmp(hooks[i].name, name) == 0) return hooks[i].hook;
  }
  return NULL;
}
