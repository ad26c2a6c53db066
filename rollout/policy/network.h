// Network: the shape of the policy and value network, and where each weight lies in the flat
// parameter vector that travels, is trained and is saved. No backend is included here: the torch
// network (rollout/policy/torch/) and the native one (rollout/policy/native_policy.h) are both
// built from a NetworkShape and read the same vector.
//
// Architecture, with x the normalised inputs:
//   lstm == 0:  policy trunk  h = act(W_i h + b_i) for each hidden size; logits = W h + b.
//               value trunk   the same sizes with weights of its own (separate_value), or the
//                             policy trunk; value = w h + b.
//   lstm > 0:   trunk as above (possibly no hidden layer), then one LSTM cell (gates in torch's
//   order
//               i, f, g, o; c' = f*c + i*g, h' = o*tanh(c')), logits and value linear in h'.
//               separate_value is ignored. Recurrent state of a row: h then c, 2 * lstm floats.
// Normalisation: x = clamp((raw - mean) * inv_std, -5, 5), statistics in Weights (weights.h).
// Weight matrices are row-major [out, in], as torch's Linear and LSTMCell keep them.
// Thread-safety: values and pure functions.
#ifndef MIDLANE_ROLLOUT_POLICY_NETWORK_H_
#define MIDLANE_ROLLOUT_POLICY_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bridge/spec.h"

namespace midlane {

inline constexpr float kInputClip = 5.0f;
inline constexpr uint32_t kLayersMax = 16;
inline constexpr uint32_t kLayerWidthMax = 8192;

enum class Activation { kTanh = 0, kRelu = 1 };

struct NetworkConfig {
  std::vector<uint32_t> hidden = {64, 64};
  uint32_t lstm = 0;
  bool separate_value = true;
  Activation activation = Activation::kTanh;
};

struct NetworkShape {
  uint32_t inputs = 0;
  std::vector<uint32_t> heads;  // choices of each action head
  NetworkConfig config;

  uint32_t logits_width() const;
  uint32_t state_width() const { return 2 * config.lstm; }
  bool separate_value() const { return config.separate_value && config.lstm == 0; }
  // XXH3 of the fields above: weights and checkpoints of another hash are refused.
  uint64_t Hash() const;
};

// InvalidArgument names the field that is out of its limits.
absl::Status ValidateNetworkConfig(const NetworkConfig& config);
NetworkShape MakeNetworkShape(const Spec& spec, const NetworkConfig& config);

// "cpu", "cuda" or "cuda:N": where libtorch may run a network.
bool IsDeviceName(absl::string_view name);

struct WeightTensor {
  std::string name;             // "policy.0.weight", "lstm.weight_ih", "value.2.bias", ...
  std::vector<uint32_t> shape;  // {out, in} or {out}
  size_t offset = 0;            // in floats, in the flat vector
  size_t elements() const;
};

// Every weight in the order of the flat vector, without gaps. Names:
//   policy.I.weight/bias for hidden layer I, then policy.head.weight/bias (all heads stacked);
//   value.I.weight/bias (separate_value only), then value.head.weight/bias;
//   lstm.weight_ih, lstm.weight_hh, lstm.bias_ih, lstm.bias_hh (lstm > 0).
std::vector<WeightTensor> WeightLayout(const NetworkShape& shape);
size_t ParameterCount(const NetworkShape& shape);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_NETWORK_H_
