#include "bridge/rpc/remote_spec.h"

#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

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

// The elements of `tensor` where it is one of `spec`'s, else null.
const void* ElementsOf(const TensorSpec& spec, const wire::Tensor& tensor) {
  const auto count = static_cast<int>(spec.elements());
  switch (spec.dtype) {
    case MIDLANE_DTYPE_F32:
      return tensor.floats().array_size() == count ? tensor.floats().array().data() : nullptr;
    case MIDLANE_DTYPE_I32:
      return tensor.int32s().array_size() == count ? tensor.int32s().array().data() : nullptr;
    case MIDLANE_DTYPE_U8:
      return static_cast<int>(tensor.uint8s().array().size()) == count
                 ? tensor.uint8s().array().data()
                 : nullptr;
    case MIDLANE_DTYPE_INVALID:
      break;
  }
  return nullptr;
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

  std::map<std::string, uint64_t> ids;
  const std::map<uint64_t, wire::TensorSpec> observations(specs.observations().begin(),
                                                          specs.observations().end());
  for (const auto& [id, observation] : observations) {
    ids[observation.name()] = id;
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
    remote.tensor_ids_.push_back(id);
  }
  bool complete = spec.tensors.size() == static_cast<size_t>(description.bounds_size());
  const auto find = [&ids, &complete](const std::string& name) {
    const auto found = ids.find(name);
    complete &= found != ids.end();
    return found == ids.end() ? 0 : found->second;
  };
  for (const std::string& term : spec.terms) remote.term_ids_.push_back(find("terms." + term));
  for (const std::string& metric : spec.metrics) {
    remote.metric_ids_.push_back(find("metrics." + metric));
  }
  remote.observed_frame_id_ = find("timestep.observed_frame");
  remote.effect_frame_id_ = find("timestep.effect_frame");
  remote.episode_id_ = find("timestep.episode");
  remote.flags_id_ = find("timestep.flags");
  if (!complete) return NoBridge("observations that a bridge has are missing");

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
  for (const std::vector<uint64_t>* ids : {&tensor_ids_, &term_ids_, &metric_ids_}) {
    for (const uint64_t id : *ids) step->add_requested_observations(id);
  }
  for (const uint64_t id : {observed_frame_id_, effect_frame_id_, episode_id_, flags_id_}) {
    step->add_requested_observations(id);
  }
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
  const auto& observations = response.observations();
  const auto bad = [](const std::string& name) {
    return NoBridge(absl::StrCat("observation '", name, "' is missing or not of its spec"));
  };
  midlane_slot* slot = slots->slot(agent);
  for (size_t i = 0; i < tensor_ids_.size(); ++i) {
    const TensorSpec& tensor = spec_.tensors[i];
    const auto found = observations.find(tensor_ids_[i]);
    const void* elements =
        found == observations.end() ? nullptr : ElementsOf(tensor, found->second);
    if (elements == nullptr) return bad(tensor.name);
    std::memcpy(slots->observation(agent) + tensor.offset, elements, tensor.bytes());
  }
  const auto read_floats = [&](const std::vector<uint64_t>& ids, float* out) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto found = observations.find(ids[i]);
      if (found == observations.end() || found->second.floats().array_size() != 1) return false;
      out[i] = found->second.floats().array(0);
    }
    return true;
  };
  if (!read_floats(term_ids_, slot->reward)) return bad("terms");
  if (!read_floats(metric_ids_, slot->metric)) return bad("metrics");
  const auto observed = observations.find(observed_frame_id_);
  const auto effect = observations.find(effect_frame_id_);
  const auto episode = observations.find(episode_id_);
  const auto flags = observations.find(flags_id_);
  if (observed == observations.end() || observed->second.uint64s().array_size() != 1 ||
      effect == observations.end() || effect->second.uint64s().array_size() != 1 ||
      episode == observations.end() || episode->second.uint32s().array_size() != 1 ||
      flags == observations.end() || flags->second.uint32s().array_size() != 1) {
    return bad("timestep");
  }
  slot->observed_frame = observed->second.uint64s().array(0);
  slot->effect_frame = effect->second.uint64s().array(0);
  slot->episode = episode->second.uint32s().array(0);
  slot->flags = flags->second.uint32s().array(0);
  if (response.state() == wire::INTERRUPTED) slot->flags |= MIDLANE_SLOT_TRUNCATED;
  return absl::OkStatus();
}

}  // namespace midlane::rpc
