// skip_functions: functions of the executable itself that return 0 at once.
//
// Purpose: what a game does for its picture before it reaches a library (layout, text, sprites) can
//   cost as much as the rest of a frame. No call of it passes a library, so the first instructions
//   of the functions that the description names are overwritten. Thread-safety: none; before the
//   program's threads. Limits: x86-64 and ARM64; symbols that the executable exports or keeps.
#ifndef MIDLANE_PRELOAD_SKIP_FUNCTIONS_H_
#define MIDLANE_PRELOAD_SKIP_FUNCTIONS_H_

#include <stddef.h>

#include "preload/description.h"

#ifdef __cplusplus
extern "C" {
#endif

// Overwrites the functions of `description`; where frames are drawn, only those that are always
// skipped. Returns the names that
// were not found or could not be overwritten, "" for none, comma-separated in `missing`: the game
// plays as well with them, only slower.
void midlane_skip_functions(const struct midlane_description* description, char* missing,
                            size_t missing_bytes);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_SKIP_FUNCTIONS_H_
