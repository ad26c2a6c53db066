// detour: makes a function of the program jump to a hook, and keeps a way to the original.
//
// Purpose: Lua that is linked into the executable calls itself directly, so no preloaded symbol is
//   ever reached; its entry points are overwritten instead. The first instructions are moved to a
//   page nearby, with their relative addresses put right, followed by a jump to the rest. Only
//   instructions that are known beyond doubt are moved; any other refuses the detour.
// Thread-safety: none; before the program's threads. Limits: x86-64 only so far.
#ifndef MIDLANE_PRELOAD_DETOUR_H_
#define MIDLANE_PRELOAD_DETOUR_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/real.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MIDLANE_DETOUR_COPY_BYTES = 64 };

// Copies whole instructions from `from` until at least `wanted` bytes are covered, to `to`, where
// they will run at address `to_address`. Bytes written, with *covered bytes read; 0 where an
// instruction is unknown, or the function may end before. *ends: the last one jumps away for good.
size_t midlane_detour_copy(const uint8_t* from, uint8_t* to, uint64_t to_address, size_t wanted,
                           size_t* covered, bool* ends);

// Detours `target` to `hook`; the original under a new address, or NULL with a sentence.
midlane_function midlane_detour(midlane_function target, midlane_function hook, const char* name,
                                char* error, size_t error_bytes);

// Writes `count` bytes over code at `target`. False where the pages cannot be made writable.
bool midlane_code_overwrite(void* target, const uint8_t* bytes, size_t count);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_DETOUR_H_
