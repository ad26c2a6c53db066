#define _GNU_SOURCE
#include "preload/static_lua.h"

#include <stdio.h>
#include <string.h>

#include "preload/detour.h"
#include "preload/elf_symbols.h"
#include "preload/executable.h"
#include "preload/lua_api.h"

enum { kSymbolsMax = 512, kSymbolNameBytes = 40, kLastFunctionBytes = 4096 };

struct symbol {
  char name[kSymbolNameBytes];
  uint64_t value;
};

struct symbols {
  struct symbol symbol[kSymbolsMax];
  int count;
  uint64_t bias;
};

// All of Lua passes through these. 5.1 and LuaJIT have lua_pcall and lua_call, the others the
// k-functions; a name that the executable lacks is left out.
static const char* const detoured[] = {"lua_newstate", "lua_close", "lua_load",
                                       "lua_loadx",    "lua_pcall", "lua_pcallk",
                                       "lua_call",     "lua_callk", "lua_resume"};
enum { kDetours = sizeof(detoured) / sizeof(detoured[0]) };

static midlane_function originals[kDetours];

static void keep_symbol(const char* name, uint64_t value, uint64_t size, void* data) {
  (void)size;
  struct symbols* symbols = data;
  if (strncmp(name, "lua", 3) != 0 || strlen(name) >= kSymbolNameBytes || value == 0 ||
      symbols->count == kSymbolsMax) {
    return;
  }
  struct symbol* symbol = &symbols->symbol[symbols->count++];
  snprintf(symbol->name, sizeof(symbol->name), "%s", name);
  symbol->value = value;
}

static midlane_function look_in_symbols(const char* name, void* source) {
  const struct symbols* symbols = source;
  for (int i = 0; i < symbols->count; i++) {
    if (strcmp(symbols->symbol[i].name, name) == 0) {
      return (midlane_function)(uintptr_t)(symbols->symbol[i].value + symbols->bias);
    }
  }
  return NULL;
}

// Lua's own part of the executable: from its first exported function to its last.
static void set_range(const struct symbols* symbols) {
  uint64_t low = UINT64_MAX;
  uint64_t high = 0;
  for (int i = 0; i < symbols->count; i++) {
    const struct symbol* symbol = &symbols->symbol[i];
    if (strncmp(symbol->name, "lua_", 4) != 0 && strncmp(symbol->name, "luaL_", 5) != 0 &&
        strncmp(symbol->name, "luaopen_", 8) != 0) {
      continue;
    }
    if (symbol->value < low) low = symbol->value;
    if (symbol->value > high) high = symbol->value;
  }
  midlane_lua.begin = (uintptr_t)(low + symbols->bias);
  midlane_lua.end = (uintptr_t)(high + symbols->bias + kLastFunctionBytes);
}

// The shim's own calls go to the originals, past the hooks.
static void use_original(const char* name, midlane_function original) {
#define MIDLANE_USE(result, field, parameters) \
  if (strcmp(name, #field) == 0) midlane_lua.field = (result(*) parameters)original;
  MIDLANE_LUA_REQUIRED(MIDLANE_USE)
  MIDLANE_LUA_OPTIONAL(MIDLANE_USE)
#undef MIDLANE_USE
}

static enum midlane_static attach_symbols(struct symbols* symbols, const char* executable,
                                          midlane_function (*hook_named)(const char*), char* error,
                                          size_t error_bytes) {
  struct midlane_lua lua;
  memset(&lua, 0, sizeof(lua));
  if (!midlane_lua_fill(&lua, look_in_symbols, symbols)) return MIDLANE_STATIC_NONE;
  snprintf(lua.library, sizeof(lua.library), "%.*s", (int)sizeof(lua.library) - 1, executable);
  lua.linked_in = true;
  midlane_lua = lua;
  set_range(symbols);
  for (int i = 0; i < kDetours; i++) {
    midlane_function target = look_in_symbols(detoured[i], symbols);
    midlane_function hook = hook_named(detoured[i]);
    char reason[256];
    if (!target || !hook) continue;
    originals[i] = midlane_detour(target, hook, detoured[i], reason, sizeof(reason));
    if (!originals[i]) {
      midlane_lua.dialect = MIDLANE_LUA_NONE;
      snprintf(error, error_bytes, "Lua %s is linked into %s, and %s",
               midlane_lua_dialect_name(lua.dialect), executable, reason);
      return MIDLANE_STATIC_REFUSED;
    }
    use_original(detoured[i], originals[i]);
  }
  return MIDLANE_STATIC_ATTACHED;
}

static enum midlane_static attach_image(const struct midlane_executable* executable,
                                        midlane_function (*hook_named)(const char*), char* error,
                                        size_t error_bytes) {
  static struct symbols symbols;
  symbols.count = 0;
  symbols.bias = executable->bias;
  midlane_elf_visit(executable->image, executable->bytes, keep_symbol, &symbols);
  enum midlane_static result =
      attach_symbols(&symbols, executable->path, hook_named, error, error_bytes);
  if (result != MIDLANE_STATIC_NONE) return result;
  // Every Lua carries its identification, LuaJIT its version.
  static const char* const marks[] = {"$LuaVersion: Lua 5.", "$Lua: Lua 5.", "LuaJIT 2."};
  for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
    if (!midlane_elf_mentions(executable->image, executable->bytes, marks[i])) continue;
    snprintf(error, error_bytes,
             "Lua is linked into %s without symbols, so no address of it can be proven: use a "
             "build of the game that keeps its symbols or links liblua",
             executable->path);
    return MIDLANE_STATIC_REFUSED;
  }
  return MIDLANE_STATIC_NONE;
}

enum midlane_static midlane_static_attach(midlane_function (*hook_named)(const char* name),
                                          char* error, size_t error_bytes) {
  struct midlane_executable executable;
  if (!midlane_executable_map(&executable)) return MIDLANE_STATIC_NONE;
  enum midlane_static result = attach_image(&executable, hook_named, error, error_bytes);
  midlane_executable_unmap(&executable);
  return result;
}

midlane_function midlane_static_original(const char* name) {
  for (int i = 0; i < kDetours; i++) {
    if (originals[i] && strcmp(detoured[i], name) == 0) return originals[i];
  }
  return NULL;
}
