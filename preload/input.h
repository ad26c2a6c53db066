// input: plays a description's key sequences into the game, and asks it to quit.
//
// Purpose: games that begin in a menu, and matches that begin from one. One library knows how to
//   give keys: SDL2 (input_sdl2.c). Keys go through the game's own event queue, one press and
//   release at a time, seen by the game, with gap_polls polls of an empty queue after it, so that
//   each menu sees each key: games empty the queue once a frame, and a window's own events come in
//   bursts.
// Thread-safety: play and quit from any thread that runs Lua; polled on the game's event thread.
#ifndef MIDLANE_PRELOAD_INPUT_H_
#define MIDLANE_PRELOAD_INPUT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/description.h"

#ifdef __cplusplus
extern "C" {
#endif

// `description` outlives the input. `thin`: nobody watches, so real polls may be rare.
void midlane_input_configure(const struct midlane_description* description, bool thin);

// Plays sequence `name` after what is playing. False with a sentence where it is unknown or too
// much is waiting.
bool midlane_input_play(const char* name, char* error, size_t error_bytes);

// Asks the game to end: its library's quit event, else SIGTERM to itself.
void midlane_input_quit(void);

// In the hooks of the game's event polls. poll: true where the real poll must be made.
extern bool midlane_input_active;
bool midlane_input_poll(void);

// After a poll, real or not: whether it found an event, and which (may be null).
void midlane_input_polled(bool got, const void* event);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_INPUT_H_
