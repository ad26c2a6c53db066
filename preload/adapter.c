#define _GNU_SOURCE
#include "preload/adapter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preload/exchange.h"
#include "preload/fail.h"
#include "preload/module.h"
#include "preload/sandbox.h"

enum { kAdapterBytesMax = 4 << 20, kStackNeeded = 24 };

// Keys in a state's registry.
static const char entry_key;      // -> lightuserdata of the state's entry
static const char callbacks_key;  // -> the adapter's table
static const char pending_key;    // -> {[chunk's function] = true}, weak keys

__thread int midlane_adapter_running __attribute__((tls_model("initial-exec")));
static char* text;
static size_t text_bytes;
static char chunk_name[128];  // "@folder/adapter.lua"

static void name_chunk(const char* path) {
  // The last folder and the file: short enough that Lua does not cut it in messages.
  const char* from = path + strlen(path);
  for (int slashes = 0; from > path; from--) {
    if (from[-1] == '/' && ++slashes == 2) break;
  }
  snprintf(chunk_name, sizeof(chunk_name), "@%s", *from == '/' ? from + 1 : from);
}

bool midlane_adapter_read(const char* path, char* error, size_t error_bytes) {
  FILE* file = fopen(path, "rbe");
  if (!file) {
    snprintf(error, error_bytes, "the adapter %s cannot be read: %s", path, strerror(errno));
    return false;
  }
  char* read = malloc(kAdapterBytesMax);
  size_t bytes = read ? fread(read, 1, kAdapterBytesMax, file) : 0;
  bool failed = !read || ferror(file) || bytes == kAdapterBytesMax;
  fclose(file);
  if (failed) {
    free(read);
    snprintf(error, error_bytes, "the adapter %s cannot be read whole or is larger than %d bytes",
             path, kAdapterBytesMax);
    return false;
  }
  free(text);
  text = realloc(read, bytes + 1);
  text_bytes = bytes;
  name_chunk(path);
  return true;
}

// [-0, +0, -]
static struct midlane_state_entry* entry_of(lua_State* L) {
  midlane_lua_registry_get(L, &entry_key);
  struct midlane_state_entry* entry = midlane_lua.lua_touserdata(L, -1);
  midlane_lua.lua_settop(L, -2);
  return entry;
}

void midlane_adapter_opened(lua_State* L) {
  midlane_lua.lua_checkstack(L, kStackNeeded);
  if (entry_of(L)) return;
  struct midlane_state_entry* entry = midlane_state_open(L);
  if (!entry) return;
  midlane_lua.lua_pushlightuserdata(L, entry);
  midlane_lua_registry_set(L, &entry_key);
}

void midlane_adapter_closing(lua_State* L) {
  midlane_lua.lua_checkstack(L, kStackNeeded);
  struct midlane_state_entry* entry = entry_of(L);
  if (entry) midlane_state_close(entry->main);
}

// [-1, +0, -] pops an error value and reports it.
static void report_error(lua_State* L) {
  char message[MIDLANE_ERROR_BYTES];
  const char* what = midlane_lua.lua_type(L, -1) == MIDLANE_TSTRING
                         ? midlane_lua.lua_tolstring(L, -1, NULL)
                         : "the adapter raised an error that is no string";
  snprintf(message, sizeof(message), "%s", what);
  midlane_lua.lua_settop(L, -2);
  midlane_fail(message);
}

static int load_chunk(lua_State* L) {
  if (midlane_lua.luaL_loadbufferx) {
    return midlane_lua.luaL_loadbufferx(L, text, text_bytes, chunk_name, "t");
  }
  return midlane_lua.luaL_loadbuffer(L, text, text_bytes, chunk_name);
}

// C function, [entry] -> []: runs the adapter and keeps its callbacks.
static int run_adapter(lua_State* L) {
  struct midlane_state_entry* entry = midlane_lua.lua_touserdata(L, 1);
  midlane_lua.lua_settop(L, 0);
  midlane_lua.lua_checkstack(L, kStackNeeded);

  midlane_lua.lua_createtable(L, 0, 0);
  midlane_lua.lua_createtable(L, 0, 1);
  midlane_lua_pushstring(L, "k");
  midlane_lua_set(L, 2, "__mode");
  midlane_lua.lua_setmetatable(L, 1);
  midlane_lua_registry_set(L, &pending_key);

  if (load_chunk(L) != MIDLANE_LUA_OK) {
    report_error(L);
    return 0;
  }
  midlane_sandbox_push(L);
  midlane_lua.lua_pushvalue(L, 2);
  midlane_lua_set_environment(L, 1);
  midlane_lua.lua_pushvalue(L, 1);
  midlane_module_push(L, entry->number, 2);
  if (midlane_lua_pcall(L, 1, 1, 0) != MIDLANE_LUA_OK) {
    report_error(L);
    return 0;
  }
  if (midlane_lua.lua_type(L, -1) == MIDLANE_TTABLE) {
    entry->callbacks = true;
    midlane_lua_registry_set(L, &callbacks_key);
  } else if (midlane_lua.lua_type(L, -1) != MIDLANE_TNIL) {
    char message[256];
    snprintf(message, sizeof(message), "%s: an adapter must return a table of callbacks",
             chunk_name + 1);
    midlane_fail(message);
  }
  return 0;
}

// [-(nargs + 1), +(0 | 1), -] runs the shim's own Lua; no error leaves a protected call.
static int guarded_pcall(lua_State* L, int nargs) {
  midlane_adapter_running++;
  int status = midlane_lua_pcall(L, nargs, 0, 0);
  midlane_adapter_running--;
  return status;
}

// [-0, +0, -]
static void adapt(lua_State* L, struct midlane_state_entry* entry) {
  entry->adapted = true;
  if (!text) return;
  midlane_lua.lua_pushcclosure(L, run_adapter, 0);
  midlane_lua.lua_pushlightuserdata(L, entry);
  if (guarded_pcall(L, 1) != MIDLANE_LUA_OK) report_error(L);
}

// [-0, +0, -] whether the function at absolute index `function` is a chunk that never ran.
static bool pending(lua_State* L, int function) {
  midlane_lua_registry_get(L, &pending_key);
  midlane_lua.lua_pushvalue(L, function);
  midlane_lua.lua_rawget(L, -2);
  bool found = midlane_lua.lua_toboolean(L, -1);
  midlane_lua.lua_settop(L, -3);
  return found;
}

// [-0, +0, m]
static void set_pending(lua_State* L, int function, bool value) {
  midlane_lua_registry_get(L, &pending_key);
  midlane_lua.lua_pushvalue(L, function);
  if (value) {
    midlane_lua.lua_pushboolean(L, 1);
  } else {
    midlane_lua.lua_pushnil(L);
  }
  midlane_lua.lua_rawset(L, -3);
  midlane_lua.lua_settop(L, -2);
}

static const char* plain_name(const char* name) {
  if (!name) return "?";
  return *name == '@' || *name == '=' ? name + 1 : name;
}

bool midlane_adapter_chunk(lua_State* L, const char* name) {
  midlane_lua.lua_checkstack(L, kStackNeeded);
  struct midlane_state_entry* entry = entry_of(L);
  if (!entry) {
    midlane_adapter_opened(L);
    entry = entry_of(L);
    if (!entry) return false;
  }
  if (!entry->adapted) adapt(L, entry);
  const void* function = midlane_lua.lua_topointer(L, -1);
  name = plain_name(name);
  if (!entry->callbacks) {
    bool first = entry->chunk[0].function != function;
    entry->chunk[0].function = function;
    return first;
  }
  struct midlane_chunk* chunk = midlane_chunk_find(entry, function);
  bool first = !chunk || !pending(L, midlane_lua.lua_gettop(L));
  if (!chunk) chunk = midlane_chunk_add(entry, function);
  snprintf(chunk->name, sizeof(chunk->name), "%s", name);
  if (first) set_pending(L, midlane_lua.lua_gettop(L), true);
  return first;
}

bool midlane_adapter_begin(lua_State* L, int nargs, struct midlane_run* run) {
  int function = midlane_lua.lua_gettop(L) - nargs;
  if (function < 1) return false;
  midlane_lua.lua_checkstack(L, kStackNeeded);
  struct midlane_state_entry* entry = entry_of(L);
  if (!entry || !entry->callbacks) return false;
  struct midlane_chunk* chunk = midlane_chunk_find(entry, midlane_lua.lua_topointer(L, function));
  if (!chunk) return false;
  if (!pending(L, function)) {
    midlane_chunk_free(chunk);  // another function at a dead chunk's address
    return false;
  }
  set_pending(L, function, false);
  midlane_lua_push_environment(L, function);
  midlane_lua_registry_set(L, chunk);
  chunk->phase = MIDLANE_CHUNK_RUNNING;
  run->entry = entry;
  run->chunk = chunk;
  return true;
}

void midlane_adapter_end(lua_State* L, const struct midlane_run* run, int status) {
  struct midlane_chunk* chunk = run->chunk;
  if (chunk->phase != MIDLANE_CHUNK_RUNNING) return;
  midlane_lua.lua_checkstack(L, kStackNeeded);
  if (status == MIDLANE_LUA_OK && !midlane_exchange.detached) {
    midlane_lua_registry_get(L, &callbacks_key);
    midlane_lua_get(L, midlane_lua.lua_gettop(L), "loaded");
    if (midlane_lua.lua_type(L, -1) == MIDLANE_TFUNCTION) {
      midlane_lua_pushstring(L, chunk->name);
      midlane_lua_registry_get(L, chunk);
      if (guarded_pcall(L, 2) != MIDLANE_LUA_OK) report_error(L);
    } else {
      midlane_lua.lua_settop(L, -2);
    }
    midlane_lua.lua_settop(L, -2);
  }
  midlane_lua.lua_pushnil(L);
  midlane_lua_registry_set(L, chunk);
  midlane_chunk_free(chunk);
}

bool midlane_adapter_resume(lua_State* L, int nargs, struct midlane_run* run) {
  midlane_lua.lua_checkstack(L, kStackNeeded);
  struct midlane_state_entry* entry = entry_of(L);
  if (!entry || !entry->callbacks) return false;
  struct midlane_chunk* chunk = midlane_chunk_find_coroutine(entry, L);
  if (chunk) {
    run->entry = entry;
    run->chunk = chunk;
    return true;
  }
  if (!midlane_adapter_begin(L, nargs, run)) return false;
  run->chunk->coroutine = L;
  return true;
}

void midlane_adapter_resumed(lua_State* L, const struct midlane_run* run, int status) {
  if (status != MIDLANE_LUA_YIELD) midlane_adapter_end(L, run, status);
}

void midlane_adapter_inspect(lua_State* L) {
  if (!text || midlane_exchange.detached || !midlane_lua.lua_checkstack(L, 2)) return;
  if (midlane_lua.lua_type(L, -1) != MIDLANE_TSTRING) return;
  const char* message = midlane_lua.lua_tolstring(L, -1, NULL);
  const char* name = chunk_name + 1;
  size_t length = strlen(name);
  if (strncmp(message, name, length) != 0 || message[length] != ':') return;
  char copy[MIDLANE_ERROR_BYTES];
  snprintf(copy, sizeof(copy), "%s", message);
  midlane_fail(copy);
}
