// Linking count_allocations.cc replaces operator new by one that counts.
#ifndef MIDLANE_TESTS_ROLLOUT_POLICY_COUNT_ALLOCATIONS_H_
#define MIDLANE_TESTS_ROLLOUT_POLICY_COUNT_ALLOCATIONS_H_

#include <cstdint>

namespace midlane {

uint64_t AllocationCount();  // since the start of the process, all threads

}  // namespace midlane

#endif  // MIDLANE_TESTS_ROLLOUT_POLICY_COUNT_ALLOCATIONS_H_
