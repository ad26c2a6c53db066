#include "rollout/policy/native_kernels_template.h"

namespace midlane {

const NativeKernels kAvx512Kernels = {"avx512", Kernels<16>::Normalise, Kernels<16>::Dense,
                                      Kernels<16>::LstmCell};

}  // namespace midlane
