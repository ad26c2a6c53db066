// A program with two Lua libraries: it links 5.1 itself, and a library of its own (early.c) 5.4.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

const char* early_version(void);

int main(void) {
  lua_State* L = luaL_newstate();
  luaL_openlibs(L);
  if (luaL_loadstring(L, "return _VERSION") != 0 || lua_pcall(L, 0, 1, 0) != 0) abort();
  printf("%s and %s\n", lua_tostring(L, -1), early_version());
  lua_close(L);
  return 0;
}
