// AgentSpecs: what an agent of a world may do and see over dm_env_rpc, made once from the world's
// Spec; checks steps against it and writes observations.
//
// Actions: one int32 scalar a head, id = index + 1. Observations, ids from 1 in this order: the
//   spec's tensors under their own names; `reward` (weighted sum of the terms, f32) and `discount`
//   (0 where the sequence terminated, else 1); `terms.NAME`; `metrics.NAME`;
//   `timestep.observed_frame` and `timestep.effect_frame` (u64), `timestep.episode` and
//   `timestep.flags` (u32, midlane_slot_flag).
//   kPackedObservation, which no specs list, is all of it in one (packed_timestep.h).
// Bounds carry the spec's type and are absent where there is none or where it is the type's own
//   limit (numpy clients overflow on limit + 1).
// Thread-safety: constant after Make.
// Errors: InvalidArgument that names the id or the name and the remedy. Nothing is allocated for a
//   request before its ids, types and shapes are checked.
#ifndef MIDLANE_BRIDGE_RPC_AGENT_SPECS_H_
#define MIDLANE_BRIDGE_RPC_AGENT_SPECS_H_

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bridge/env.h"
#include "bridge/rpc/step_codec.h"
#include "bridge/rpc/tensors.h"
#include "bridge/spec.h"

namespace midlane::rpc {

inline constexpr int kObservationsMax =
    MIDLANE_TENSORS_MAX + 2 + MIDLANE_TERMS_MAX + MIDLANE_METRICS_MAX + 4;

// Which observations a step asked for: bit id - 1, and the last for kPackedObservation.
using Requested = std::bitset<kObservationsMax + 1>;

// The part of an AgentView that observations are made of, with pointers that the caller keeps.
struct ObservedTimestep {
  wire::EnvironmentStateType state = wire::INVALID_ENVIRONMENT_STATE;
  AgentView view;
  const float* weights = nullptr;  // Spec::terms.size()
};

class AgentSpecs {
 public:
  // InvalidArgument where the environment's own names collide with the ones above.
  static absl::StatusOr<AgentSpecs> Make(const Spec& spec);

  const Spec& spec() const { return spec_; }
  const wire::ActionObservationSpecs& proto() const { return proto_; }

  absl::StatusOr<Requested> ParseRequested(const wire::StepRequest& step) const;
  absl::StatusOr<Requested> ParseRequested(const PlainStep& step) const;

  // Fills `actions` (Spec::heads.size()); heads left out take the first choice that the masks of
  // `observation` allow. Nothing is written on an error.
  absl::Status ParseActions(const wire::StepRequest& step, const unsigned char* observation,
                            int32_t* actions) const;
  absl::Status ParseActions(const PlainStep& step, const unsigned char* observation,
                            int32_t* actions) const;

  // What ParseActions makes of no actions.
  void DefaultActions(const unsigned char* observation, int32_t* actions) const;

  // Replaces `response` by the serialised EnvironmentResponse of a step, with the requested
  // observations.
  void WriteStep(const ObservedTimestep& timestep, const Requested& requested,
                 std::string* response) const;

 private:
  explicit AgentSpecs(const Spec& spec) : spec_(spec) {}
  // Elements that are nowhere in the environment's memory.
  struct Scalars {
    float reward;
    float discount;
  };
  TensorBytes Observation(int index, const ObservedTimestep& timestep,
                          const Scalars& scalars) const;
  absl::Status TakeChoice(const PlainStep::Action& action, const unsigned char* observation,
                          int32_t* actions) const;
  absl::Status CheckActionId(uint64_t id) const;
  absl::StatusOr<Requested> ParseRequested(absl::Span<const uint64_t> ids) const;
  void AddObservation(wire::TensorSpec spec);
  int32_t FirstAllowed(int head, const unsigned char* observation) const;

  Spec spec_;
  wire::ActionObservationSpecs proto_;
  int observations_ = 0;
  std::vector<std::string> shapes_;  // of Spec::tensors, as they are serialised
  std::string packed_shape_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_AGENT_SPECS_H_
