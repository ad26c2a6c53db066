#include "rollout/hash.h"

#include "rollout/hash_kernels_inc.h"

namespace midlane {

const HashKernels kHashPortable = kTable;

namespace {

const HashKernels& Kernels() {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2");
  if (avx2) return kHashAvx2;
#endif
  return kHashPortable;
}

}  // namespace

uint64_t Hash64(const void* data, size_t bytes) { return Kernels().hash(data, bytes); }

Hasher64::Hasher64() {
  static_assert(sizeof(state_) == kStateBytes);
  Kernels().reset(state_);
}

void Hasher64::Update(std::string_view bytes) {
  Kernels().update(state_, bytes.data(), bytes.size());
}

uint64_t Hasher64::Digest() const { return Kernels().digest(state_); }

}  // namespace midlane
