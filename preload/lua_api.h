// lua_api: the game's own Lua, as one table of functions for every dialect.
//
// Purpose: the shim links no Lua. It finds the library that the game uses and calls it through this
//   table, the same in 5.1, 5.2, 5.3, 5.4 and LuaJIT; where the C API differs, the table holds what
//   there is (NULL: the dialect has none) and the inline functions below even it out. API calls
//   only, never a look into a struct.
// Thread-safety: resolved once, constant from then on.
// Errors: midlane_lua_resolve answers false where no loaded object holds Lua (yet).
#ifndef MIDLANE_PRELOAD_LUA_API_H_
#define MIDLANE_PRELOAD_LUA_API_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/real.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lua_State lua_State;
typedef int (*lua_CFunction)(lua_State*);
typedef const char* (*lua_Reader)(lua_State*, void*, size_t*);

enum midlane_dialect {
  MIDLANE_LUA_NONE,
  MIDLANE_LUA_51,
  MIDLANE_LUA_52,
  MIDLANE_LUA_53,
  MIDLANE_LUA_54,
  MIDLANE_LUA_JIT,
};

// Values that are the same in every dialect.
enum {
  MIDLANE_TNIL = 0,
  MIDLANE_TBOOLEAN = 1,
  MIDLANE_TNUMBER = 3,
  MIDLANE_TSTRING = 4,
  MIDLANE_TTABLE = 5,
  MIDLANE_TFUNCTION = 6,
  MIDLANE_LUA_OK = 0,
  MIDLANE_LUA_YIELD = 1,
  MIDLANE_LUA_ERRERR = 6,
};

// X(return type, name, parameters). Functions whose result type changed between dialects are
// declared with the part that all share. Names of one line each are required in every dialect.
#define MIDLANE_LUA_REQUIRED(X)                               \
  X(int, lua_gettop, (lua_State*))                            \
  X(void, lua_settop, (lua_State*, int))                      \
  X(void, lua_pushvalue, (lua_State*, int))                   \
  X(int, lua_checkstack, (lua_State*, int))                   \
  X(int, lua_type, (lua_State*, int))                         \
  X(int, lua_toboolean, (lua_State*, int))                    \
  X(const char*, lua_tolstring, (lua_State*, int, size_t*))   \
  X(void*, lua_touserdata, (lua_State*, int))                 \
  X(const void*, lua_topointer, (lua_State*, int))            \
  X(void, lua_pushnil, (lua_State*))                          \
  X(void, lua_pushnumber, (lua_State*, double))               \
  X(void, lua_pushinteger, (lua_State*, intptr_t))            \
  X(void, lua_pushboolean, (lua_State*, int))                 \
  X(void, lua_pushlstring, (lua_State*, const char*, size_t)) \
  X(void, lua_pushcclosure, (lua_State*, lua_CFunction, int)) \
  X(void, lua_pushlightuserdata, (lua_State*, void*))         \
  X(void, lua_createtable, (lua_State*, int, int))            \
  X(void, lua_rawget, (lua_State*, int))                      \
  X(void, lua_rawset, (lua_State*, int))                      \
  X(void, lua_rawgeti, (lua_State*, int, int))                \
  X(void, lua_rawseti, (lua_State*, int, int))                \
  X(int, lua_rawequal, (lua_State*, int, int))                \
  X(int, lua_getmetatable, (lua_State*, int))                 \
  X(int, lua_setmetatable, (lua_State*, int))                 \
  X(const char*, lua_getupvalue, (lua_State*, int, int))      \
  X(const char*, lua_setupvalue, (lua_State*, int, int))      \
  X(int, luaL_error, (lua_State*, const char*, ...))

#define MIDLANE_LUA_OPTIONAL(X)                                                         \
  X(double, lua_tonumberx, (lua_State*, int, int*))                /* not 5.1 */        \
  X(double, lua_tonumber, (lua_State*, int))                       /* 5.1, LuaJIT */    \
  X(size_t, lua_rawlen, (lua_State*, int))                         /* 5.2 on */         \
  X(size_t, lua_objlen, (lua_State*, int))                         /* 5.1, LuaJIT */    \
  X(void, lua_replace, (lua_State*, int))                          /* 5.1, LuaJIT */    \
  X(void, lua_getfenv, (lua_State*, int))                          /* 5.1, LuaJIT */    \
  X(int, lua_setfenv, (lua_State*, int))                           /* 5.1, LuaJIT */    \
  X(int, lua_pcallk, (lua_State*, int, int, int, intptr_t, void*)) /* 5.2 on */         \
  X(int, lua_pcall, (lua_State*, int, int, int))                   /* 5.1, LuaJIT */    \
  X(int, lua_cpcall, (lua_State*, lua_CFunction, void*))           /* 5.1, LuaJIT */    \
  X(int, luaL_loadbufferx, (lua_State*, const char*, size_t, const char*, const char*)) \
  X(int, luaL_loadbuffer, (lua_State*, const char*, size_t, const char*))               \
  X(int, luaopen_base, (lua_State*))                                                    \
  X(int, luaopen_table, (lua_State*))                                                   \
  X(int, luaopen_string, (lua_State*))                                                  \
  X(int, luaopen_math, (lua_State*))                                                    \
  X(int, luaopen_io, (lua_State*))                                                      \
  X(int, luaopen_os, (lua_State*))                                                      \
  X(int, luaopen_debug, (lua_State*))                                                   \
  X(int, luaopen_coroutine, (lua_State*))                                               \
  X(int, luaopen_utf8, (lua_State*))                                                    \
  X(int, luaopen_bit32, (lua_State*))                                                   \
  X(int, luaopen_bit, (lua_State*))

struct midlane_lua {
  enum midlane_dialect dialect;
  int registry_index;
  char library[256];  // file that holds Lua
  bool plugin;        // it came after the program had begun
  bool linked_in;     // into the executable
  uintptr_t begin;    // its memory: [begin, end)
  uintptr_t end;
#define MIDLANE_LUA_FIELD(result, name, parameters) result(*name) parameters;
  MIDLANE_LUA_REQUIRED(MIDLANE_LUA_FIELD)
  MIDLANE_LUA_OPTIONAL(MIDLANE_LUA_FIELD)
#undef MIDLANE_LUA_FIELD
};

extern struct midlane_lua midlane_lua;  // dialect NONE until resolved

// Looks for Lua in the loaded objects and fills midlane_lua. True where it is (already) filled.
bool midlane_lua_resolve(void);

// True where a call comes from Lua itself (lua's own pcall, require, ...), by its return address.
static inline bool midlane_lua_calls_itself(const void* return_address) {
  return (uintptr_t)return_address - midlane_lua.begin < midlane_lua.end - midlane_lua.begin;
}

// Name as in midlane_announcement.dialect.
const char* midlane_lua_dialect_name(enum midlane_dialect dialect);

// Fills `lua` from a source of functions (NULL: it has none of that name). False where these are
// not a whole Lua. Touches only the dialect, the registry's index and the functions.
typedef midlane_function (*midlane_lua_lookup)(const char* name, void* source);
bool midlane_lua_fill(struct midlane_lua* lua, midlane_lua_lookup lookup, void* source);

// More than one library of the process holds Lua. Then hooks must ask midlane_lua_forward at each
// call, and only calls into midlane_lua's library are the game's.
enum midlane_lua_attention {
  MIDLANE_LUA_CALM = 0,
  MIDLANE_LUA_RECOUNT = 1,  // an object may have been loaded
  MIDLANE_LUA_MANY = 2,
};
extern int midlane_lua_attention;

// Where a call of the hook `name` from `return_address` must go on: the library that the caller
// would have reached without the shim. NULL where there is none.
midlane_function midlane_lua_forward(const char* name, const void* return_address);

// The second library's file where there are several, else "".
const char* midlane_lua_second_library(void);

// [-0, +0, -] index of upvalue i of the running C function.
static inline int midlane_lua_upvalue(int i) {
  bool globals_index =
      midlane_lua.dialect == MIDLANE_LUA_51 || midlane_lua.dialect == MIDLANE_LUA_JIT;
  return midlane_lua.registry_index - (globals_index ? 2 : 0) - i;
}

// [-0, +0, -] the number at `index`; *ok = 0 where it is none.
static inline double midlane_lua_tonumber(lua_State* L, int index, int* ok) {
  if (midlane_lua.lua_tonumberx) return midlane_lua.lua_tonumberx(L, index, ok);
  double value = midlane_lua.lua_tonumber(L, index);
  *ok = value != 0 || midlane_lua.lua_type(L, index) == MIDLANE_TNUMBER;
  return value;
}

// [-0, +0, -] length of a table, without metamethods.
static inline size_t midlane_lua_length(lua_State* L, int index) {
  return midlane_lua.lua_rawlen ? midlane_lua.lua_rawlen(L, index)
                                : midlane_lua.lua_objlen(L, index);
}

// [-(nargs + 1), +(nresults | 1), -]
static inline int midlane_lua_pcall(lua_State* L, int nargs, int nresults, int handler) {
  return midlane_lua.lua_pcallk ? midlane_lua.lua_pcallk(L, nargs, nresults, handler, 0, NULL)
                                : midlane_lua.lua_pcall(L, nargs, nresults, handler);
}

// [-0, +1, m] pushes the registry's value of a lightuserdata key.
static inline void midlane_lua_registry_get(lua_State* L, const void* key) {
  midlane_lua.lua_pushlightuserdata(L, (void*)key);
  midlane_lua.lua_rawget(L, midlane_lua.registry_index);
}

// [-1, +0, m] pops a value into the registry under a lightuserdata key.
void midlane_lua_registry_set(lua_State* L, const void* key);

// [-0, +1, m] pushes t[name] of the table at absolute index `table`, without metamethods.
void midlane_lua_get(lua_State* L, int table, const char* name);

// [-1, +0, m] pops a value into t[name] of the table at absolute index `table`.
void midlane_lua_set(lua_State* L, int table, const char* name);

// [-0, +1, m]
void midlane_lua_pushstring(lua_State* L, const char* text);

// [-0, +1, -] the global table.
void midlane_lua_push_globals(lua_State* L);

// [-1, +0, -] pops a table and makes it the global table.
void midlane_lua_set_globals(lua_State* L);

// [-0, +1, m] the environment of the function at `index` (nil where it has none).
void midlane_lua_push_environment(lua_State* L, int index);

// [-1, +0, -] pops a table and makes it the environment of the chunk at `index`.
void midlane_lua_set_environment(lua_State* L, int index);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_LUA_API_H_
