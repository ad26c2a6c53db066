// One build of XXH3. hash.cc picks the table at run time; each hash_*.cc is compiled for its
// instruction set and keeps everything it defines to itself.
#ifndef MIDLANE_ROLLOUT_HASH_KERNELS_H_
#define MIDLANE_ROLLOUT_HASH_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace midlane {

struct HashKernels {
  uint64_t (*hash)(const void* data, size_t bytes);
  void (*reset)(void* state);
  void (*update)(void* state, const void* data, size_t bytes);
  uint64_t (*digest)(const void* state);
};

extern const HashKernels kHashPortable;
extern const HashKernels kHashAvx2;  // x86-64 only

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_HASH_KERNELS_H_
