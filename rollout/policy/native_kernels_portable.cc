#include "rollout/policy/native_kernels_template.h"

namespace midlane {

const NativeKernels kPortableKernels = {"portable", Kernels<4>::Normalise, Kernels<4>::Dense,
                                        Kernels<4>::LstmCell};

}  // namespace midlane
