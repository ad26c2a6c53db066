#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "preload/input.h"
#include "preload/real.h"

// SDL2's ABI, as far as a key needs it (SDL_events.h; unchanged since 2.0.0).
enum {
  kQuit = 0x100,
  kKeyDown = 0x300,
  kKeyUp = 0x301,
};

struct keyboard_event {
  uint32_t type;
  uint32_t timestamp;
  uint32_t window;
  uint8_t state;
  uint8_t repeat;
  uint8_t padding[2];
  int32_t scancode;
  int32_t keycode;
  uint16_t modifiers;
  uint32_t unused;
};

union event {
  uint32_t type;
  struct keyboard_event key;
  uint8_t bytes[128];  // SDL_Event is 56 bytes
};

enum {
  kWaitingMax = 256,     // keys
  kRealPollEvery = 256,  // where nobody watches: a poll in so many is a real one
  kMissedPollsMax = 64,  // then an event filter of the game has eaten them
};

typedef int (*push_event_function)(union event*);
typedef int32_t (*key_from_name_function)(const char*);
typedef int32_t (*scancode_from_key_function)(int32_t);

bool midlane_input_active;
static const struct midlane_description* description;
static bool thin;
static bool started;  // the game has polled once
static char waiting[kWaitingMax][MIDLANE_CALL_NAME_BYTES];
static uint32_t head;
static uint32_t tail;
static uint32_t polls_to_next_key;
static uint32_t polls_to_real;
static uint32_t undelivered;   // pushed events that no poll has returned yet
static uint32_t missed_polls;  // empty polls while some were undelivered
static bool quit_wanted;

void midlane_input_configure(const struct midlane_description* given, bool nobody_watches) {
  description = given;
  thin = nobody_watches;
  midlane_input_active = given->input_sdl2;
}

bool midlane_input_play(const char* name, char* error, size_t error_bytes) {
  const char* at = description ? midlane_description_keys(description, name) : NULL;
  if (!at) {
    snprintf(error, error_bytes, "the description has no key sequence \"%.60s\" under [input]",
             name);
    return false;
  }
  while (*at) {
    size_t length = strcspn(at, ",");
    if (length > 0 && length < MIDLANE_CALL_NAME_BYTES) {
      if (head - tail == kWaitingMax) {
        snprintf(error, error_bytes, "more than %d keys wait to be played", kWaitingMax);
        return false;
      }
      char* key = waiting[head++ % kWaitingMax];
      memcpy(key, at, length);
      key[length] = '\0';
    }
    at += length;
    if (*at == ',') at++;
  }
  return true;
}

static void push(union event* event) {
  static push_event_function push_event;
  if (!push_event) push_event = (push_event_function)midlane_real("SDL_PushEvent");
  if (push_event && push_event(event) == 1) undelivered++;
}

void midlane_input_quit(void) {
  if (!midlane_input_active) {
    kill(getpid(), SIGTERM);
    return;
  }
  quit_wanted = true;
}

static void press(const char* name) {
  static key_from_name_function key_from_name;
  static scancode_from_key_function scancode_from_key;
  if (!key_from_name) {
    key_from_name = (key_from_name_function)midlane_real("SDL_GetKeyFromName");
    scancode_from_key = (scancode_from_key_function)midlane_real("SDL_GetScancodeFromKey");
  }
  if (!key_from_name || !scancode_from_key) return;
  union event event;
  memset(&event, 0, sizeof(event));
  event.key.type = kKeyDown;
  event.key.state = 1;
  event.key.keycode = key_from_name(name);
  event.key.scancode = scancode_from_key(event.key.keycode);
  push(&event);
  event.key.type = kKeyUp;
  event.key.state = 0;
  push(&event);
}

bool midlane_input_poll(void) {
  if (__builtin_expect(!started, 0)) {
    char ignored[128];
    started = true;
    midlane_input_play("start", ignored, sizeof(ignored));
    polls_to_next_key = description->gap_polls;
  }
  if (__builtin_expect(quit_wanted, 0)) {
    union event event;
    memset(&event, 0, sizeof(event));
    event.type = kQuit;
    quit_wanted = false;
    push(&event);
  }
  if (__builtin_expect(head != tail, 0) && undelivered == 0 && polls_to_next_key == 0) {
    press(waiting[tail % kWaitingMax]);
    tail++;
    polls_to_next_key = description->gap_polls;
  }
  if (!thin || __builtin_expect(undelivered > 0, 0)) return true;
  if (polls_to_real-- > 0) return false;
  polls_to_real = kRealPollEvery - 1;
  return true;
}

// SDL's queue also holds its own marks (SDL_POLLSENTINEL), which answer 0 before it is empty: an
// event counts as delivered only when it was seen.
void midlane_input_polled(bool got, const void* polled) {
  if (__builtin_expect(got, 0)) {
    const union event* event = polled;
    if (undelivered > 0 && event &&
        (event->type == kKeyDown || event->type == kKeyUp || event->type == kQuit)) {
      undelivered--;
      missed_polls = 0;
    }
    return;
  }
  if (__builtin_expect(undelivered > 0, 0)) {
    if (++missed_polls < kMissedPollsMax) return;
    undelivered = missed_polls = 0;
  }
  if (__builtin_expect(polls_to_next_key > 0, 0)) polls_to_next_key--;
}
