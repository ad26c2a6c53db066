// Runs the Lua tests of one game, whose name is MIDLANE_TEST_GAME: GAME_adapter_test.lua gets the
// path of the game's adapter and returns a table of test functions.
#include <gtest/gtest.h>

#include <cstdlib>
#include <lua.hpp>
#include <memory>
#include <string>

namespace {

std::string SourceDir() {
  const char* dir = std::getenv("MIDLANE_SOURCE_DIR");
  return dir ? dir : ".";
}

// Answers "" or the error's text.
std::string Call(lua_State* lua, int arguments, int results) {
  if (lua_pcall(lua, arguments, results, 0) == LUA_OK) return "";
  std::string error = lua_tostring(lua, -1);
  lua_pop(lua, 1);
  return error;
}

TEST(Adapter, LuaTests) {
  const std::string game = MIDLANE_TEST_GAME;
  std::unique_ptr<lua_State, decltype(&lua_close)> state(luaL_newstate(), &lua_close);
  lua_State* lua = state.get();
  luaL_openlibs(lua);
  const std::string file = SourceDir() + "/tests/envs/" + game + "_adapter_test.lua";
  ASSERT_EQ(luaL_loadfile(lua, file.c_str()), LUA_OK) << lua_tostring(lua, -1);
  lua_pushstring(lua, (SourceDir() + "/envs/" + game + "/adapter.lua").c_str());
  ASSERT_EQ(Call(lua, 1, 1), "");
  ASSERT_TRUE(lua_istable(lua, -1));
  int tests = 0;
  lua_pushnil(lua);
  while (lua_next(lua, -2)) {
    const std::string name = lua_tostring(lua, -2);
    EXPECT_EQ(Call(lua, 0, 0), "") << name;
    ++tests;
  }
  EXPECT_GE(tests, 20);
}

}  // namespace
