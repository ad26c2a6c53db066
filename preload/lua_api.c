#define _GNU_SOURCE
#include "preload/lua_api.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "preload/real.h"

struct midlane_lua midlane_lua;

enum {
  kRegistryIndex51 = -10000,
  kGlobalsIndex51 = -10002,
  kRegistryIndex52 = -1001000,
  kRegistryGlobals = 2,  // LUA_RIDX_GLOBALS, 5.2 on
};

const char* midlane_lua_dialect_name(enum midlane_dialect dialect) {
  static const char* const names[] = {"", "5.1", "5.2", "5.3", "5.4", "luajit"};
  return names[dialect];
}

enum midlane_dialect midlane_lua_identify(midlane_lua_has has, void* data) {
  if (!has("lua_newstate", data) || !has("lua_load", data)) return MIDLANE_LUA_NONE;
  if (has("luaJIT_setmode", data)) return MIDLANE_LUA_JIT;
  if (has("lua_setwarnf", data)) return MIDLANE_LUA_54;
  if (has("lua_rotate", data)) return MIDLANE_LUA_53;
  if (has("lua_pcallk", data)) return MIDLANE_LUA_52;
  return has("lua_objlen", data) ? MIDLANE_LUA_51 : MIDLANE_LUA_NONE;
}

static bool object_has(const char* name, void* handle) {
  return midlane_own_symbol(handle, name) != NULL;
}

static bool fill(void* handle, struct midlane_lua* lua) {
  bool complete = true;
#define MIDLANE_LUA_LOOK(result, name, parameters) \
  lua->name = (result(*) parameters)midlane_own_symbol(handle, #name);
#define MIDLANE_LUA_DEMAND(result, name, parameters) \
  MIDLANE_LUA_LOOK(result, name, parameters)         \
  complete = complete && lua->name != NULL;
  MIDLANE_LUA_REQUIRED(MIDLANE_LUA_DEMAND)
  MIDLANE_LUA_OPTIONAL(MIDLANE_LUA_LOOK)
#undef MIDLANE_LUA_DEMAND
#undef MIDLANE_LUA_LOOK
  return complete && (lua->lua_pcallk || lua->lua_pcall) &&
         (lua->luaL_loadbufferx || lua->luaL_loadbuffer);
}

static bool consider_object(const char* path, void* handle, void* data) {
  struct midlane_lua* lua = data;
  if (!handle) return false;
  enum midlane_dialect dialect = midlane_lua_identify(object_has, handle);
  if (dialect == MIDLANE_LUA_NONE || !fill(handle, lua)) return false;
  bool jit_or_51 = dialect == MIDLANE_LUA_51 || dialect == MIDLANE_LUA_JIT;
  lua->registry_index = jit_or_51 ? kRegistryIndex51 : kRegistryIndex52;
  lua->dialect = dialect;
  snprintf(lua->library, sizeof(lua->library), "%s", path);
  return true;
}

static int find_range(struct dl_phdr_info* info, size_t size, void* data) {
  struct midlane_lua* lua = data;
  uintptr_t inside = (uintptr_t)lua->lua_gettop;
  uintptr_t begin = UINTPTR_MAX;
  uintptr_t end = 0;
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
    uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    uintptr_t to = from + info->dlpi_phdr[i].p_memsz;
    if (from < begin) begin = from;
    if (to > end) end = to;
  }
  if (inside < begin || inside >= end) return 0;
  lua->begin = begin;
  lua->end = end;
  return 1;
}

bool midlane_lua_resolve(void) {
  if (midlane_lua.dialect != MIDLANE_LUA_NONE) return true;
  struct midlane_lua found;
  memset(&found, 0, sizeof(found));
  midlane_visit_objects(consider_object, &found);
  if (found.dialect == MIDLANE_LUA_NONE) return false;
  dl_iterate_phdr(find_range, &found);
  midlane_lua = found;
  return true;
}

void midlane_lua_pushstring(lua_State* L, const char* text) {
  midlane_lua.lua_pushlstring(L, text, strlen(text));
}

void midlane_lua_registry_set(lua_State* L, const void* key) {
  midlane_lua.lua_pushlightuserdata(L, (void*)key);
  midlane_lua.lua_pushvalue(L, -2);
  midlane_lua.lua_rawset(L, midlane_lua.registry_index);
  midlane_lua.lua_settop(L, -2);
}

void midlane_lua_get(lua_State* L, int table, const char* name) {
  midlane_lua_pushstring(L, name);
  midlane_lua.lua_rawget(L, table);
}

void midlane_lua_set(lua_State* L, int table, const char* name) {
  midlane_lua_pushstring(L, name);
  midlane_lua.lua_pushvalue(L, -2);
  midlane_lua.lua_rawset(L, table);
  midlane_lua.lua_settop(L, -2);
}

void midlane_lua_push_globals(lua_State* L) {
  if (midlane_lua.registry_index == kRegistryIndex51) {
    midlane_lua.lua_pushvalue(L, kGlobalsIndex51);
  } else {
    midlane_lua.lua_rawgeti(L, midlane_lua.registry_index, kRegistryGlobals);
  }
}

void midlane_lua_set_globals(lua_State* L) {
  if (midlane_lua.registry_index == kRegistryIndex51) {
    midlane_lua.lua_replace(L, kGlobalsIndex51);
  } else {
    midlane_lua.lua_rawseti(L, midlane_lua.registry_index, kRegistryGlobals);
  }
}

void midlane_lua_push_environment(lua_State* L, int index) {
  if (midlane_lua.lua_getfenv) {
    midlane_lua.lua_getfenv(L, index);
  } else if (!midlane_lua.lua_getupvalue(L, index, 1)) {
    midlane_lua.lua_pushnil(L);
  }
}

void midlane_lua_set_environment(lua_State* L, int index) {
  if (midlane_lua.lua_setfenv) {
    midlane_lua.lua_setfenv(L, index);
  } else if (!midlane_lua.lua_setupvalue(L, index, 1)) {
    midlane_lua.lua_settop(L, -2);
  }
}
