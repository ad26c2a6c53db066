#include "rollout/hash_kernels_inc.h"

namespace midlane {

static_assert(kStateBytes > 0);
const HashKernels kHashAvx2 = kTable;

}  // namespace midlane
