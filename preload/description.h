// description: what the shim must know of a game, read from the channel's description text.
//
// Purpose: the `key=value` lines of docs/description.md as one struct. Thread-safety: a value.
// Errors: an unknown key, a bad number or a value too long is refused with one sentence.
#ifndef MIDLANE_PRELOAD_DESCRIPTION_H_
#define MIDLANE_PRELOAD_DESCRIPTION_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  MIDLANE_SKIP_MAX = 96,
  MIDLANE_CALL_NAME_BYTES = 64,
  MIDLANE_SKIP_FUNCTIONS_MAX = 32,
  MIDLANE_FUNCTION_NAME_BYTES = 256,
  MIDLANE_SEQUENCES_MAX = 16,
  MIDLANE_SEQUENCE_BYTES = 1024,
};

struct midlane_key_sequence {
  char name[MIDLANE_CALL_NAME_BYTES];
  char keys[MIDLANE_SEQUENCE_BYTES];  // comma-separated key names
};

struct midlane_skip_function {
  char name[MIDLANE_FUNCTION_NAME_BYTES];
  bool always;  // also where frames are drawn
};

struct midlane_description {
  char executable[256];  // file name to attach to; empty: any
  char adapter[4096];    // absolute path
  bool fallback_play;    // when the host is gone: play on (else exit)
  bool vanilla;
  bool announce;
  bool clock_virtual;
  bool clock_start_given;
  uint64_t clock_start_ns;
  uint64_t clock_step_ns;
  double clock_speed;  // game seconds per real second; 0: free-running
  uint64_t seed;
  char skip[MIDLANE_SKIP_MAX][MIDLANE_CALL_NAME_BYTES];
  int skips;
  struct midlane_skip_function skip_function[MIDLANE_SKIP_FUNCTIONS_MAX];
  int skip_functions;
  char frame_call[MIDLANE_CALL_NAME_BYTES];
  uint32_t render_every;  // 0: never draw
  bool input_sdl2;
  struct midlane_key_sequence sequence[MIDLANE_SEQUENCES_MAX];
  int sequences;
  uint32_t gap_polls;
};

// Parses `bytes` of `text`. True, or false with one sentence in `error`.
bool midlane_description_parse(const char* text, size_t bytes,
                               struct midlane_description* description, char* error,
                               size_t error_bytes);

// The keys of sequence `name`, or NULL.
const char* midlane_description_keys(const struct midlane_description* description,
                                     const char* name);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_DESCRIPTION_H_
