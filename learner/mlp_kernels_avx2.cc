#define MIDLANE_MLP_BYTES 32
#define MIDLANE_MLP_TILE_ROWS 6
#include "learner/mlp_kernels_template.h"

namespace midlane {

const MlpKernels kMlpKernelsAvx2 = KernelsNamed("avx2");

}  // namespace midlane
