// PackedTimestep: all that a slot of the channel says of one agent's timestep, in one uint8 tensor,
// for a client that reads all of it each step (DescribeWorldResponse.packed_observation).
//
// Layout, little-endian, without gaps: observed_frame and effect_frame (u64), episode and flags
//   (u32), the reward terms (f32), the metrics (f32), the observation as the channel lays it out
//   (Spec::observation_bytes).
// Thread-safety: pure functions.
#ifndef MIDLANE_BRIDGE_RPC_PACKED_TIMESTEP_H_
#define MIDLANE_BRIDGE_RPC_PACKED_TIMESTEP_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bridge/env.h"
#include "bridge/spec.h"

namespace midlane::rpc {

// Its id, beyond those of any join's specs: clients that ask for every observation of the specs do
// not get everything twice.
inline constexpr uint64_t kPackedObservation = 1 << 20;

size_t PackedBytes(const Spec& spec);

// Writes PackedBytes(spec).
void PackTimestep(const Spec& spec, const AgentView& view, unsigned char* packed);

// False, and nothing written, where `packed` has not PackedBytes(spec).
bool UnpackTimestep(const Spec& spec, std::string_view packed, midlane_slot* slot);

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_PACKED_TIMESTEP_H_
