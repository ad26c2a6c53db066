#include "preload/declare.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Where an error is written; the first one stands.
struct reader {
  lua_State* L;
  char* error;
  size_t error_bytes;
  bool ok;
};

static bool refuse(struct reader* r, const char* format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(struct reader* r, const char* format, ...) {
  if (r->ok) {
    va_list arguments;
    va_start(arguments, format);
    int prefix = snprintf(r->error, r->error_bytes, "midlane.declare: ");
    vsnprintf(r->error + prefix, r->error_bytes - (size_t)prefix, format, arguments);
    va_end(arguments);
  }
  r->ok = false;
  return false;
}

static int top(struct reader* r) { return midlane_lua.lua_gettop(r->L); }

static void pop(struct reader* r, int count) { midlane_lua.lua_settop(r->L, -count - 1); }

static bool valid_name(const char* text, size_t bytes) {
  if (bytes == 0 || bytes >= MIDLANE_NAME_BYTES) return false;
  for (size_t i = 0; i < bytes; i++) {
    if (text[i] <= ' ' || text[i] > '~') return false;
  }
  return true;
}

// [-1, +0, -] pops a string into a name.
static bool take_name(struct reader* r, const char* what, char* out) {
  size_t bytes = 0;
  const char* text = midlane_lua.lua_type(r->L, -1) == MIDLANE_TSTRING
                         ? midlane_lua.lua_tolstring(r->L, -1, &bytes)
                         : NULL;
  if (!text || !valid_name(text, bytes)) {
    pop(r, 1);
    return refuse(r, "%s must be a name of 1 to %d printable characters without spaces", what,
                  MIDLANE_NAME_BYTES - 1);
  }
  memset(out, 0, MIDLANE_NAME_BYTES);
  memcpy(out, text, bytes);
  pop(r, 1);
  return true;
}

// [-0, +0, m] t[key] as a number in [low, high]; `fallback` where it is nil.
static double take_number(struct reader* r, int table, const char* owner, const char* key,
                          double fallback, double low, double high) {
  int ok = 0;
  midlane_lua_get(r->L, table, key);
  int type = midlane_lua.lua_type(r->L, -1);
  double value = type == MIDLANE_TNUMBER ? midlane_lua_tonumber(r->L, -1, &ok) : fallback;
  pop(r, 1);
  bool given = type != MIDLANE_TNIL;
  if ((given && !ok) || !(value >= low && value <= high)) {
    refuse(r, "%s.%s must be a number from %g to %g", owner, key, low, high);
  }
  return value;
}

// [-0, +1, m] pushes list t[key]; its length, or 0 where it is nil and may be.
static uint32_t open_list(struct reader* r, int table, const char* key, uint32_t low,
                          uint32_t high) {
  midlane_lua_get(r->L, table, key);
  int type = midlane_lua.lua_type(r->L, -1);
  size_t length = type == MIDLANE_TTABLE ? midlane_lua_length(r->L, -1) : 0;
  if ((type != MIDLANE_TTABLE && type != MIDLANE_TNIL) || length < low || length > high) {
    refuse(r, "%s must be a list of %u to %u entries", key, low, high);
    return 0;
  }
  return (uint32_t)length;
}

static uint32_t take_names(struct reader* r, int table, const char* key, uint32_t low,
                           uint32_t high, struct midlane_name* out) {
  uint32_t count = open_list(r, table, key, low, high);
  int list = top(r);
  for (uint32_t i = 0; i < count && r->ok; i++) {
    char what[64];
    snprintf(what, sizeof(what), "%s[%u]", key, i + 1);
    midlane_lua.lua_rawgeti(r->L, list, (int)i + 1);
    if (!take_name(r, what, out[i].text)) break;
    for (uint32_t j = 0; j < i; j++) {
      if (strcmp(out[j].text, out[i].text) == 0) {
        refuse(r, "%s names \"%s\" twice", key, out[i].text);
      }
    }
  }
  pop(r, 1);
  return count;
}

static uint32_t dtype_of(const char* name) {
  if (strcmp(name, "f32") == 0) return MIDLANE_DTYPE_F32;
  if (strcmp(name, "i32") == 0) return MIDLANE_DTYPE_I32;
  if (strcmp(name, "u8") == 0) return MIDLANE_DTYPE_U8;
  return MIDLANE_DTYPE_INVALID;
}

// [-0, +0, m] reads shape of the observation at absolute index `entry`; bytes of the tensor.
static uint64_t take_shape(struct reader* r, int entry, struct midlane_tensor_spec* tensor) {
  uint32_t rank = open_list(r, entry, "shape", 0, MIDLANE_RANK_MAX);
  int list = top(r);
  uint64_t bytes = midlane_dtype_bytes(tensor->dtype);
  for (uint32_t i = 0; i < MIDLANE_RANK_MAX; i++) tensor->shape[i] = 1;
  tensor->rank = rank;
  for (uint32_t i = 0; i < rank && r->ok; i++) {
    int ok = 0;
    midlane_lua.lua_rawgeti(r->L, list, (int)i + 1);
    double size = midlane_lua_tonumber(r->L, -1, &ok);
    pop(r, 1);
    if (!ok || !(size >= 1 && size <= MIDLANE_OBSERVATION_BYTES_MAX) || size != floor(size)) {
      refuse(r, "observation \"%s\": shape[%u] must be a whole number from 1 to %u", tensor->name,
             i + 1, MIDLANE_OBSERVATION_BYTES_MAX);
      break;
    }
    tensor->shape[i] = (uint32_t)size;
    bytes *= tensor->shape[i];
    if (bytes > MIDLANE_OBSERVATION_BYTES_MAX) {
      refuse(r, "observation \"%s\" is larger than %u bytes", tensor->name,
             MIDLANE_OBSERVATION_BYTES_MAX);
      break;
    }
  }
  pop(r, 1);
  return bytes;
}

static void take_tensor(struct reader* r, int entry, uint32_t index, struct midlane_spec* spec) {
  struct midlane_tensor_spec* tensor = &spec->tensor[index];
  char what[MIDLANE_NAME_BYTES + 32];
  char dtype[MIDLANE_NAME_BYTES] = "f32";
  snprintf(what, sizeof(what), "observations[%u].name", index + 1);
  midlane_lua_get(r->L, entry, "name");
  if (!take_name(r, what, tensor->name)) return;
  for (uint32_t i = 0; i < index; i++) {
    if (strcmp(spec->tensor[i].name, tensor->name) == 0) {
      refuse(r, "observations name \"%s\" twice", tensor->name);
      return;
    }
  }
  midlane_lua_get(r->L, entry, "dtype");
  if (midlane_lua.lua_type(r->L, -1) == MIDLANE_TNIL) {
    pop(r, 1);
  } else if (!take_name(r, "dtype", dtype)) {
    return;
  }
  tensor->dtype = dtype_of(dtype);
  if (tensor->dtype == MIDLANE_DTYPE_INVALID) {
    refuse(r, "observation \"%s\": dtype \"%s\" is none of f32, i32, u8", tensor->name, dtype);
    return;
  }
  uint64_t bytes = take_shape(r, entry, tensor);
  snprintf(what, sizeof(what), "observation \"%s\"", tensor->name);
  double low = take_number(r, entry, what, "min", -INFINITY, -INFINITY, INFINITY);
  double high = take_number(r, entry, what, "max", INFINITY, -INFINITY, INFINITY);
  if (r->ok && low > high) refuse(r, "%s: min is above max", what);
  tensor->minimum = (float)low;
  tensor->maximum = (float)high;
  tensor->offset = spec->observation_bytes;
  uint64_t end = (uint64_t)tensor->offset + bytes + MIDLANE_ALIGN - 1;
  end -= end % MIDLANE_ALIGN;
  if (r->ok && end > MIDLANE_OBSERVATION_BYTES_MAX) {
    refuse(r, "the observations of an agent are larger than %u bytes",
           MIDLANE_OBSERVATION_BYTES_MAX);
  }
  if (r->ok) spec->observation_bytes = (uint32_t)end;
}

static void take_mask(struct reader* r, int entry, uint32_t index, struct midlane_spec* spec) {
  struct midlane_head_spec* head = &spec->head[index];
  char mask[MIDLANE_NAME_BYTES];
  midlane_lua_get(r->L, entry, "mask");
  if (midlane_lua.lua_type(r->L, -1) == MIDLANE_TNIL) {
    pop(r, 1);
    return;
  }
  if (!take_name(r, "mask", mask)) return;
  for (uint32_t t = 0; t < spec->tensors; t++) {
    struct midlane_tensor_spec* tensor = &spec->tensor[t];
    if (strcmp(tensor->name, mask) != 0) continue;
    if (tensor->dtype != MIDLANE_DTYPE_U8 || tensor->rank != 1 ||
        tensor->shape[0] != head->choices || tensor->masks_head != 0) {
      refuse(r, "mask \"%s\" of action \"%s\" must be a u8 observation of shape {%u} of its own",
             mask, head->name, head->choices);
      return;
    }
    tensor->masks_head = index + 1;
    return;
  }
  refuse(r, "mask \"%s\" of action \"%s\" is no declared observation", mask, head->name);
}

static void take_head(struct reader* r, int entry, uint32_t index, struct midlane_spec* spec) {
  struct midlane_head_spec* head = &spec->head[index];
  char what[MIDLANE_NAME_BYTES + 32];
  snprintf(what, sizeof(what), "actions[%u].name", index + 1);
  midlane_lua_get(r->L, entry, "name");
  if (!take_name(r, what, head->name)) return;
  for (uint32_t i = 0; i < index; i++) {
    if (strcmp(spec->head[i].name, head->name) == 0) {
      refuse(r, "actions name \"%s\" twice", head->name);
      return;
    }
  }
  snprintf(what, sizeof(what), "action \"%s\"", head->name);
  double choices = take_number(r, entry, what, "choices", 0, 2, MIDLANE_CHOICES_MAX);
  if (!r->ok) return;
  if (choices != floor(choices)) {
    refuse(r, "%s.choices must be a whole number", what);
    return;
  }
  head->choices = (uint32_t)choices;
  take_mask(r, entry, index, spec);
}

typedef void (*entry_reader)(struct reader*, int entry, uint32_t index, struct midlane_spec*);

static void take_entries(struct reader* r, int table, const char* key, uint32_t low, uint32_t high,
                         uint32_t* count, entry_reader read, struct midlane_spec* spec) {
  *count = open_list(r, table, key, low, high);
  int list = top(r);
  for (uint32_t i = 0; i < *count && r->ok; i++) {
    midlane_lua.lua_rawgeti(r->L, list, (int)i + 1);
    if (midlane_lua.lua_type(r->L, -1) == MIDLANE_TTABLE) {
      read(r, top(r), i, spec);
    } else {
      refuse(r, "%s[%u] must be a table", key, i + 1);
    }
    midlane_lua.lua_settop(r->L, list);
  }
  pop(r, 1);
}

bool midlane_declare_read(lua_State* L, int table, struct midlane_spec* spec, char* error,
                          size_t error_bytes) {
  struct reader reader = {L, error, error_bytes, true};
  struct reader* r = &reader;
  memset(spec, 0, sizeof(*spec));
  midlane_lua_get(L, table, "environment");
  if (!take_name(r, "environment", spec->environment)) return false;
  spec->frames_per_second = (float)take_number(r, table, "spec", "frames_per_second", 0, 1e-3, 1e6);
  double skip = take_number(r, table, "spec", "frame_skip", 1, 1, 1e6);
  if (r->ok && skip != floor(skip)) refuse(r, "spec.frame_skip must be a whole number");
  spec->frame_skip = r->ok ? (uint32_t)skip : 1;
  if (r->ok) spec->agents = take_names(r, table, "agents", 1, MIDLANE_AGENTS_MAX, spec->agent);
  if (r->ok) {
    take_entries(r, table, "observations", 1, MIDLANE_TENSORS_MAX, &spec->tensors, take_tensor,
                 spec);
  }
  if (r->ok) {
    take_entries(r, table, "actions", 1, MIDLANE_HEADS_MAX, &spec->heads, take_head, spec);
  }
  if (r->ok) spec->terms = take_names(r, table, "rewards", 0, MIDLANE_TERMS_MAX, spec->term);
  if (r->ok) spec->metrics = take_names(r, table, "metrics", 0, MIDLANE_METRICS_MAX, spec->metric);
  return r->ok;
}
