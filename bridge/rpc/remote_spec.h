// RemoteSpec: the Spec of a world behind dm_env_rpc, and its timesteps put back into slots.
//
// The inverse of AgentSpecs, with what DescribeWorldResponse adds.
// Thread-safety: constant after Make.
// Errors: InvalidArgument with one sentence, where the other side's specs are not a bridge's, or an
//   answer does not keep to them.
#ifndef MIDLANE_BRIDGE_RPC_REMOTE_SPEC_H_
#define MIDLANE_BRIDGE_RPC_REMOTE_SPEC_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bridge/rpc/tensors.h"
#include "bridge/slots.h"
#include "bridge/spec.h"
#include "midlane/bridge/v1/describe.pb.h"

namespace midlane::rpc {

class RemoteSpec {
 public:
  static absl::StatusOr<RemoteSpec> Make(
      const wire::ActionObservationSpecs& specs,
      const midlane::bridge::v1::DescribeWorldResponse& description);

  const Spec& spec() const { return spec_; }

  // A step that requests all that a slot holds and has an action for every head.
  wire::EnvironmentRequest StepRequest() const;
  void SetActions(const int32_t* actions, wire::EnvironmentRequest* step) const;

  // Writes the timestep; a sequence that was cut from outside is flagged TRUNCATED.
  absl::Status ReadStep(const wire::StepResponse& response, int agent, SlotBuffer* slots) const;

 private:
  Spec spec_;
  uint64_t packed_observation_ = 0;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_REMOTE_SPEC_H_
