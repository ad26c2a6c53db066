// random: the kernel's randomness, answered from the seed.
//
// Purpose: getrandom, getentropy and syscall(SYS_getrandom) give the same bytes in two runs with
//   one seed. Each thread has a stream of its own, numbered in order of first use, so threads do
//   not disturb each other's bytes.
// Thread-safety: any thread. Not cryptographic.
#ifndef MIDLANE_PRELOAD_RANDOM_H_
#define MIDLANE_PRELOAD_RANDOM_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

extern bool midlane_random_seeded;

// Seeds all streams; a later call reseeds them (a new world seed).
void midlane_random_seed(uint64_t seed);

void midlane_random_fill(void* out, size_t bytes);

// A bijective scrambler (SplitMix64's finaliser).
static inline uint64_t midlane_mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_RANDOM_H_
