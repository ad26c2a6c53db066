#include "rollout/policy/network.h"

#include <numeric>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace midlane {
namespace {

// Grows with any change of architecture or layout that the shape's fields do not show.
constexpr uint32_t kArchitecture = 1;

void AddLinear(const std::string& name, uint32_t in, uint32_t out,
               std::vector<WeightTensor>* layout) {
  layout->push_back({name + ".weight", {out, in}});
  layout->push_back({name + ".bias", {out}});
}

// Answers the width of the last layer.
uint32_t AddHidden(const std::string& trunk, const NetworkShape& shape,
                   std::vector<WeightTensor>* layout) {
  uint32_t width = shape.inputs;
  for (size_t i = 0; i < shape.config.hidden.size(); ++i) {
    AddLinear(absl::StrCat(trunk, ".", i), width, shape.config.hidden[i], layout);
    width = shape.config.hidden[i];
  }
  return width;
}

}  // namespace

uint32_t NetworkShape::logits_width() const {
  return std::accumulate(heads.begin(), heads.end(), 0u);
}

uint64_t NetworkShape::Hash() const {
  std::vector<uint32_t> fields = {kArchitecture, inputs, static_cast<uint32_t>(heads.size())};
  fields.insert(fields.end(), heads.begin(), heads.end());
  fields.push_back(static_cast<uint32_t>(config.hidden.size()));
  fields.insert(fields.end(), config.hidden.begin(), config.hidden.end());
  fields.push_back(config.lstm);
  fields.push_back(separate_value());
  fields.push_back(static_cast<uint32_t>(config.activation));
  return XXH3_64bits(fields.data(), fields.size() * sizeof(uint32_t));
}

absl::Status ValidateNetworkConfig(const NetworkConfig& config) {
  if (config.hidden.size() > kLayersMax) {
    return absl::InvalidArgumentError(absl::StrCat("network.hidden has ", config.hidden.size(),
                                                   " layers; give at most ", kLayersMax));
  }
  for (size_t i = 0; i < config.hidden.size(); ++i) {
    if (config.hidden[i] < 1 || config.hidden[i] > kLayerWidthMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          "network.hidden[", i, "] is ", config.hidden[i], "; give 1 to ", kLayerWidthMax));
    }
  }
  if (config.lstm > kLayerWidthMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("network.lstm is ", config.lstm, "; give 0 (no LSTM) to ", kLayerWidthMax));
  }
  if (config.activation != Activation::kTanh && config.activation != Activation::kRelu) {
    return absl::InvalidArgumentError(absl::StrCat("network.activation is number ",
                                                   static_cast<int>(config.activation),
                                                   ", which is neither tanh nor relu"));
  }
  return absl::OkStatus();
}

bool IsDeviceName(absl::string_view name) {
  if (name == "cpu" || name == "cuda") return true;
  uint32_t index = 0;
  return absl::ConsumePrefix(&name, "cuda:") && absl::SimpleAtoi(name, &index);
}

NetworkShape MakeNetworkShape(const Spec& spec, const NetworkConfig& config) {
  NetworkShape shape;
  shape.inputs = spec.input_width();
  for (const HeadSpec& head : spec.heads) shape.heads.push_back(head.choices);
  shape.config = config;
  return shape;
}

size_t WeightTensor::elements() const {
  size_t elements = 1;
  for (uint32_t size : shape) elements *= size;
  return elements;
}

std::vector<WeightTensor> WeightLayout(const NetworkShape& shape) {
  std::vector<WeightTensor> layout;
  const uint32_t lstm = shape.config.lstm;
  const uint32_t trunk = AddHidden("policy", shape, &layout);
  const uint32_t features = lstm > 0 ? lstm : trunk;
  AddLinear("policy.head", features, shape.logits_width(), &layout);
  if (shape.separate_value()) AddHidden("value", shape, &layout);
  AddLinear("value.head", features, 1, &layout);
  if (lstm > 0) {
    layout.push_back({"lstm.weight_ih", {4 * lstm, trunk}});
    layout.push_back({"lstm.weight_hh", {4 * lstm, lstm}});
    layout.push_back({"lstm.bias_ih", {4 * lstm}});
    layout.push_back({"lstm.bias_hh", {4 * lstm}});
  }
  size_t offset = 0;
  for (WeightTensor& tensor : layout) {
    tensor.offset = offset;
    offset += tensor.elements();
  }
  return layout;
}

size_t ParameterCount(const NetworkShape& shape) {
  const std::vector<WeightTensor> layout = WeightLayout(shape);
  return layout.back().offset + layout.back().elements();
}

}  // namespace midlane
