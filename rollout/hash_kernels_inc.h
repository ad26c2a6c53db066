// The body of a hash_*.cc: defines `kTable` from the xxhash that the source's flags make.
#ifndef MIDLANE_ROLLOUT_HASH_KERNELS_INC_H_
#define MIDLANE_ROLLOUT_HASH_KERNELS_INC_H_

#include "rollout/hash_kernels.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace midlane {
namespace {

uint64_t Hash(const void* data, size_t bytes) { return XXH3_64bits(data, bytes); }
void Reset(void* state) {
  XXH3_INITSTATE(static_cast<XXH3_state_t*>(state));
  XXH3_64bits_reset(static_cast<XXH3_state_t*>(state));
}
void Update(void* state, const void* data, size_t bytes) {
  XXH3_64bits_update(static_cast<XXH3_state_t*>(state), data, bytes);
}
uint64_t Digest(const void* state) {
  return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state));
}

constexpr size_t kStateBytes = sizeof(XXH3_state_t);
constexpr HashKernels kTable = {Hash, Reset, Update, Digest};

}  // namespace
}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_HASH_KERNELS_INC_H_
