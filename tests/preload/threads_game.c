// A program with a Lua state per thread (Lua 5.4), all at work at once; and a library constructor
// that calls hooked functions before the program begins (early.c). Prints one checksum.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kThreads = 8, kRounds = 200 };

static const char kCode[] =
    "local n = ... local s = 0 for i = 1, 200 do s = s + i % n end return s";

static void* work(void* argument) {
  double* sum = argument;
  int modulus = (int)*sum;
  *sum = 0;
  for (int round = 0; round < kRounds; round++) {
    lua_State* L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_loadbuffer(L, kCode, strlen(kCode), "=work") != LUA_OK) abort();
    lua_pushinteger(L, modulus);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) abort();
    *sum += lua_tonumber(L, -1);
    lua_close(L);
  }
  return NULL;
}

int main(void) {
  pthread_t threads[kThreads];
  double sums[kThreads];
  double total = 0;
  for (int i = 0; i < kThreads; i++) {
    sums[i] = i + 2;
    if (pthread_create(&threads[i], NULL, work, &sums[i]) != 0) abort();
  }
  for (int i = 0; i < kThreads; i++) {
    pthread_join(threads[i], NULL);
    total += sums[i];
  }
  printf("total %g\n", total);
  return 0;
}
