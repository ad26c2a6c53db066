#include "bridge/rpc/remote_spec.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bridge/rpc/packed_timestep.h"

namespace midlane::rpc {
namespace {

absl::Status NoBridge(const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": the server is no Midlane bridge of this version; update it"));
}

midlane_dtype DtypeOf(wire::DataType dtype) {
  switch (dtype) {
    case wire::FLOAT:
      return MIDLANE_DTYPE_F32;
    case wire::INT32:
      return MIDLANE_DTYPE_I32;
    case wire::UINT8:
      return MIDLANE_DTYPE_U8;
    default:
      return MIDLANE_DTYPE_INVALID;
  }
}

}  // namespace

absl::StatusOr<RemoteSpec> RemoteSpec::Make(
    const wire::ActionObservationSpecs& specs,
    const midlane::bridge::v1::DescribeWorldResponse& description) {
  RemoteSpec remote;
  Spec& spec = remote.spec_;
  spec.environment = description.environment();
  spec.frame_skip = description.frame_skip();
  spec.frames_per_second = description.frames_per_second();
  for (const auto& agent : description.agents()) spec.agents.push_back(agent.name());
  spec.terms.assign(description.terms().begin(), description.terms().end());
  spec.metrics.assign(description.metrics().begin(), description.metrics().end());

  const std::map<uint64_t, wire::TensorSpec> actions(specs.actions().begin(),
                                                     specs.actions().end());
  std::map<std::string, int> heads;
  for (const auto& [id, action] : actions) {
    if (id != spec.heads.size() + 1 || action.dtype() != wire::INT32 ||
        action.max().int32s().array_size() != 1 || action.max().int32s().array(0) < 1) {
      return NoBridge(absl::StrCat("action '", action.name(), "' is no choice"));
    }
    HeadSpec head;
    head.name = action.name();
    head.choices = static_cast<uint32_t>(action.max().int32s().array(0)) + 1;
    heads[head.name] = static_cast<int>(spec.heads.size());
    spec.heads.push_back(std::move(head));
  }
  std::map<std::string, int> masks;
  for (const auto& mask : description.masks()) {
    const auto head = heads.find(mask.action());
    if (head == heads.end())
      return NoBridge(absl::StrCat("mask of no action '", mask.action(), "'"));
    masks[mask.observation()] = head->second;
  }

  const std::map<uint64_t, wire::TensorSpec> observations(specs.observations().begin(),
                                                          specs.observations().end());
  for (const auto& [id, observation] : observations) {
    const size_t index = spec.tensors.size();
    if (index >= static_cast<size_t>(description.bounds_size())) continue;
    TensorSpec tensor;
    tensor.name = observation.name();
    tensor.dtype = DtypeOf(observation.dtype());
    for (const int32_t extent : observation.shape()) {
      tensor.shape.push_back(static_cast<uint32_t>(extent));
    }
    tensor.minimum = description.bounds(static_cast<int>(index)).minimum();
    tensor.maximum = description.bounds(static_cast<int>(index)).maximum();
    if (const auto mask = masks.find(tensor.name); mask != masks.end()) {
      tensor.masks_head = mask->second;
      spec.heads[mask->second].mask_tensor = static_cast<int>(index);
    }
    spec.tensors.push_back(std::move(tensor));
  }
  if (spec.tensors.size() != static_cast<size_t>(description.bounds_size()) ||
      description.packed_observation() == 0) {
    return NoBridge("observations that a bridge has are missing");
  }
  remote.packed_observation_ = description.packed_observation();

  const absl::StatusOr<midlane_spec> raw = MakeRawSpec(spec);
  if (!raw.ok()) return raw.status();
  absl::StatusOr<Spec> checked = ParseSpec(*raw);
  if (!checked.ok()) return checked.status();
  spec = *std::move(checked);
  return remote;
}

wire::EnvironmentRequest RemoteSpec::StepRequest() const {
  wire::EnvironmentRequest request;
  wire::StepRequest* step = request.mutable_step();
  step->add_requested_observations(packed_observation_);
  for (size_t i = 0; i < spec_.heads.size(); ++i) {
    (*step->mutable_actions())[i + 1].mutable_int32s()->add_array(0);
  }
  return request;
}

void RemoteSpec::SetActions(const int32_t* actions, wire::EnvironmentRequest* step) const {
  auto* map = step->mutable_step()->mutable_actions();
  for (size_t i = 0; i < spec_.heads.size(); ++i) {
    map->at(i + 1).mutable_int32s()->set_array(0, actions[i]);
  }
}

absl::Status RemoteSpec::ReadStep(const wire::StepResponse& response, int agent,
                                  SlotBuffer* slots) const {
  const auto packed = response.observations().find(packed_observation_);
  midlane_slot* const slot = slots->slot(agent);
  if (packed == response.observations().end() ||
      !UnpackTimestep(spec_, packed->second.uint8s().array(), slot)) {
    return NoBridge("a timestep is missing, or not of its spec");
  }
  if (response.state() == wire::INTERRUPTED) slot->flags |= MIDLANE_SLOT_TRUNCATED;
  return absl::OkStatus();
}

}  // namespace midlane::rpc
