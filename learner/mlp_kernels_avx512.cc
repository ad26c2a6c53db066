#define MIDLANE_MLP_BYTES 64
#define MIDLANE_MLP_TILE_ROWS 12
#include "learner/mlp_kernels_template.h"

namespace midlane {

const MlpKernels kMlpKernelsAvx512 = KernelsNamed("avx512");

}  // namespace midlane
