// What libtorch says of itself, for `midlane doctor`: lines "key=value".
#ifndef MIDLANE_DEPLOY_TORCH_INFO_H_
#define MIDLANE_DEPLOY_TORCH_INFO_H_

#include <string>

namespace midlane {

// version, blas (mkl, open, ...), threads (OpenMP's default), cuda (devices).
std::string TorchInfo();

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_TORCH_INFO_H_
