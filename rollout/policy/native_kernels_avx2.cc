#include "rollout/policy/native_kernels_template.h"

namespace midlane {

const NativeKernels kAvx2Kernels = {"avx2", Kernels<8>::Normalise, Kernels<8>::Dense,
                                    Kernels<8>::LstmCell};

}  // namespace midlane
