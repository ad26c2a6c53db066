// fail: what the shim says when something is wrong, and the description's fallback.
//
// Purpose: one line on stderr, channel.error, and then `exit` (code MIDLANE_EXIT_FALLBACK) or
//   `play` (detached: the game's own bots go on).
// Thread-safety: any thread.
#ifndef MIDLANE_PRELOAD_FAIL_H_
#define MIDLANE_PRELOAD_FAIL_H_

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MIDLANE_EXIT_FALLBACK = 70 };

extern bool midlane_fallback_play;

// One line on stderr, prefixed "midlane: ".
void midlane_say(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Channel FAILED with this sentence (the first one stands), then the fallback. Returns under
// `play`.
void midlane_fail(const char* message);

// Something about the game itself cannot be driven: as midlane_fail where a host is connected, else
// only said.
void midlane_refuse(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The host is gone: the fallback, without a change of the channel's state.
void midlane_host_lost(const char* message);

// The host asked for the end: CLOSED; exits with 0, or returns under `play`.
void midlane_closed(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_FAIL_H_
