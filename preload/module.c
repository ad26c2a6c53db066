#define _GNU_SOURCE
#include "preload/module.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preload/clock.h"
#include "preload/declare.h"
#include "preload/exchange.h"
#include "preload/fail.h"
#include "preload/input.h"
#include "preload/shared.h"

static uint64_t world_seed;

// Per tensor, what observe needs: kept apart from the spec so that it stays in few cache lines.
struct target {
  uint32_t offset;
  uint32_t elements;
  uint32_t dtype;
};

static struct target targets[MIDLANE_TENSORS_MAX];
static uint32_t elements_together;
static uint64_t last_frame;
static bool exchanged;

void midlane_module_seed(uint64_t seed) { world_seed = seed; }

// The 1-based argument `index` as a 0-based number below `count`.
static uint32_t check_index(lua_State* L, int index, uint32_t count, const char* what) {
  int ok = 0;
  double value = midlane_lua_tonumber(L, index, &ok);
  if (!ok || !(value >= 1 && value <= count) || value != (double)(uint32_t)value) {
    if (!midlane_exchange.spec) {
      midlane_lua.luaL_error(L, "midlane.declare must come before any use of an agent");
    }
    midlane_lua.luaL_error(L, "%s must be a whole number from 1 to %d, as declared", what,
                           (int)count);
  }
  return (uint32_t)value - 1;
}

static double check_number(lua_State* L, int index, const char* what) {
  int ok = 0;
  double value = midlane_lua_tonumber(L, index, &ok);
  if (ok) return value;
  if (midlane_lua.lua_type(L, index) == MIDLANE_TBOOLEAN) {
    return midlane_lua.lua_toboolean(L, index);
  }
  midlane_lua.luaL_error(L, "%s must be a number", what);
  return 0;
}

static uint32_t agents(void) { return midlane_exchange.spec ? midlane_exchange.spec->agents : 0; }

// [-0, +0, e] writes arguments first_argument.. into elements first.. of a tensor.
static int write_elements(lua_State* L, uint32_t agent, uint32_t tensor, int first_argument,
                          uint32_t first, uint32_t count) {
  const struct target* target = &targets[tensor];
  unsigned char* base = midlane_exchange.observation[agent] + target->offset;
  if (midlane_exchange.detached) return 0;
  for (uint32_t i = 0; i < count; i++) {
    int ok = 0;
    int index = first_argument + (int)i;
    double value = midlane_lua_tonumber(L, index, &ok);
    if (__builtin_expect(!ok, 0)) {
      if (midlane_lua.lua_type(L, index) != MIDLANE_TBOOLEAN) {
        midlane_lua.luaL_error(L, "observation \"%s\": element %d is neither number nor boolean",
                               midlane_exchange.spec->tensor[tensor].name, (int)(first + i + 1));
      }
      value = midlane_lua.lua_toboolean(L, index);
    }
    switch (target->dtype) {
      case MIDLANE_DTYPE_F32:
        ((float*)base)[first + i] = (float)value;
        break;
      case MIDLANE_DTYPE_I32:
        if (!(value >= INT32_MIN && value <= INT32_MAX)) {
          midlane_lua.luaL_error(L, "observation \"%s\": element %d does not fit an i32",
                                 midlane_exchange.spec->tensor[tensor].name, (int)(first + i + 1));
        }
        ((int32_t*)base)[first + i] = (int32_t)value;
        break;
      default:
        if (!(value >= 0 && value <= 255)) {
          midlane_lua.luaL_error(L, "observation \"%s\": element %d does not fit a u8",
                                 midlane_exchange.spec->tensor[tensor].name, (int)(first + i + 1));
        }
        base[first + i] = (uint8_t)value;
        break;
    }
  }
  return 0;
}

// observe(agent, tensor, v1, ...) [-n, +0, e]
static int observe(lua_State* L) {
  uint32_t agent = check_index(L, 1, agents(), "midlane.observe: agent");
  uint32_t tensor = check_index(L, 2, midlane_exchange.spec->tensors, "midlane.observe: tensor");
  uint32_t given = (uint32_t)(midlane_lua.lua_gettop(L) - 2);
  if (given != targets[tensor].elements) {
    midlane_lua.luaL_error(L, "observation \"%s\" was declared with %d elements and gets %d",
                           midlane_exchange.spec->tensor[tensor].name,
                           (int)targets[tensor].elements, (int)given);
  }
  return write_elements(L, agent, tensor, 3, 0, given);
}

// observe_all(agent, v1, ...) [-n, +0, e]
static int observe_all(lua_State* L) {
  uint32_t agent = check_index(L, 1, agents(), "midlane.observe_all: agent");
  uint32_t given = (uint32_t)(midlane_lua.lua_gettop(L) - 1);
  if (given != elements_together) {
    midlane_lua.luaL_error(L,
                           "midlane.observe_all: %d elements were declared together, and %d come",
                           (int)elements_together, (int)given);
  }
  int argument = 2;
  for (uint32_t t = 0; t < midlane_exchange.spec->tensors; t++) {
    write_elements(L, agent, t, argument, 0, targets[t].elements);
    argument += (int)targets[t].elements;
  }
  return 0;
}

// observe_at(agent, tensor, first, v1, ...) [-n, +0, e]
static int observe_at(lua_State* L) {
  uint32_t agent = check_index(L, 1, agents(), "midlane.observe_at: agent");
  uint32_t tensor = check_index(L, 2, midlane_exchange.spec->tensors, "midlane.observe_at: tensor");
  uint32_t first = check_index(L, 3, targets[tensor].elements, "midlane.observe_at: first element");
  uint32_t given = (uint32_t)(midlane_lua.lua_gettop(L) - 3);
  if (given > targets[tensor].elements - first) {
    midlane_lua.luaL_error(L, "observation \"%s\" was declared with %d elements: %d from %d on",
                           midlane_exchange.spec->tensor[tensor].name,
                           (int)targets[tensor].elements, (int)given, (int)first + 1);
  }
  return write_elements(L, agent, tensor, 4, first, given);
}

// reward(agent, term, x) [-3, +0, e]
static int reward(lua_State* L) {
  uint32_t agent = check_index(L, 1, agents(), "midlane.reward: agent");
  uint32_t term = check_index(L, 2, midlane_exchange.spec->terms, "midlane.reward: term");
  double value = check_number(L, 3, "midlane.reward: x");
  if (!isfinite(value)) {
    midlane_lua.luaL_error(L, "reward \"%s\" is NaN or infinite",
                           midlane_exchange.spec->term[term].text);
  }
  midlane_exchange.reward[agent][term] += (float)value;
  return 0;
}

// metric(agent, metric, x) [-3, +0, e]
static int metric(lua_State* L) {
  uint32_t agent = check_index(L, 1, agents(), "midlane.metric: agent");
  uint32_t index = check_index(L, 2, midlane_exchange.spec->metrics, "midlane.metric: metric");
  midlane_exchange.metric[agent][index] = (float)check_number(L, 3, "midlane.metric: x");
  return 0;
}

// post(agent, flags) [-2, +0, e]
static int post(lua_State* L) {
  uint32_t agent = check_index(L, 1, agents(), "midlane.post: agent");
  const uint32_t known = MIDLANE_SLOT_PASSIVE | MIDLANE_SLOT_FIRST | MIDLANE_SLOT_TERMINATED |
                         MIDLANE_SLOT_TRUNCATED | MIDLANE_SLOT_MATCH_OVER;
  double flags = midlane_lua.lua_gettop(L) < 2 ? 0 : check_number(L, 2, "midlane.post: flags");
  if (!(flags >= 0 && flags <= known) || ((uint32_t)flags & ~known) != 0) {
    midlane_lua.luaL_error(L,
                           "midlane.post: flags must be a sum of midlane.FIRST, TERMINATED, "
                           "TRUNCATED, MATCH_OVER, PASSIVE");
  }
  midlane_exchange_mark(agent, (uint32_t)flags);
  return 0;
}

// Upvalues of exchange: the answers, interned once.
enum { kStep = 1, kReset, kClose };

static int answer(lua_State* L, int which) {
  midlane_lua.lua_pushvalue(L, midlane_lua_upvalue(which));
  return 1;
}

// exchange(frame) [-1, +1, e]
static int exchange(lua_State* L) {
  char message[512];
  if (midlane_exchange.detached) return answer(L, kClose);
  if (!midlane_exchange.spec) {
    midlane_lua.luaL_error(L, "midlane.declare must come before midlane.exchange");
  }
  double frame = check_number(L, 1, "midlane.exchange: frame");
  if (!(frame >= 0 && frame < 9007199254740992.0)) {
    midlane_lua.luaL_error(L, "midlane.exchange: frame must be from 0 to 2^53");
  }
  if (exchanged && (uint64_t)frame < last_frame) {
    midlane_lua.luaL_error(L, "midlane.exchange: frame %d comes after frame %d: frames never fall",
                           (int)frame, (int)last_frame);
  }
  if (!midlane_exchange_check(message, sizeof(message))) {
    midlane_lua.luaL_error(L, "%s", message);
  }
  last_frame = (uint64_t)frame;
  exchanged = true;
  switch (midlane_exchange_post(last_frame)) {
    case MIDLANE_OUTCOME_STEP:
      return answer(L, kStep);
    case MIDLANE_OUTCOME_RESET:
      return answer(L, kReset);
    case MIDLANE_OUTCOME_CLOSE:
      midlane_closed();
      break;
    case MIDLANE_OUTCOME_HOST_GONE:
      snprintf(message, sizeof(message), "the host process %u is gone",
               midlane_exchange.channel->host_pid);
      midlane_host_lost(message);
      break;
    case MIDLANE_OUTCOME_HOST_SILENT:
      snprintf(message, sizeof(message), "the host gave no answer within %u ms",
               midlane_exchange.channel->wait_limit_ms);
      midlane_host_lost(message);
      break;
  }
  return answer(L, kClose);
}

// action(agent, head) [-2, +1, e]
static int action(lua_State* L) {
  uint32_t agent = check_index(L, 1, agents(), "midlane.action: agent");
  uint32_t head = check_index(L, 2, midlane_exchange.spec->heads, "midlane.action: head");
  int32_t choice = midlane_exchange.slot[agent]->action[head];
  if (choice < 0 || (uint32_t)choice >= midlane_exchange.spec->head[head].choices) choice = 0;
  midlane_lua.lua_pushinteger(L, choice);
  return 1;
}

// effect(agent, frame) [-2, +0, e]
static int effect(lua_State* L) {
  uint32_t agent = check_index(L, 1, agents(), "midlane.effect: agent");
  double frame = check_number(L, 2, "midlane.effect: frame");
  if (!(frame >= 0 && frame < 9007199254740992.0)) {
    midlane_lua.luaL_error(L, "midlane.effect: frame must be from 0 to 2^53");
  }
  midlane_exchange.effect_frame[agent] = (uint64_t)frame;
  return 0;
}

// declare(spec) [-1, +0, e]
static int declare(lua_State* L) {
  struct midlane_spec spec;
  char message[512];
  if (midlane_lua.lua_type(L, 1) != MIDLANE_TTABLE) {
    midlane_lua.luaL_error(L, "midlane.declare takes a table");
  }
  midlane_lua.lua_settop(L, 1);
  if (!midlane_declare_read(L, 1, &spec, message, sizeof(message))) {
    midlane_lua.luaL_error(L, "%s", message);
  }
  if (midlane_exchange.spec) {
    if (memcmp(midlane_exchange.spec, &spec, sizeof(spec)) != 0) {
      midlane_lua.luaL_error(L, "midlane.declare: this spec differs from the one declared before");
    }
    return 0;
  }
  elements_together = 0;
  for (uint32_t t = 0; t < spec.tensors; t++) {
    uint32_t elements = 1;
    for (uint32_t i = 0; i < spec.tensor[t].rank; i++) elements *= spec.tensor[t].shape[i];
    targets[t] = (struct target){spec.tensor[t].offset, elements, spec.tensor[t].dtype};
    elements_together += elements;
  }
  if (!midlane_exchange_declare(&spec, message, sizeof(message))) {
    midlane_lua.luaL_error(L, "%s", message);
  }
  if (midlane_clock.virtual_time) midlane_clock_take();
  return 0;
}

// settings() [-0, +1, m]
static int settings(lua_State* L) {
  const struct midlane_channel* channel = midlane_exchange.channel;
  midlane_lua.lua_settop(L, 0);
  midlane_lua.lua_createtable(L, 0, 8);
  if (!channel) return 1;
  const char* at = (const char*)channel + channel->settings_offset;
  uint32_t bytes = channel->settings_bytes;
  if (bytes > channel->settings_capacity) bytes = channel->settings_capacity;
  const char* end = at + bytes;
  while (at < end) {
    const char* line_end = memchr(at, '\n', (size_t)(end - at));
    if (!line_end) line_end = end;
    const char* equals = memchr(at, '=', (size_t)(line_end - at));
    if (equals) {
      midlane_lua.lua_pushlstring(L, at, (size_t)(equals - at));
      midlane_lua.lua_pushlstring(L, equals + 1, (size_t)(line_end - equals - 1));
      midlane_lua.lua_rawset(L, 1);
    }
    at = line_end + 1;
  }
  return 1;
}

// advance(seconds) [-1, +0, e]
static int advance(lua_State* L) {
  double seconds = check_number(L, 1, "midlane.advance: seconds");
  if (!(seconds >= 0 && seconds <= 86400)) {
    midlane_lua.luaL_error(L, "midlane.advance: seconds must be from 0 to 86400, a day");
  }
  if (midlane_clock.virtual_time && midlane_clock_owner)
    midlane_clock_skip((uint64_t)(seconds * 1e9));
  return 0;
}

// keys(name) [-1, +0, e]
static int keys(lua_State* L) {
  const char* name = midlane_lua.lua_tolstring(L, 1, NULL);
  char message[256];
  if (!name) midlane_lua.luaL_error(L, "midlane.keys takes the name of a key sequence");
  if (!midlane_input_play(name, message, sizeof(message))) {
    midlane_lua.luaL_error(L, "midlane.keys: %s", message);
  }
  return 0;
}

// quit() [-0, +0, -]
static int quit(lua_State* L) {
  (void)L;
  midlane_input_quit();
  return 0;
}

// log(text) [-1, +0, e]
static int log_line(lua_State* L) {
  const char* text = midlane_lua.lua_tolstring(L, 1, NULL);
  if (!text) midlane_lua.luaL_error(L, "midlane.log takes a string");
  midlane_say("%s", text);
  return 0;
}

// seed() [-0, +1, -]: the part that a double holds exactly.
static int seed(lua_State* L) {
  midlane_lua.lua_pushnumber(L, (double)(world_seed & ((1ULL << 53) - 1)));
  return 1;
}

// raw(f) [-1, +0, e]: calls f{_G =, registry =, load =, debug =}.
static int raw(lua_State* L) {
  midlane_lua.lua_settop(L, 1);
  midlane_lua.lua_createtable(L, 0, 4);
  midlane_lua_push_globals(L);
  midlane_lua_set(L, 2, "_G");
  midlane_lua.lua_pushvalue(L, midlane_lua.registry_index);
  midlane_lua_set(L, 2, "registry");
  midlane_lua.lua_pushvalue(L, midlane_lua_upvalue(1));
  midlane_lua_get(L, 3, "load");
  midlane_lua_set(L, 2, "load");
  midlane_lua_get(L, 3, "debug");
  midlane_lua_set(L, 2, "debug");
  midlane_lua.lua_settop(L, 2);
  if (midlane_lua_pcall(L, 1, 0, 0) != MIDLANE_LUA_OK) {
    midlane_lua.luaL_error(L, "%s",
                           midlane_lua.lua_type(L, -1) == MIDLANE_TSTRING
                               ? midlane_lua.lua_tolstring(L, -1, NULL)
                               : "midlane.raw: the function failed");
  }
  return 0;
}

// __index of shared: (table, key) [-2, +1, e]
static int shared_index(lua_State* L) {
  size_t key_bytes = 0;
  size_t bytes = 0;
  double number = 0;
  char text[MIDLANE_SHARED_BYTES_MAX];
  const char* key = midlane_lua.lua_type(L, 2) == MIDLANE_TSTRING
                        ? midlane_lua.lua_tolstring(L, 2, &key_bytes)
                        : NULL;
  if (!key) midlane_lua.luaL_error(L, "midlane.shared: keys are strings");
  switch (midlane_shared_get(key, key_bytes, &number, text, sizeof(text), &bytes)) {
    case MIDLANE_SHARED_NUMBER:
      if (number == floor(number) && fabs(number) < 9007199254740992.0) {
        midlane_lua.lua_pushinteger(L, (intptr_t)number);
      } else {
        midlane_lua.lua_pushnumber(L, number);
      }
      break;
    case MIDLANE_SHARED_STRING:
      midlane_lua.lua_pushlstring(L, text, bytes);
      break;
    default:
      midlane_lua.lua_pushnil(L);
      break;
  }
  return 1;
}

// __newindex of shared: (table, key, value) [-3, +0, e]
static int shared_newindex(lua_State* L) {
  size_t key_bytes = 0;
  size_t bytes = 0;
  int ok = 0;
  bool stored = true;
  const char* key = midlane_lua.lua_type(L, 2) == MIDLANE_TSTRING
                        ? midlane_lua.lua_tolstring(L, 2, &key_bytes)
                        : NULL;
  if (!key) midlane_lua.luaL_error(L, "midlane.shared: keys are strings");
  switch (midlane_lua.lua_type(L, 3)) {
    case MIDLANE_TNUMBER:
      stored = midlane_shared_set_number(key, key_bytes, midlane_lua_tonumber(L, 3, &ok));
      break;
    case MIDLANE_TSTRING: {
      const char* text = midlane_lua.lua_tolstring(L, 3, &bytes);
      stored = midlane_shared_set_string(key, key_bytes, text, bytes);
      break;
    }
    case MIDLANE_TNIL:
      midlane_shared_clear(key, key_bytes);
      break;
    default:
      midlane_lua.luaL_error(L, "midlane.shared.%s: numbers and strings only", key);
  }
  if (!stored) {
    midlane_lua.luaL_error(L, "midlane.shared.%s: more than %d keys or %d bytes", key,
                           MIDLANE_SHARED_KEYS_MAX, MIDLANE_SHARED_BYTES_MAX);
  }
  return 0;
}

// [-0, +0, m] module[name] = function, for the module at absolute index `module`.
static void add_function(lua_State* L, int module, const char* name, lua_CFunction function) {
  midlane_lua.lua_pushcclosure(L, function, 0);
  midlane_lua_set(L, module, name);
}

static void add_number(lua_State* L, int module, const char* name, uint32_t value) {
  midlane_lua.lua_pushinteger(L, (intptr_t)value);
  midlane_lua_set(L, module, name);
}

// [-0, +1, m]
static void push_shared(lua_State* L) {
  midlane_lua.lua_createtable(L, 0, 0);
  midlane_lua.lua_createtable(L, 0, 2);
  int metatable = midlane_lua.lua_gettop(L);
  add_function(L, metatable, "__index", shared_index);
  add_function(L, metatable, "__newindex", shared_newindex);
  midlane_lua.lua_setmetatable(L, metatable - 1);
}

void midlane_module_push(lua_State* L, uint32_t state, int environment) {
  midlane_lua.lua_createtable(L, 0, 32);
  int module = midlane_lua.lua_gettop(L);
  static const struct {
    const char* name;
    lua_CFunction function;
  } functions[] = {
      {"declare", declare},
      {"settings", settings},
      {"observe", observe},
      {"reward", reward},
      {"observe_all", observe_all},
      {"observe_at", observe_at},
      {"metric", metric},
      {"post", post},
      {"action", action},
      {"effect", effect},
      {"advance", advance},
      {"keys", keys},
      {"quit", quit},
      {"log", log_line},
      {"seed", seed},
  };
  for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
    add_function(L, module, functions[i].name, functions[i].function);
  }
  midlane_lua_pushstring(L, "step");
  midlane_lua_pushstring(L, "reset");
  midlane_lua_pushstring(L, "close");
  midlane_lua.lua_pushcclosure(L, exchange, 3);
  midlane_lua_set(L, module, "exchange");
  midlane_lua.lua_pushvalue(L, environment);
  midlane_lua.lua_pushcclosure(L, raw, 1);
  midlane_lua_set(L, module, "raw");
  push_shared(L);
  midlane_lua_set(L, module, "shared");
  add_number(L, module, "state", state);
  add_number(L, module, "FIRST", MIDLANE_SLOT_FIRST);
  add_number(L, module, "TERMINATED", MIDLANE_SLOT_TERMINATED);
  add_number(L, module, "TRUNCATED", MIDLANE_SLOT_TRUNCATED);
  add_number(L, module, "MATCH_OVER", MIDLANE_SLOT_MATCH_OVER);
  add_number(L, module, "PASSIVE", MIDLANE_SLOT_PASSIVE);
}
