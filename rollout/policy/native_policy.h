// The native policy with chosen kernels, for tests and benchmarks. Everybody else calls
// MakeNativePolicy (policy.h), which takes the fastest that the processor runs.
//
// A row's results do not depend on the other rows of its batch, bit for bit, so that a match's
// actions can be reproduced whatever ran beside it. Evaluate allocates nothing.
#ifndef MIDLANE_ROLLOUT_POLICY_NATIVE_POLICY_H_
#define MIDLANE_ROLLOUT_POLICY_NATIVE_POLICY_H_

#include <memory>

#include "rollout/policy/native_kernels.h"
#include "rollout/policy/policy.h"

namespace midlane {

// `kernels` must be one of AvailableKernels().
std::unique_ptr<Policy> MakeNativePolicy(const NetworkShape& shape, const NativeKernels& kernels);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_NATIVE_POLICY_H_
