#include "bridge/rpc/agent_specs.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

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

void WriteTensor(const TensorSpec& spec, const unsigned char* observation, wire::Tensor* tensor) {
  const unsigned char* data = observation + spec.offset;
  const int count = static_cast<int>(spec.elements());
  for (const uint32_t extent : spec.shape) tensor->add_shape(static_cast<int32_t>(extent));
  switch (spec.dtype) {
    case MIDLANE_DTYPE_F32: {
      auto* array = tensor->mutable_floats()->mutable_array();
      array->Resize(count, 0);
      std::memcpy(array->mutable_data(), data, count * sizeof(float));
      break;
    }
    case MIDLANE_DTYPE_I32: {
      auto* array = tensor->mutable_int32s()->mutable_array();
      array->Resize(count, 0);
      std::memcpy(array->mutable_data(), data, count * sizeof(int32_t));
      break;
    }
    case MIDLANE_DTYPE_U8:
      tensor->mutable_uint8s()->set_array(data, count);
      break;
    case MIDLANE_DTYPE_INVALID:
      break;
  }
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
  for (const TensorSpec& tensor : spec.tensors) specs.AddObservation(ProtoSpec(tensor));
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
  return specs;
}

absl::StatusOr<Requested> AgentSpecs::ParseRequested(
    const google::protobuf::RepeatedField<uint64_t>& ids) const {
  Requested requested;
  for (const uint64_t id : ids) {
    if (id == 0 || id > static_cast<uint64_t>(observations_)) {
      return absl::InvalidArgumentError(
          absl::StrCat("requested observation ", id,
                       " does not exist: the ids of the join's specs are 1..", observations_));
    }
    requested.set(id - 1);
  }
  return requested;
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

absl::Status AgentSpecs::ParseActions(const google::protobuf::Map<uint64_t, wire::Tensor>& given,
                                      const unsigned char* observation, int32_t* actions) const {
  int32_t parsed[MIDLANE_HEADS_MAX];
  DefaultActions(observation, parsed);
  for (const auto& [id, tensor] : given) {
    if (id == 0 || id > spec_.heads.size()) {
      return absl::InvalidArgumentError(absl::StrCat("action ", id,
                                                     " does not exist: the ids of the join's specs "
                                                     "are 1..",
                                                     spec_.heads.size()));
    }
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
    const int32_t choice = tensor.int32s().array(0);
    if (choice < 0 || static_cast<uint32_t>(choice) >= head.choices) {
      return absl::InvalidArgumentError(absl::StrCat("action '", head.name, "' (id ", id, ") is ",
                                                     choice, ": give 0..", head.choices - 1));
    }
    if (head.mask_tensor >= 0) {
      const TensorSpec& mask = spec_.tensors[head.mask_tensor];
      if (!observation[mask.offset + choice]) {
        return absl::InvalidArgumentError(absl::StrCat(
            "action '", head.name, "' (id ", id, ") is ", choice,
            ", which is masked now: observation '", mask.name, "' says which choices are allowed"));
      }
    }
    parsed[id - 1] = choice;
  }
  std::memcpy(actions, parsed, spec_.heads.size() * sizeof(int32_t));
  return absl::OkStatus();
}

void AgentSpecs::WriteObservation(int index, const ObservedTimestep& timestep,
                                  wire::Tensor* tensor) const {
  const int tensors = static_cast<int>(spec_.tensors.size());
  if (index < tensors) return WriteTensor(spec_.tensors[index], timestep.view.observation, tensor);
  index -= tensors;
  if (index == 0) {
    float reward = 0;
    for (size_t i = 0; i < spec_.terms.size(); ++i) {
      reward += timestep.weights[i] * timestep.view.rewards[i];
    }
    return tensor->mutable_floats()->add_array(reward);
  }
  if (index == 1) {
    return tensor->mutable_floats()->add_array(timestep.state == wire::TERMINATED ? 0.0f : 1.0f);
  }
  index -= 2;
  const int terms = static_cast<int>(spec_.terms.size());
  if (index < terms) return tensor->mutable_floats()->add_array(timestep.view.rewards[index]);
  index -= terms;
  const int metrics = static_cast<int>(spec_.metrics.size());
  if (index < metrics) return tensor->mutable_floats()->add_array(timestep.view.metrics[index]);
  switch (index - metrics) {
    case 0:
      return tensor->mutable_uint64s()->add_array(timestep.view.observed_frame);
    case 1:
      return tensor->mutable_uint64s()->add_array(timestep.view.effect_frame);
    case 2:
      return tensor->mutable_uint32s()->add_array(timestep.view.episode);
    default:
      return tensor->mutable_uint32s()->add_array(timestep.view.flags);
  }
}

void AgentSpecs::WriteStep(const ObservedTimestep& timestep, const Requested& requested,
                           wire::StepResponse* response) const {
  response->set_state(timestep.state);
  auto& observations = *response->mutable_observations();
  for (int index = 0; index < observations_; ++index) {
    if (requested[index]) WriteObservation(index, timestep, &observations[index + 1]);
  }
}

}  // namespace midlane::rpc
