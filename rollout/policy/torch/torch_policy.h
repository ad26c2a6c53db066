// TorchPolicy: a Policy by libtorch, for networks that a GPU serves better, and as the reference
// that other backends are checked against.
// No torch header is needed to use it; libtorch's exceptions come back as Internal.
#ifndef MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_POLICY_H_
#define MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_POLICY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rollout/policy/policy.h"

namespace midlane {

// `device` as torch names it: "cpu", "cuda", "cuda:1". InvalidArgument where torch does not know it
// or it is not there.
absl::StatusOr<std::unique_ptr<Policy>> MakeTorchPolicy(const NetworkShape& shape,
                                                        const std::string& device);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_POLICY_H_
