// A library whose constructor calls hooked functions, before the shim's own constructor has run.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

__attribute__((constructor)) static void early(void) {
  struct timespec now;
  char bytes[8];
  lua_State* L = luaL_newstate();
  if (!L || luaL_loadstring(L, "return 1") != 0 || lua_pcall(L, 0, 1, 0) != 0) abort();
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0 || getrandom(bytes, sizeof(bytes), 0) != 8) abort();
  struct timespec nap = {0, 1000};
  nanosleep(&nap, NULL);
  lua_close(L);
  puts("early");
}

const char* early_version(void) {
  static char version[32];
  lua_State* L = luaL_newstate();
  luaL_openlibs(L);
  if (luaL_loadstring(L, "return _VERSION") != 0 || lua_pcall(L, 0, 1, 0) != 0) abort();
  snprintf(version, sizeof(version), "%s", lua_tostring(L, -1));
  lua_close(L);
  return version;
}
