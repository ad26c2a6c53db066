#include "preload/random.h"

#include <string.h>

bool midlane_random_seeded;
static uint64_t world_seed;
static uint32_t seed_generation;
static uint32_t streams;

struct stream {
  uint64_t state;
  uint32_t number;  // from 1; 0: not begun
  uint32_t generation;
};

static __thread struct stream stream __attribute__((tls_model("initial-exec")));

void midlane_random_seed(uint64_t seed) {
  world_seed = seed;
  __atomic_add_fetch(&seed_generation, 1, __ATOMIC_RELEASE);
  midlane_random_seeded = true;
}

void midlane_random_fill(void* out, size_t bytes) {
  uint32_t generation = __atomic_load_n(&seed_generation, __ATOMIC_ACQUIRE);
  if (stream.number == 0) stream.number = __atomic_add_fetch(&streams, 1, __ATOMIC_RELAXED);
  if (stream.generation != generation) {
    stream.generation = generation;
    stream.state = midlane_mix(world_seed) ^ midlane_mix(stream.number);
  }
  unsigned char* to = out;
  while (bytes > 0) {
    uint64_t word = midlane_mix(stream.state++);
    size_t part = bytes < sizeof(word) ? bytes : sizeof(word);
    memcpy(to, &word, part);
    to += part;
    bytes -= part;
  }
}
