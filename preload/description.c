#include "preload/description.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool copy(char* out, size_t out_bytes, const char* value) {
  size_t length = strlen(value);
  if (length >= out_bytes) return false;
  memcpy(out, value, length + 1);
  return true;
}

static bool parse_u64(const char* value, uint64_t* out) {
  char* end = NULL;
  if (value[0] < '0' || value[0] > '9') return false;
  errno = 0;
  *out = strtoull(value, &end, 10);
  return errno == 0 && *end == '\0';
}

static bool parse_u32(const char* value, uint32_t* out) {
  uint64_t wide = 0;
  if (!parse_u64(value, &wide) || wide > UINT32_MAX) return false;
  *out = (uint32_t)wide;
  return true;
}

static bool parse_flag(const char* value, bool* out) {
  if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0) return false;
  *out = value[0] == '1';
  return true;
}

static bool parse_choice(const char* value, const char* off, const char* on, bool* out) {
  *out = strcmp(value, on) == 0;
  return *out || strcmp(value, off) == 0;
}

static bool parse_speed(const char* value, double* out) {
  char* end = NULL;
  *out = strtod(value, &end);
  return end != value && *end == '\0' && isfinite(*out) && *out >= 0;
}

static bool add_sequence(struct midlane_description* d, const char* name, const char* keys) {
  if (d->sequences == MIDLANE_SEQUENCES_MAX) return false;
  struct midlane_key_sequence* sequence = &d->sequence[d->sequences];
  if (!copy(sequence->name, sizeof(sequence->name), name)) return false;
  if (!copy(sequence->keys, sizeof(sequence->keys), keys)) return false;
  d->sequences++;
  return true;
}

enum outcome { kAccepted, kBadValue, kUnknownKey };

static enum outcome apply(struct midlane_description* d, const char* key, const char* value) {
  bool ok;
  if (strcmp(key, "executable") == 0) {
    ok = copy(d->executable, sizeof(d->executable), value);
  } else if (strcmp(key, "adapter") == 0) {
    ok = copy(d->adapter, sizeof(d->adapter), value) && (value[0] == '/' || value[0] == '\0');
  } else if (strcmp(key, "fallback") == 0) {
    ok = parse_choice(value, "exit", "play", &d->fallback_play);
  } else if (strcmp(key, "vanilla") == 0) {
    ok = parse_flag(value, &d->vanilla);
  } else if (strcmp(key, "announce") == 0) {
    ok = parse_flag(value, &d->announce);
  } else if (strcmp(key, "clock") == 0) {
    ok = parse_choice(value, "real", "virtual", &d->clock_virtual);
  } else if (strcmp(key, "clock_start_ns") == 0) {
    ok = parse_u64(value, &d->clock_start_ns);
    d->clock_start_given = true;
  } else if (strcmp(key, "clock_step_us") == 0) {
    uint32_t us = 0;
    ok = parse_u32(value, &us);
    d->clock_step_ns = (uint64_t)us * 1000;
  } else if (strcmp(key, "clock_speed") == 0) {
    ok = parse_speed(value, &d->clock_speed);
  } else if (strcmp(key, "seed") == 0) {
    ok = parse_u64(value, &d->seed);
  } else if (strcmp(key, "skip") == 0) {
    ok = d->skips < MIDLANE_SKIP_MAX && copy(d->skip[d->skips], MIDLANE_CALL_NAME_BYTES, value);
    d->skips += ok;
  } else if (strcmp(key, "skip_function") == 0 || strcmp(key, "drop_function") == 0) {
    struct midlane_skip_function* function = &d->skip_function[d->skip_functions];
    ok = d->skip_functions < MIDLANE_SKIP_FUNCTIONS_MAX &&
         copy(function->name, sizeof(function->name), value);
    if (ok) function->always = key[0] == 'd';
    d->skip_functions += ok;
  } else if (strcmp(key, "frame_call") == 0) {
    ok = copy(d->frame_call, sizeof(d->frame_call), value);
  } else if (strcmp(key, "render_every") == 0) {
    ok = parse_u32(value, &d->render_every);
  } else if (strcmp(key, "input") == 0) {
    ok = parse_choice(value, "", "SDL2", &d->input_sdl2);
  } else if (strcmp(key, "gap_polls") == 0) {
    ok = parse_u32(value, &d->gap_polls);
  } else if (strncmp(key, "keys.", 5) == 0) {
    ok = add_sequence(d, key + 5, value);
  } else {
    return kUnknownKey;
  }
  return ok ? kAccepted : kBadValue;
}

bool midlane_description_parse(const char* text, size_t bytes, struct midlane_description* d,
                               char* error, size_t error_bytes) {
  memset(d, 0, sizeof(*d));
  d->gap_polls = 2;
  size_t at = 0;
  int number = 0;
  while (at < bytes && text[at] != '\0') {
    char line[sizeof(d->adapter) + 64];
    const char* end = memchr(text + at, '\n', bytes - at);
    size_t length = end ? (size_t)(end - (text + at)) : strnlen(text + at, bytes - at);
    number++;
    if (length >= sizeof(line)) {
      snprintf(error, error_bytes, "description line %d is longer than %zu bytes: shorten it",
               number, sizeof(line) - 1);
      return false;
    }
    memcpy(line, text + at, length);
    line[length] = '\0';
    at += length + 1;
    if (length == 0) continue;
    char* value = strchr(line, '=');
    if (!value) {
      snprintf(error, error_bytes, "description line %d, \"%.60s\", is not key=value", number,
               line);
      return false;
    }
    *value++ = '\0';
    switch (apply(d, line, value)) {
      case kAccepted:
        break;
      case kBadValue:
        snprintf(error, error_bytes, "description key %.60s cannot take the value \"%.80s\"", line,
                 value);
        return false;
      case kUnknownKey:
        snprintf(error, error_bytes,
                 "description key %.60s is unknown: shim and launcher are of different versions",
                 line);
        return false;
    }
  }
  return true;
}

const char* midlane_description_keys(const struct midlane_description* d, const char* name) {
  for (int i = 0; i < d->sequences; i++) {
    if (strcmp(d->sequence[i].name, name) == 0) return d->sequence[i].keys;
  }
  return NULL;
}
