#include "preload/sandbox.h"

#include <stddef.h>

struct library {
  const char* name;
  lua_CFunction open;
};

// [-0, +0, -] opens one library into the current globals (the environment at `environment`).
static void open_library(lua_State* L, int environment, const struct library* library) {
  int top = midlane_lua.lua_gettop(L);
  midlane_lua.lua_pushcclosure(L, library->open, 0);
  midlane_lua_pushstring(L, library->name);
  if (midlane_lua_pcall(L, 1, 1, 0) == MIDLANE_LUA_OK && library->name[0] != '\0' &&
      midlane_lua.lua_type(L, -1) == MIDLANE_TTABLE) {
    midlane_lua_set(L, environment, library->name);
  }
  midlane_lua.lua_settop(L, top);
}

// The libraries register themselves in _LOADED and in the global table, and luaopen_string replaces
// the metatable of strings. All three are exchanged while they open and put back after; only where
// the game's strings have no methods at all, the adapter's stay, since strings share one metatable.
void midlane_sandbox_push(lua_State* L) {
  const struct library libraries[] = {
      {"", midlane_lua.luaopen_base},
      {"table", midlane_lua.luaopen_table},
      {"string", midlane_lua.luaopen_string},
      {"math", midlane_lua.luaopen_math},
      {"os", midlane_lua.luaopen_os},
      {"debug", midlane_lua.luaopen_debug},
      {"coroutine", midlane_lua.luaopen_coroutine},
      {"utf8", midlane_lua.luaopen_utf8},
      {"bit32", midlane_lua.luaopen_bit32},
      {"bit", midlane_lua.luaopen_bit},
  };
  const int registry = midlane_lua.registry_index;
  midlane_lua.lua_createtable(L, 0, 32);
  const int environment = midlane_lua.lua_gettop(L);
  midlane_lua_push_globals(L);
  const int globals = environment + 1;
  midlane_lua_get(L, registry, "_LOADED");
  const int loaded = environment + 2;
  midlane_lua_pushstring(L, "");
  const int string = environment + 3;
  if (!midlane_lua.lua_getmetatable(L, string)) midlane_lua.lua_pushnil(L);
  const int string_metatable = environment + 4;

  midlane_lua.lua_createtable(L, 0, 16);
  midlane_lua_set(L, registry, "_LOADED");
  midlane_lua.lua_pushvalue(L, environment);
  midlane_lua_set_globals(L);
  for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
    if (libraries[i].open) open_library(L, environment, &libraries[i]);
  }
  midlane_lua.lua_pushvalue(L, globals);
  midlane_lua_set_globals(L);
  midlane_lua.lua_pushvalue(L, loaded);
  midlane_lua_set(L, registry, "_LOADED");
  if (midlane_lua.lua_type(L, string_metatable) == MIDLANE_TTABLE) {
    midlane_lua.lua_pushvalue(L, string_metatable);
    midlane_lua.lua_setmetatable(L, string);
  }

  midlane_lua.lua_createtable(L, 0, 1);
  midlane_lua.lua_pushvalue(L, globals);
  midlane_lua_set(L, environment + 5, "__index");
  midlane_lua.lua_setmetatable(L, environment);
  midlane_lua.lua_settop(L, environment);
}
