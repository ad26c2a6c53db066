// A small game that embeds Lua, built once for each dialect: it does with Lua what games do, and
// prints what came of it. See usage() for its ways.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if LUA_VERSION_NUM == 501
#define lua_rawlen lua_objlen
#endif

static const char* const kBot =
    "local counted = 0\n"
    "function think(frame)\n"
    "  counted = counted + 1\n"
    "  return -counted\n"
    "end\n"
    "function fail_now() error('the game is angry') end\n";

struct options {
  const char* entry;
  int states;
  int frames;
  int sandbox;
  int fork_server;
  int pairs;
  int exec_child;
  int sync;
};

static void usage(void) {
  puts(
      "probe_game [--entry buffer|string|file|load|coroutine|call] [--states N] [--frames N]\n"
      "           [--sandbox] [--fork-server] [--pairs] [--exec-child] [--sync]");
  exit(2);
}

static const char* read_bot(lua_State* L, void* data, size_t* bytes) {
  const char** text = data;
  const char* now = *text;
  (void)L;
  *text = NULL;
  *bytes = now ? strlen(now) : 0;
  return now;
}

static int load_bot(lua_State* L, const char* entry) {
  if (strcmp(entry, "string") == 0) return luaL_loadstring(L, kBot);
  if (strcmp(entry, "file") == 0) {
    char path[] = "/tmp/midlane_probe_XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, kBot, strlen(kBot)) < 0) abort();
    close(fd);
    int status = luaL_loadfile(L, path);
    unlink(path);
    return status;
  }
  if (strcmp(entry, "load") == 0) {
    const char* text = kBot;
#if LUA_VERSION_NUM == 501
    return lua_load(L, read_bot, &text, "@bot.lua");
#else
    return lua_load(L, read_bot, &text, "@bot.lua", NULL);
#endif
  }
  return luaL_loadbuffer(L, kBot, strlen(kBot), "@bot.lua");
}

static int resume(lua_State* co, lua_State* from) {
#if LUA_VERSION_NUM == 501
  (void)from;
  return lua_resume(co, 0);
#elif LUA_VERSION_NUM < 504
  return lua_resume(co, from, 0);
#else
  int results = 0;
  return lua_resume(co, from, 0, &results);
#endif
}

// The chunk runs in a coroutine that yields once before it defines think.
static void run_in_coroutine(lua_State* L) {
  char text[1024];
  snprintf(text, sizeof(text), "coroutine.yield()\n%s", kBot);
  lua_State* co = lua_newthread(L);
  if (luaL_loadbuffer(co, text, strlen(text), "@bot.lua") != 0) abort();
  int resumes = 0;
  int status;
  do {
    status = resume(co, L);
    resumes++;
  } while (status == LUA_YIELD);
  printf("coroutine ended with %d after %d resumes\n", status, resumes);
}

static lua_State* open_state(const struct options* options) {
  lua_State* L = luaL_newstate();
  if (!L) abort();
  luaL_openlibs(L);
  if (options->sandbox) {
    static const char* const removed[] = {"io",     "os",          "load",   "loadstring",
                                          "debug",  "require",     "string", "pairs",
                                          "rawget", "getmetatable"};
    for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++) {
      lua_pushnil(L);
      lua_setglobal(L, removed[i]);
    }
  }
  if (strcmp(options->entry, "coroutine") == 0) {
    run_in_coroutine(L);
  } else if (load_bot(L, options->entry) != 0) {
    abort();
  } else if (strcmp(options->entry, "call") == 0) {
    lua_call(L, 0, 0);
  } else if (lua_pcall(L, 0, 0, 0) != 0) {
    printf("chunk failed: %s\n", lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  return L;
}

static void print_pairs(lua_State* L) {
  static const char* const code =
      "local t, out = {}, {}\n"
      "for i = 1, 24 do t['key' .. i] = i end\n"
      "for k in pairs(t) do out[#out + 1] = k end\n"
      "return table.concat(out, ' ') .. ' ' .. math.random() .. ' ' .. os.time() .. ' ' .. "
      "tostring({}):gsub('table', '')\n";
  if (luaL_loadbuffer(L, code, strlen(code), "=pairs") != 0 || lua_pcall(L, 0, 1, 0) != 0) abort();
  printf("pairs: %s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
}

static void play(lua_State** states, const struct options* options) {
  for (int frame = 1; frame <= options->frames; frame++) {
    for (int i = 0; i < options->states; i++) {
      lua_State* L = states[i];
      int top = lua_gettop(L);
      lua_getglobal(L, "think");
      lua_pushnumber(L, frame);
      if (lua_pcall(L, 1, 1, 0) == 0) {
        printf("state %d frame %d: %g\n", i + 1, frame, (double)lua_tonumber(L, -1));
      } else {
        printf("state %d frame %d failed: %s\n", i + 1, frame, lua_tostring(L, -1));
      }
      lua_settop(L, top);
    }
    struct timespec nap = {0, 10 * 1000 * 1000};
    nanosleep(&nap, NULL);
  }
}

static int run(const struct options* options) {
  lua_State* states[16];
  for (int i = 0; i < options->states; i++) states[i] = open_state(options);
  lua_getglobal(states[0], "fail_now");
  if (lua_pcall(states[0], 0, 0, 0) != 0) printf("%s\n", lua_tostring(states[0], -1));
  lua_pop(states[0], 1);
  if (options->pairs) print_pairs(states[0]);
  play(states, options);
  for (int i = 0; i < options->states; i++) {
    printf("state %d top %d\n", i + 1, lua_gettop(states[i]));
    lua_close(states[i]);
  }
  puts("done");
  return 0;
}

int main(int argc, char** argv) {
  struct options options = {.entry = "buffer", .states = 1, .frames = 3};
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++) {
    const char* value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "--sandbox") == 0) {
      options.sandbox = 1;
    } else if (strcmp(argv[i], "--fork-server") == 0) {
      options.fork_server = 1;
    } else if (strcmp(argv[i], "--pairs") == 0) {
      options.pairs = 1;
    } else if (strcmp(argv[i], "--exec-child") == 0) {
      options.exec_child = 1;
    } else if (strcmp(argv[i], "--sync") == 0) {
      options.sync = 1;
    } else if (!value) {
      usage();
    } else if (strcmp(argv[i], "--entry") == 0) {
      options.entry = argv[++i];
    } else if (strcmp(argv[i], "--states") == 0) {
      options.states = atoi(argv[++i]);
    } else if (strcmp(argv[i], "--frames") == 0) {
      options.frames = atoi(argv[++i]);
    } else {
      usage();
    }
  }
  if (options.states < 1 || options.states > 16) usage();
  if (options.exec_child) {
    // What a game's child sees of the shim.
    fflush(stdout);
    if (system("echo child LD_PRELOAD=[$LD_PRELOAD] FD=[$MIDLANE_CHANNEL_FD]; "
               "ls -l /proc/self/fd | grep -c memfd") < 0) {
      abort();
    }
  }
  if (options.sync) {
    // A pipe has nothing to write through: the kernel says so, nobody else would.
    int ends[2];
    if (pipe(ends) != 0) abort();
    printf("sync %d %d, closed %d\n", fsync(ends[1]), fdatasync(ends[1]), fsync(-1));
  }
  if (options.fork_server) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) exit(run(&options));
    int status = 0;
    if (waitpid(child, &status, 0) != child) abort();
    printf("server ended with %d\n", WEXITSTATUS(status));
    return 0;
  }
  return run(&options);
}
