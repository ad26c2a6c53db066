// A complete small game for the example of envs/README.md: a ball falls down ten rows, a paddle of
// width one should be under it. Its player is a Lua script, here built in:
//   think(ball_x, ball_y, paddle_x) -> -1, 0 or 1, called each frame
//   landed(caught), called when the ball is down; the next ball comes at once
// It knows nothing of Midlane. Argument: balls to play; none: for ever.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

enum { kColumns = 5, kRows = 10 };

static const char kScript[] =
    "function think(ball_x, ball_y, paddle_x)\n"
    "  if ball_x < paddle_x then return -1 elseif ball_x > paddle_x then return 1 end\n"
    "  return 0\n"
    "end\n"
    "function landed(caught) end\n";

static int Check(lua_State* lua, int status) {
  if (status == LUA_OK) return 1;
  fprintf(stderr, "catch: %s\n", lua_tostring(lua, -1));
  lua_pop(lua, 1);
  return 0;
}

int main(int argc, char** argv) {
  const long balls = argc > 1 ? atol(argv[1]) : 0;
  lua_State* lua = luaL_newstate();
  luaL_openlibs(lua);
  if (!Check(lua, luaL_loadbuffer(lua, kScript, sizeof kScript - 1, "@player.lua")) ||
      !Check(lua, lua_pcall(lua, 0, 0, 0))) {
    return 1;
  }
  int paddle = kColumns / 2;
  long caught = 0;
  for (long ball = 0; balls == 0 || ball < balls; ++ball) {
    const int x = rand() % kColumns;
    for (int y = kRows - 1; y > 0; --y) {
      lua_getglobal(lua, "think");
      lua_pushinteger(lua, x);
      lua_pushinteger(lua, y);
      lua_pushinteger(lua, paddle);
      if (!Check(lua, lua_pcall(lua, 3, 1, 0))) continue;
      const int move = (int)lua_tointeger(lua, -1);
      lua_pop(lua, 1);
      paddle += move < 0 ? -1 : move > 0;
      if (paddle < 0) paddle = 0;
      if (paddle >= kColumns) paddle = kColumns - 1;
    }
    caught += paddle == x;
    lua_getglobal(lua, "landed");
    lua_pushboolean(lua, paddle == x);
    Check(lua, lua_pcall(lua, 1, 0, 0));
  }
  printf("caught %ld of %ld\n", caught, balls);
  lua_close(lua);
  return 0;
}
