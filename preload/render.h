// render: drawing calls that become no-ops, or are kept every n-th frame.
//
// Purpose: each name of render_names.h is an exported symbol of one indirect jump through
//   midlane_render_target, which holds the real function, a no-op that returns 0, or the slow path
//   that asks midlane_render_pick. Arguments of any signature pass through untouched.
// Thread-safety: draw from one thread; targets are single words.
#ifndef MIDLANE_PRELOAD_RENDER_H_
#define MIDLANE_PRELOAD_RENDER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/description.h"
#include "preload/real.h"

#ifdef __cplusplus
extern "C" {
#endif

enum midlane_render_index {
#define RENDER(name, kind) MIDLANE_RENDER_##name,
#include "preload/render_names.h"
#undef RENDER
  MIDLANE_RENDER_COUNT,
};

// Where each symbol jumps, and each symbol's way to midlane_render_pick (render_*.S).
extern midlane_function midlane_render_target[MIDLANE_RENDER_COUNT];
extern const midlane_function midlane_render_slow_path[MIDLANE_RENDER_COUNT];

// Applies the description's skip list. False with a sentence where it names an unknown call.
bool midlane_render_configure(const struct midlane_description* description, char* error,
                              size_t error_bytes);

// Slow path: the function that a call of name `index` must jump to; its arguments are not looked
// at.
midlane_function midlane_render_pick(const void* first, const void* second, uint32_t index);

// Calls of the description's frame_call so far.
uint64_t midlane_render_frames(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_RENDER_H_
