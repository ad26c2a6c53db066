#define _GNU_SOURCE
#include "preload/lua_api.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "preload/real.h"
#include "preload/static_lua.h"

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

static enum midlane_dialect identify(midlane_lua_lookup lookup, void* source) {
  if (!lookup("lua_newstate", source) || !lookup("lua_load", source)) return MIDLANE_LUA_NONE;
  if (lookup("luaJIT_setmode", source)) return MIDLANE_LUA_JIT;
  if (lookup("lua_setwarnf", source)) return MIDLANE_LUA_54;
  if (lookup("lua_rotate", source)) return MIDLANE_LUA_53;
  if (lookup("lua_pcallk", source)) return MIDLANE_LUA_52;
  return lookup("lua_objlen", source) ? MIDLANE_LUA_51 : MIDLANE_LUA_NONE;
}

bool midlane_lua_fill(struct midlane_lua* lua, midlane_lua_lookup lookup, void* source) {
  bool complete = true;
  enum midlane_dialect dialect = identify(lookup, source);
  if (dialect == MIDLANE_LUA_NONE) return false;
#define MIDLANE_LUA_LOOK(result, name, parameters) \
  lua->name = (result(*) parameters)lookup(#name, source);
#define MIDLANE_LUA_DEMAND(result, name, parameters) \
  MIDLANE_LUA_LOOK(result, name, parameters)         \
  complete = complete && lua->name != NULL;
  MIDLANE_LUA_REQUIRED(MIDLANE_LUA_DEMAND)
  MIDLANE_LUA_OPTIONAL(MIDLANE_LUA_LOOK)
#undef MIDLANE_LUA_DEMAND
#undef MIDLANE_LUA_LOOK
  if (!complete || !(lua->lua_pcallk || lua->lua_pcall) ||
      !(lua->luaL_loadbufferx || lua->luaL_loadbuffer)) {
    return false;
  }
  bool old_index = dialect == MIDLANE_LUA_51 || dialect == MIDLANE_LUA_JIT;
  lua->registry_index = old_index ? kRegistryIndex51 : kRegistryIndex52;
  lua->dialect = dialect;
  return true;
}

static midlane_function look_in_object(const char* name, void* handle) {
  return midlane_own_symbol(handle, name);
}

static bool consider_object(const char* path, void* handle, void* data) {
  struct midlane_lua* lua = data;
  if (!handle || !midlane_lua_fill(lua, look_in_object, handle)) return false;
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

int midlane_lua_attention = MIDLANE_LUA_RECOUNT;
static char second_library[256];

struct count {
  int libraries;
};

static bool count_object(const char* path, void* handle, void* data) {
  struct count* count = data;
  if (!midlane_own_symbol(handle, "lua_newstate") || !midlane_own_symbol(handle, "lua_load")) {
    return false;
  }
  count->libraries++;
  if (count->libraries == 2) snprintf(second_library, sizeof(second_library), "%s", path);
  return false;
}

const char* midlane_lua_second_library(void) {
  if (midlane_lua_attention == MIDLANE_LUA_RECOUNT) {
    struct count count = {0};
    midlane_visit_objects(count_object, &count);
    midlane_lua_attention = count.libraries > 1 ? MIDLANE_LUA_MANY : MIDLANE_LUA_CALM;
  }
  return midlane_lua_attention == MIDLANE_LUA_MANY ? second_library : "";
}

midlane_function midlane_lua_forward(const char* name, const void* return_address) {
  bool many = midlane_lua_second_library()[0] != '\0';
  midlane_function original = midlane_static_original(name);
  if (original) return original;
  if (many) {
    midlane_function reached = midlane_reached_from(return_address, name);
    if (reached) return reached;
  }
  return midlane_real(name);
}
