// exchange: the game's end of the channel (bridge/channel.h).
//
// Purpose: maps the channel, posts marked slots, waits for the answer, notices a dead host.
// Thread-safety: one thread exchanges at a time (midlane_exchange_post serialises); the rest is
//   called on the thread that owns the Lua state.
// Ownership: maps the channel and doorbell for the process's life; their descriptors are closed.
// Errors: midlane_exchange_open says why in one sentence; every other outcome is an enum.
#ifndef MIDLANE_PRELOAD_EXCHANGE_H_
#define MIDLANE_PRELOAD_EXCHANGE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/channel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum midlane_outcome {
  MIDLANE_OUTCOME_STEP,
  MIDLANE_OUTCOME_RESET,
  MIDLANE_OUTCOME_CLOSE,        // the host asked for it
  MIDLANE_OUTCOME_HOST_GONE,    // its process ended
  MIDLANE_OUTCOME_HOST_SILENT,  // no answer within wait_limit_ms
};

struct midlane_exchange {
  struct midlane_channel* channel;    // NULL: not connected
  struct midlane_doorbell* doorbell;  // NULL: the host waits on game_seq itself
  const struct midlane_spec* spec;    // this process's own copy; agents == 0 before declare
  struct midlane_slot* slot[MIDLANE_AGENTS_MAX];
  unsigned char* observation[MIDLANE_AGENTS_MAX];
  float reward[MIDLANE_AGENTS_MAX][MIDLANE_TERMS_MAX];  // sums since the agent's last post
  float metric[MIDLANE_AGENTS_MAX][MIDLANE_METRICS_MAX];
  uint64_t effect_frame[MIDLANE_AGENTS_MAX];
  uint32_t episode[MIDLANE_AGENTS_MAX];
  uint32_t posted[MIDLANE_AGENTS_MAX];  // flags of this exchange; 0: not marked
  bool detached;                        // closed or fallen back: posts go nowhere
};

extern struct midlane_exchange midlane_exchange;

// True where a mapping of `file_bytes` (at least a header's) holds all that its header names.
bool midlane_exchange_check_header(const struct midlane_channel* channel, uint64_t file_bytes,
                                   char* error, size_t error_bytes);

// Maps both files. `doorbell_fd` may be -1. False with a sentence in `error`.
bool midlane_exchange_open(int channel_fd, int doorbell_fd, char* error, size_t error_bytes);

// Publishes a valid spec: ATTACHED. False where it does not fit the channel. Where another process
// of the game (before or after a fork) was first, this one is detached.
bool midlane_exchange_declare(const struct midlane_spec* spec, char* error, size_t error_bytes);

// Marks the agent's slot (0-based) for the next exchange; `flags` without ACTIVE.
void midlane_exchange_mark(uint32_t agent, uint32_t flags);

// False where a posted observation is NaN, infinite or outside the bounds of its spec; names agent,
// tensor and element.
bool midlane_exchange_check(char* error, size_t error_bytes);

// Posts the marked slots as observed at `frame` and waits for the answer.
enum midlane_outcome midlane_exchange_post(uint64_t frame);

// Stores the state and wakes whoever waits for it. `message` (may be NULL) goes to channel.error.
void midlane_exchange_state(enum midlane_state state, const char* message);

// Rings the doorbell.
void midlane_exchange_ring(void);

// True where the host's process exists and is no zombie.
bool midlane_exchange_host_alive(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_EXCHANGE_H_
