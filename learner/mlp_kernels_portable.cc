#define MIDLANE_MLP_BYTES 16
#define MIDLANE_MLP_TILE_ROWS 4
#include "learner/mlp_kernels_template.h"

namespace midlane {

const MlpKernels kMlpKernelsPortable = KernelsNamed("portable");

const MlpKernels* const* AvailableMlpKernels() {
  static const MlpKernels* const* const available = [] {
    static const MlpKernels* list[4] = {};
    size_t count = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) list[count++] = &kMlpKernelsAvx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      list[count++] = &kMlpKernelsAvx2;
    }
#endif
    list[count++] = &kMlpKernelsPortable;
    return list;
  }();
  return available;
}

}  // namespace midlane
