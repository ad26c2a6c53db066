#include "bridge/rpc/agent_specs.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bridge/rpc/packed_timestep.h"

namespace midlane::rpc {
namespace {

wire::TensorSpec Scalar(std::string name, wire::DataType dtype) {
  wire::TensorSpec spec;
  spec.set_name(std::move(name));
  spec.set_dtype(dtype);
  return spec;
}

// The bound as a value of an integer type whose limits are `lowest` and `highest`; false where it
// says no more than the type.
bool IntegerBound(float bound, double lowest, double highest, int64_t* value) {
  if (!(bound > lowest && bound < highest)) return false;
  *value = static_cast<int64_t>(bound);
  return true;
}

void SetBounds(const TensorSpec& tensor, wire::TensorSpec* spec) {
  int64_t value = 0;
  switch (tensor.dtype) {
    case MIDLANE_DTYPE_F32:
      if (std::isfinite(tensor.minimum)) {
        spec->mutable_min()->mutable_floats()->add_array(tensor.minimum);
      }
      if (std::isfinite(tensor.maximum)) {
        spec->mutable_max()->mutable_floats()->add_array(tensor.maximum);
      }
      break;
    case MIDLANE_DTYPE_I32:
      if (IntegerBound(tensor.minimum, std::numeric_limits<int32_t>::min(),
                       std::numeric_limits<int32_t>::max(), &value)) {
        spec->mutable_min()->mutable_int32s()->add_array(static_cast<int32_t>(value));
      }
      if (IntegerBound(tensor.maximum, std::numeric_limits<int32_t>::min(),
                       std::numeric_limits<int32_t>::max(), &value)) {
        spec->mutable_max()->mutable_int32s()->add_array(static_cast<int32_t>(value));
      }
      break;
    case MIDLANE_DTYPE_U8:
      if (IntegerBound(tensor.minimum, 0, 255, &value)) {
        spec->mutable_min()->mutable_uint8s()->mutable_array()->assign(1, static_cast<char>(value));
      }
      if (IntegerBound(tensor.maximum, 0, 255, &value)) {
        spec->mutable_max()->mutable_uint8s()->mutable_array()->assign(1, static_cast<char>(value));
      }
      break;
    case MIDLANE_DTYPE_INVALID:
      break;
  }
}

wire::TensorSpec ProtoSpec(const TensorSpec& tensor) {
  wire::TensorSpec spec;
  spec.set_name(tensor.name);
  for (const uint32_t extent : tensor.shape) spec.add_shape(static_cast<int32_t>(extent));
  switch (tensor.dtype) {
    case MIDLANE_DTYPE_F32:
      spec.set_dtype(wire::FLOAT);
      break;
    case MIDLANE_DTYPE_I32:
      spec.set_dtype(wire::INT32);
      break;
    case MIDLANE_DTYPE_U8:
      spec.set_dtype(wire::UINT8);
      break;
    case MIDLANE_DTYPE_INVALID:
      break;
  }
  SetBounds(tensor, &spec);
  return spec;
}

wire::Tensor::PayloadCase Payload(midlane_dtype dtype) {
  switch (dtype) {
    case MIDLANE_DTYPE_F32:
      return wire::Tensor::kFloats;
    case MIDLANE_DTYPE_I32:
      return wire::Tensor::kInt32S;
    case MIDLANE_DTYPE_U8:
      return wire::Tensor::kUint8S;
    case MIDLANE_DTYPE_INVALID:
      break;
  }
  return wire::Tensor::PAYLOAD_NOT_SET;
}

constexpr char kReserved[] =
    "is what the bridge calls one of its own observations: rename it in the adapter";

}  // namespace

void AgentSpecs::AddObservation(wire::TensorSpec spec) {
  const uint64_t id = ++observations_;
  (*proto_.mutable_observations())[id] = std::move(spec);
}

absl::StatusOr<AgentSpecs> AgentSpecs::Make(const Spec& spec) {
  AgentSpecs specs(spec);
  for (const TensorSpec& tensor : spec.tensors) {
    for (const char* reserved : {"reward", "discount", "terms", "metrics", "timestep"}) {
      if (tensor.name == reserved || absl::StartsWith(tensor.name, absl::StrCat(reserved, "."))) {
        return absl::InvalidArgumentError(
            absl::StrCat("observation '", tensor.name, "' ", kReserved));
      }
    }
  }
  for (size_t i = 0; i < spec.heads.size(); ++i) {
    wire::TensorSpec action = Scalar(spec.heads[i].name, wire::INT32);
    action.mutable_min()->mutable_int32s()->add_array(0);
    action.mutable_max()->mutable_int32s()->add_array(static_cast<int32_t>(spec.heads[i].choices) -
                                                      1);
    (*specs.proto_.mutable_actions())[i + 1] = std::move(action);
  }
  for (const TensorSpec& tensor : spec.tensors) {
    specs.AddObservation(ProtoSpec(tensor));
    specs.shapes_.push_back(ShapeField(tensor.shape));
  }
  specs.AddObservation(Scalar("reward", wire::FLOAT));
  wire::TensorSpec discount = Scalar("discount", wire::FLOAT);
  discount.mutable_min()->mutable_floats()->add_array(0);
  discount.mutable_max()->mutable_floats()->add_array(1);
  specs.AddObservation(std::move(discount));
  for (const std::string& term : spec.terms) {
    specs.AddObservation(Scalar("terms." + term, wire::FLOAT));
  }
  for (const std::string& metric : spec.metrics) {
    specs.AddObservation(Scalar("metrics." + metric, wire::FLOAT));
  }
  specs.AddObservation(Scalar("timestep.observed_frame", wire::UINT64));
  specs.AddObservation(Scalar("timestep.effect_frame", wire::UINT64));
  specs.AddObservation(Scalar("timestep.episode", wire::UINT32));
  specs.AddObservation(Scalar("timestep.flags", wire::UINT32));
  specs.packed_shape_ = ShapeField({static_cast<uint32_t>(PackedBytes(spec))});
  return specs;
}

absl::StatusOr<Requested> AgentSpecs::ParseRequested(absl::Span<const uint64_t> ids) const {
  Requested requested;
  for (const uint64_t id : ids) {
    if (id == kPackedObservation) {
      requested.set(kObservationsMax);
      continue;
    }
    if (id == 0 || id > static_cast<uint64_t>(observations_)) {
      return absl::InvalidArgumentError(
          absl::StrCat("requested observation ", id,
                       " does not exist: the ids of the join's specs are 1..", observations_));
    }
    requested.set(id - 1);
  }
  return requested;
}

absl::StatusOr<Requested> AgentSpecs::ParseRequested(const PlainStep& step) const {
  return ParseRequested(step.requested);
}

absl::StatusOr<Requested> AgentSpecs::ParseRequested(const wire::StepRequest& step) const {
  return ParseRequested(step.requested_observations());
}

int32_t AgentSpecs::FirstAllowed(int head, const unsigned char* observation) const {
  const int mask = spec_.heads[head].mask_tensor;
  if (mask < 0) return 0;
  const unsigned char* allowed = observation + spec_.tensors[mask].offset;
  for (uint32_t choice = 0; choice < spec_.heads[head].choices; ++choice) {
    if (allowed[choice]) return static_cast<int32_t>(choice);
  }
  return 0;
}

void AgentSpecs::DefaultActions(const unsigned char* observation, int32_t* actions) const {
  for (size_t i = 0; i < spec_.heads.size(); ++i) {
    actions[i] = FirstAllowed(static_cast<int>(i), observation);
  }
}

absl::Status AgentSpecs::CheckActionId(uint64_t id) const {
  if (id > 0 && id <= spec_.heads.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "action ", id, " does not exist: the ids of the join's specs are 1..", spec_.heads.size()));
}

absl::Status AgentSpecs::TakeChoice(const PlainStep::Action& action,
                                    const unsigned char* observation, int32_t* actions) const {
  if (absl::Status status = CheckActionId(action.id); !status.ok()) return status;
  const HeadSpec& head = spec_.heads[action.id - 1];
  if (action.choice < 0 || static_cast<uint32_t>(action.choice) >= head.choices) {
    return absl::InvalidArgumentError(absl::StrCat("action '", head.name, "' (id ", action.id,
                                                   ") is ", action.choice, ": give 0..",
                                                   head.choices - 1));
  }
  if (head.mask_tensor >= 0) {
    const TensorSpec& mask = spec_.tensors[head.mask_tensor];
    if (!observation[mask.offset + action.choice]) {
      return absl::InvalidArgumentError(absl::StrCat(
          "action '", head.name, "' (id ", action.id, ") is ", action.choice,
          ", which is masked now: observation '", mask.name, "' says which choices are allowed"));
    }
  }
  actions[action.id - 1] = action.choice;
  return absl::OkStatus();
}

absl::Status AgentSpecs::ParseActions(const PlainStep& step, const unsigned char* observation,
                                      int32_t* actions) const {
  int32_t parsed[MIDLANE_HEADS_MAX];
  DefaultActions(observation, parsed);
  for (const PlainStep::Action& action : step.actions) {
    if (absl::Status status = TakeChoice(action, observation, parsed); !status.ok()) return status;
  }
  std::memcpy(actions, parsed, spec_.heads.size() * sizeof(int32_t));
  return absl::OkStatus();
}

absl::Status AgentSpecs::ParseActions(const wire::StepRequest& step,
                                      const unsigned char* observation, int32_t* actions) const {
  PlainStep plain;
  for (const auto& [id, tensor] : step.actions()) {
    if (absl::Status status = CheckActionId(id); !status.ok()) return status;
    const HeadSpec& head = spec_.heads[id - 1];
    if (tensor.payload_case() != wire::Tensor::kInt32S) {
      return absl::InvalidArgumentError(absl::StrCat(
          "action '", head.name, "' (id ", id, ") holds ", PayloadName(tensor), ": give int32s"));
    }
    if (tensor.shape_size() != 0 || tensor.int32s().array_size() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "action '", head.name, "' (id ", id, ") has ", tensor.int32s().array_size(),
          " elements and ", tensor.shape_size(), " dimensions: give a scalar (one, and none)"));
    }
    plain.actions.push_back({id, tensor.int32s().array(0)});
  }
  return ParseActions(plain, observation, actions);
}

TensorBytes AgentSpecs::Observation(int index, const ObservedTimestep& timestep,
                                    const Scalars& scalars) const {
  using wire::Tensor;
  const AgentView& view = timestep.view;
  const uint64_t id = static_cast<uint64_t>(index) + 1;
  const auto scalar = [id](Tensor::PayloadCase payload, const void* element) {
    return TensorBytes{id, payload, element, 1, {}};
  };
  const int tensors = static_cast<int>(spec_.tensors.size());
  if (index < tensors) {
    const TensorSpec& tensor = spec_.tensors[index];
    return {id, Payload(tensor.dtype), view.observation + tensor.offset,
            static_cast<int>(tensor.elements()), shapes_[index]};
  }
  index -= tensors;
  if (index == 0) return scalar(Tensor::kFloats, &scalars.reward);
  if (index == 1) return scalar(Tensor::kFloats, &scalars.discount);
  index -= 2;
  const int terms = static_cast<int>(spec_.terms.size());
  if (index < terms) return scalar(Tensor::kFloats, view.rewards + index);
  index -= terms;
  const int metrics = static_cast<int>(spec_.metrics.size());
  if (index < metrics) return scalar(Tensor::kFloats, view.metrics + index);
  switch (index - metrics) {
    case 0:
      return scalar(Tensor::kUint64S, &view.observed_frame);
    case 1:
      return scalar(Tensor::kUint64S, &view.effect_frame);
    case 2:
      return scalar(Tensor::kUint32S, &view.episode);
    default:
      return scalar(Tensor::kUint32S, &view.flags);
  }
}

void AgentSpecs::WriteStep(const ObservedTimestep& timestep, const Requested& requested,
                           std::string* response) const {
  Scalars scalars{0.0f, timestep.state == wire::TERMINATED ? 0.0f : 1.0f};
  for (size_t i = 0; i < spec_.terms.size(); ++i) {
    scalars.reward += timestep.weights[i] * timestep.view.rewards[i];
  }
  absl::InlinedVector<TensorBytes, 32> observations;
  for (int index = 0; index < observations_; ++index) {
    if (requested[index]) observations.push_back(Observation(index, timestep, scalars));
  }
  absl::InlinedVector<unsigned char, 512> packed;
  if (requested[kObservationsMax]) {
    packed.resize(PackedBytes(spec_));
    PackTimestep(spec_, timestep.view, packed.data());
    observations.push_back({kPackedObservation, wire::Tensor::kUint8S, packed.data(),
                            static_cast<int>(packed.size()), packed_shape_});
  }
  WriteStepResponse(timestep.state, observations, response);
}

}  // namespace midlane::rpc
