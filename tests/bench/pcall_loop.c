// A program that calls Lua over and over: pcall_loop CALLS prints the nanoseconds of one lua_pcall.
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static int nothing(lua_State* L) {
  (void)L;
  return 0;
}

int main(int count, char** arguments) {
  long calls = count > 1 ? atol(arguments[1]) : 0;
  lua_State* L = luaL_newstate();
  if (!L) return 1;
  lua_pushcfunction(L, nothing);
  double start = now_ns();
  for (long i = 0; i < calls; i++) {
    lua_pushvalue(L, -1);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) return 1;
  }
  printf("%.4f\n", calls > 0 ? (now_ns() - start) / (double)calls : 0.0);
  lua_close(L);
  return 0;
}
