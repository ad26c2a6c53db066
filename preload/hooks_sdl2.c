// The exported SDL2 hooks: clock and event polls. Each forwards where nothing is virtual.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/clock.h"
#include "preload/input.h"
#include "preload/real.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT uint32_t SDL_GetTicks(void) {
  if (midlane_clock.virtual_time) return (uint32_t)(midlane_clock_read() / 1000000);
  MIDLANE_REAL(SDL_GetTicks, uint32_t(*)(void));
  return real_SDL_GetTicks();
}

EXPORT uint64_t SDL_GetTicks64(void) {
  if (midlane_clock.virtual_time) return midlane_clock_read() / 1000000;
  MIDLANE_REAL(SDL_GetTicks64, uint64_t(*)(void));
  return real_SDL_GetTicks64();
}

EXPORT uint64_t SDL_GetPerformanceCounter(void) {
  if (midlane_clock.virtual_time) return midlane_clock_read();
  MIDLANE_REAL(SDL_GetPerformanceCounter, uint64_t(*)(void));
  return real_SDL_GetPerformanceCounter();
}

EXPORT uint64_t SDL_GetPerformanceFrequency(void) {
  if (midlane_clock.virtual_time) return 1000000000;
  MIDLANE_REAL(SDL_GetPerformanceFrequency, uint64_t(*)(void));
  return real_SDL_GetPerformanceFrequency();
}

EXPORT void SDL_Delay(uint32_t ms) {
  if (midlane_clock.virtual_time) {
    midlane_clock_wait((uint64_t)ms * 1000000);
    return;
  }
  MIDLANE_REAL(SDL_Delay, void (*)(uint32_t));
  real_SDL_Delay(ms);
}

EXPORT int SDL_PollEvent(void* event) {
  MIDLANE_REAL(SDL_PollEvent, int (*)(void*));
  if (!midlane_input_active) return real_SDL_PollEvent(event);
  int got = midlane_input_poll() ? real_SDL_PollEvent(event) : 0;
  midlane_input_polled(got, event);
  return got;
}

EXPORT int SDL_WaitEvent(void* event) {
  MIDLANE_REAL(SDL_WaitEvent, int (*)(void*));
  if (midlane_input_active) {
    midlane_input_polled(false, NULL);
    midlane_input_poll();
  }
  int got = real_SDL_WaitEvent(event);
  if (midlane_input_active && got) midlane_input_polled(true, event);
  return got;
}

EXPORT int SDL_WaitEventTimeout(void* event, int timeout_ms) {
  MIDLANE_REAL(SDL_WaitEventTimeout, int (*)(void*, int));
  if (midlane_input_active) midlane_input_poll();
  const bool real = !midlane_clock.virtual_time || timeout_ms <= 0 || !midlane_clock_owner;
  int got = real_SDL_WaitEventTimeout(event, real ? timeout_ms : 0);
  if (midlane_input_active) midlane_input_polled(got, event);
  if (!real && !got) midlane_clock_wait((uint64_t)timeout_ms * 1000000);
  return got;
}
