// A program that links no Lua: its game comes in a plugin (probe_game.c built as a library), or it
// finds Lua's functions itself.
//   plugin_game local|global|deepbind PLUGIN [ARGS of probe_game]
//   plugin_game dlsym LIBLUA         (Lua 5.4's functions by dlsym)
//   plugin_game dlmopen LIBLUA
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void* demand(void* pointer) {
  if (!pointer) {
    printf("%s\n", dlerror());
    exit(1);
  }
  return pointer;
}

static int play_by_dlsym(void* lua) {
  void* (*newstate)(void) = demand(dlsym(lua, "luaL_newstate"));
  void (*openlibs)(void*) = demand(dlsym(lua, "luaL_openlibs"));
  int (*load)(void*, const char*, size_t, const char*, const char*) =
      demand(dlsym(lua, "luaL_loadbufferx"));
  int (*pcall)(void*, int, int, int, intptr_t, void*) = demand(dlsym(lua, "lua_pcallk"));
  int (*getglobal)(void*, const char*) = demand(dlsym(lua, "lua_getglobal"));
  void (*pushnumber)(void*, double) = demand(dlsym(lua, "lua_pushnumber"));
  double (*tonumber)(void*, int, int*) = demand(dlsym(lua, "lua_tonumberx"));
  void (*settop)(void*, int) = demand(dlsym(lua, "lua_settop"));
  void (*close)(void*) = demand(dlsym(lua, "lua_close"));
  static const char bot[] = "function think(frame) return -frame end";
  void* L = newstate();
  openlibs(L);
  if (load(L, bot, sizeof(bot) - 1, "@bot.lua", NULL) != 0 || pcall(L, 0, 0, 0, 0, NULL) != 0)
    abort();
  for (int frame = 1; frame <= 3; frame++) {
    getglobal(L, "think");
    pushnumber(L, frame);
    if (pcall(L, 1, 1, 0, 0, NULL) != 0) abort();
    printf("state 1 frame %d: %g\n", frame, tonumber(L, -1, NULL));
    settop(L, 0);
  }
  close(L);
  puts("done");
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (strcmp(argv[1], "dlsym") == 0) {
    return play_by_dlsym(demand(dlopen(argv[2], RTLD_NOW | RTLD_LOCAL)));
  }
  if (strcmp(argv[1], "dlmopen") == 0) {
    return play_by_dlsym(demand(dlmopen(LM_ID_NEWLM, argv[2], RTLD_NOW)));
  }
  int flags = RTLD_NOW | RTLD_LOCAL;
  if (strcmp(argv[1], "global") == 0) flags = RTLD_NOW | RTLD_GLOBAL;
  if (strcmp(argv[1], "deepbind") == 0) flags |= RTLD_DEEPBIND;
  void* plugin = demand(dlopen(argv[2], flags));
  int (*play)(int, char**) = (int (*)(int, char**))demand(dlsym(plugin, "probe_main"));
  return play(argc - 2, argv + 2);
}
