#define _GNU_SOURCE
#include "preload/attach.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/clock.h"
#include "preload/description.h"
#include "preload/exchange.h"
#include "preload/fail.h"
#include "preload/input.h"
#include "preload/loader.h"
#include "preload/module.h"
#include "preload/random.h"
#include "preload/render.h"
#include "preload/skip_functions.h"
#include "preload/static_lua.h"

enum midlane_watch midlane_watch;
static struct midlane_description description;
bool midlane_attach_decided;
static bool report_at_exit;
static pid_t own_pid;

static int descriptor_from(const char* variable) {
  const char* value = getenv(variable);
  char* end = NULL;
  if (!value || !*value) return -1;
  long number = strtol(value, &end, 10);
  return *end == '\0' && number >= 0 && number <= INT32_MAX ? (int)number : -1;
}

static const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

// Takes this library out of LD_PRELOAD, so that the game's children start without it.
static void leave_environment(void) {
  Dl_info info;
  const char* preload = getenv("LD_PRELOAD");
  unsetenv(MIDLANE_ENV_CHANNEL_FD);
  unsetenv(MIDLANE_ENV_DOORBELL_FD);
  unsetenv(MIDLANE_ENV_ANNOUNCE);
  if (!preload || !dladdr((const void*)&midlane_attach, &info) || !info.dli_fname) return;
  char* left = calloc(1, strlen(preload) + 1);
  if (!left) return;
  const char* at = preload;
  while (*at) {
    size_t length = strcspn(at, " :");
    char entry[4096];
    if (length > 0 && length < sizeof(entry)) {
      memcpy(entry, at, length);
      entry[length] = '\0';
      if (strcmp(base_name(entry), base_name(info.dli_fname)) != 0) {
        if (*left) strcat(left, ":");
        strcat(left, entry);
      }
    }
    at += length;
    if (*at) at++;
  }
  if (*left) {
    setenv("LD_PRELOAD", left, 1);
  } else {
    unsetenv("LD_PRELOAD");
  }
  free(left);
}

// A child of fork shares the channel's memory: it has no part in it once its parent declared.
static void in_child(void) {
  report_at_exit = false;
  if (midlane_exchange.spec) midlane_exchange.detached = true;
}

// Finds Lua among what is loaded, else in the executable. False with a sentence where it is there
// and cannot be reached. No Lua is no failure: it may come as a plugin.
static bool look_for_lua(char* error, size_t error_bytes) {
  bool reached =
      midlane_lua_resolve() ||
      midlane_static_attach(midlane_hook_named, error, error_bytes) != MIDLANE_STATIC_REFUSED;
  midlane_announce_lua();
  return reached;
}

static void begin_game(const char* executable) {
  struct midlane_channel* channel = midlane_exchange.channel;
  char message[512];
  own_pid = getpid();
  midlane_fallback_play = description.fallback_play;
  atomic_store(&channel->game_pid, (uint32_t)own_pid);
  midlane_announce_begin(&channel->announcement, executable);
  report_at_exit = description.announce;
  pthread_atfork(NULL, NULL, in_child);
  if (!look_for_lua(message, sizeof(message))) {
    snprintf(channel->announcement.linkage, sizeof(channel->announcement.linkage), "static");
    midlane_refuse("%s", message);
    return;
  }
  if (midlane_lua_second_library()[0] != '\0' && !description.vanilla) {
    midlane_refuse(
        "%s and %s are both loaded: the shim cannot know which of the two Lua libraries the game "
        "plays with",
        midlane_lua.library, midlane_lua_second_library());
    return;
  }
  if (description.vanilla) {
    midlane_watch = MIDLANE_WATCH_COUNT;
  } else {
    if (!midlane_render_configure(&description, message, sizeof(message)) ||
        (description.adapter[0] != '\0' &&
         !midlane_adapter_read(description.adapter, message, sizeof(message)))) {
      midlane_fail(message);
      return;
    }
    midlane_skip_functions(&description, message, sizeof(message));
    if (message[0] != '\0') {
      midlane_say(
          "%s has no function to skip of the name %s ([render] skip_functions); it runs slower",
          executable, message);
    }
    midlane_input_configure(&description, description.render_every == 0);
    midlane_module_seed(description.seed);
    if (description.clock_virtual) {
      midlane_random_seed(description.seed);
      midlane_clock_start(description.clock_start_given
                              ? description.clock_start_ns
                              : midlane_clock_seeded_start(description.seed),
                          description.clock_step_ns, description.clock_speed);
    }
    midlane_watch = description.adapter[0] != '\0' ? MIDLANE_WATCH_ADAPT : MIDLANE_WATCH_COUNT;
  }
  midlane_exchange_state(MIDLANE_STATE_ANNOUNCED, NULL);
  if (description.announce) midlane_announce_report();
}

static void detach_quietly(void) {
  // Not the game's process: keep the environment and the descriptors for whom it execs.
  munmap(midlane_exchange.channel, midlane_exchange.channel->total_bytes);
  memset(&midlane_exchange, 0, sizeof(midlane_exchange));
}

void midlane_attach(void) {
  char executable[4096] = "";
  char error[512];
  if (midlane_attach_decided) return;
  midlane_attach_decided = true;
  int saved_errno = errno;
  ssize_t length = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
  executable[length > 0 ? length : 0] = '\0';
  int channel_fd = descriptor_from(MIDLANE_ENV_CHANNEL_FD);
  const char* announce = getenv(MIDLANE_ENV_ANNOUNCE);
  if (channel_fd < 0) {
    if (announce && strcmp(announce, "1") == 0) {
      own_pid = getpid();
      midlane_announce_begin(NULL, executable);
      midlane_watch = MIDLANE_WATCH_COUNT;
      report_at_exit = true;
      if (!look_for_lua(error, sizeof(error))) {
        midlane_say("%s", error);
        report_at_exit = false;
      }
    }
  } else if (!midlane_exchange_open(channel_fd, descriptor_from(MIDLANE_ENV_DOORBELL_FD), error,
                                    sizeof(error))) {
    midlane_say("%s: %s; the game runs on its own", executable, error);
  } else {
    struct midlane_channel* channel = midlane_exchange.channel;
    bool parsed =
        midlane_description_parse((const char*)channel + channel->description_offset,
                                  channel->description_bytes, &description, error, sizeof(error));
    if (parsed && description.executable[0] != '\0' &&
        strcmp(base_name(executable), description.executable) != 0) {
      detach_quietly();
    } else {
      int doorbell_fd = descriptor_from(MIDLANE_ENV_DOORBELL_FD);
      leave_environment();
      close(channel_fd);
      if (doorbell_fd >= 0) close(doorbell_fd);
      if (parsed) {
        begin_game(executable);
      } else {
        midlane_fail(error);
      }
    }
  }
  errno = saved_errno;
}

void midlane_leave(void) {
  if (report_at_exit && getpid() == own_pid) midlane_announce_report();
  struct midlane_channel* channel = midlane_exchange.channel;
  if (!channel || midlane_exchange.detached ||
      atomic_load(&channel->game_pid) != (uint32_t)getpid()) {
    return;
  }
  if (atomic_load(&channel->state) != MIDLANE_STATE_FAILED) {
    midlane_exchange_state(MIDLANE_STATE_CLOSED, NULL);
  }
}

static void find_lua(void) {
  if (midlane_announcement->dialect[0] != '\0') return;
  if (!midlane_lua_resolve()) return;
  midlane_lua.plugin = true;  // else the constructor would have found it
  midlane_announce_lua();
}

// liblua calls itself: luaL_newstate's inner lua_newstate opens the same state, and an inner
// lua_load makes the same chunk. What this thread saw last is not counted again.
static __thread const void* last_state __attribute__((tls_model("initial-exec")));
static __thread const void* last_chunk __attribute__((tls_model("initial-exec")));

void midlane_watch_opened(lua_State* L) {
  find_lua();
  if (last_state != L) atomic_fetch_add(&midlane_announcement->states, 1);
  last_state = L;
  if (midlane_watch == MIDLANE_WATCH_ADAPT && midlane_lua.dialect != MIDLANE_LUA_NONE) {
    midlane_adapter_opened(L);
  }
}

void midlane_watch_closing(lua_State* L) {
  last_state = NULL;
  last_chunk = NULL;
  if (midlane_watch == MIDLANE_WATCH_ADAPT && midlane_lua.dialect != MIDLANE_LUA_NONE) {
    midlane_adapter_closing(L);
  }
}

void midlane_watch_chunk(lua_State* L, const char* name) {
  bool first;
  find_lua();
  if (midlane_lua.dialect == MIDLANE_LUA_NONE) return;
  if (midlane_watch == MIDLANE_WATCH_ADAPT) {
    first = midlane_adapter_chunk(L, name);
  } else {
    const void* function = midlane_lua.lua_topointer(L, -1);
    first = function != last_chunk;
    last_chunk = function;
  }
  if (first) atomic_fetch_add(&midlane_announcement->chunks, 1);
}
