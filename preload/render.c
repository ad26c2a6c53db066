#include "preload/render.h"

#include <stdio.h>
#include <string.h>

static const char* const names[MIDLANE_RENDER_COUNT] = {
#define RENDER(name, kind) #name,
#include "preload/render_names.h"
#undef RENDER
};

enum kind { DRAW, STATE };

static const enum kind kinds[MIDLANE_RENDER_COUNT] = {
#define RENDER(name, kind) kind,
#include "preload/render_names.h"
#undef RENDER
};

enum { kNoFrameCall = MIDLANE_RENDER_COUNT };

static bool skipped[MIDLANE_RENDER_COUNT];
static uint32_t frame_call = kNoFrameCall;
static uint32_t render_every;
static bool draws = true;  // in this frame
static uint64_t frames;

static long no_op(void) { return 0; }

static bool find(const char* name, uint32_t* index) {
  for (uint32_t i = 0; i < MIDLANE_RENDER_COUNT; i++) {
    if (strcmp(names[i], name) == 0) {
      *index = i;
      return true;
    }
  }
  return false;
}

static midlane_function real_of(uint32_t index) {
  static midlane_function real[MIDLANE_RENDER_COUNT];
  if (!real[index]) real[index] = midlane_real(names[index]);
  return real[index] ? real[index] : (midlane_function)no_op;
}

static midlane_function choice(uint32_t index) {
  bool skip = skipped[index] && !draws && (kinds[index] == DRAW || render_every == 0);
  return skip ? (midlane_function)no_op : real_of(index);
}

static void retarget(void) {
  for (uint32_t i = 0; i < MIDLANE_RENDER_COUNT; i++) {
    if (skipped[i] && i != frame_call) midlane_render_target[i] = choice(i);
  }
}

bool midlane_render_configure(const struct midlane_description* description, char* error,
                              size_t error_bytes) {
  uint32_t index = 0;
  memset(skipped, 0, sizeof(skipped));
  frame_call = kNoFrameCall;
  frames = 0;
  for (int i = 0; i < description->skips; i++) {
    if (!find(description->skip[i], &index)) {
      snprintf(
          error, error_bytes,
          "[render] skip names \"%s\", which this shim cannot skip: see preload/render_names.h",
          description->skip[i]);
      return false;
    }
    skipped[index] = true;
  }
  if (description->frame_call[0] != '\0') {
    if (!find(description->frame_call, &frame_call)) {
      snprintf(error, error_bytes,
               "[render] frame_call names \"%s\", which this shim does not know: see "
               "preload/render_names.h",
               description->frame_call);
      return false;
    }
  }
  render_every = description->render_every;
  draws = render_every != 0;
  memcpy(midlane_render_target, midlane_render_slow_path, sizeof(midlane_render_target));
  return true;
}

midlane_function midlane_render_pick(const void* first, const void* second, uint32_t index) {
  (void)first;
  (void)second;
  if (index == frame_call) {
    // The call that ends a frame belongs to it; the next frame is drawn or not as a whole.
    midlane_function now = choice(index);
    frames++;
    bool next = render_every != 0 && (render_every == 1 || frames % render_every == 0);
    if (next != draws) {
      draws = next;
      retarget();
    }
    return now;
  }
  midlane_function now = choice(index);
  midlane_render_target[index] = now;
  return now;
}

uint64_t midlane_render_frames(void) { return frames; }
