#include "preload/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "preload/exchange.h"

bool midlane_fallback_play;

void midlane_say(const char* format, ...) {
  // Written at once with write(): lines of two processes do not mix, and stdio may be torn down.
  char line[2048] = "midlane: ";
  size_t prefix = strlen(line);
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line + prefix, sizeof(line) - prefix - 1, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  size_t total = prefix + (size_t)length;
  if (total > sizeof(line) - 2) total = sizeof(line) - 2;
  line[total++] = '\n';
  ssize_t written = write(STDERR_FILENO, line, total);
  (void)written;
}

static void fall_back(int code) {
  midlane_exchange.detached = true;
  if (midlane_fallback_play) return;
  fflush(NULL);
  _exit(code);
}

void midlane_fail(const char* message) {
  bool first = !midlane_exchange.detached;
  if (!first) return;
  midlane_say("%s", message);
  if (midlane_exchange.channel) {
    midlane_exchange_state(MIDLANE_STATE_FAILED, message);
    midlane_exchange_ring();
  }
  fall_back(MIDLANE_EXIT_FALLBACK);
}

void midlane_refuse(const char* format, ...) {
  char message[MIDLANE_ERROR_BYTES];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  if (midlane_exchange.channel) {
    midlane_fail(message);
  } else {
    midlane_say("%s", message);
  }
}

void midlane_host_lost(const char* message) {
  if (midlane_exchange.detached) return;
  midlane_say("%s; %s", message,
              midlane_fallback_play ? "the game's own bots play on" : "the game ends");
  fall_back(MIDLANE_EXIT_FALLBACK);
}

void midlane_closed(void) {
  if (midlane_exchange.detached) return;
  midlane_exchange_state(MIDLANE_STATE_CLOSED, NULL);
  fall_back(0);
}
