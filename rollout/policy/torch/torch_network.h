// TorchNetwork: the policy and value network of network.h in libtorch, made for training.
//
// All parameters lie in one flat contiguous float tensor in WeightLayout order, and all gradients
// in another: the optimiser, gradient clipping, publishing and checkpoints each work on one tensor.
// parameters() are leaf tensors that share its memory; backward() *adds* into flat_gradients(), so
// zero it before each backward.
// Inputs are normalised already (network.h: clamp((raw - mean) * inv_std, -5, 5); NormaliseInputs).
// Thread-safety: one thread at a time; Forward under NoGradGuard where no gradient is wanted.
// Ownership: tensors answered by flat_*() and parameters() share this object's memory.
// Errors: torch's exceptions (c10::Error), only for broken preconditions.
// No protobuf header may be included where this one is.
#ifndef MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_NETWORK_H_
#define MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_NETWORK_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <vector>

#include "rollout/policy/network.h"

namespace midlane {

class TorchNetwork {
 public:
  // Parameters begin at zero: call Initialise, or copy into flat_parameters().
  explicit TorchNetwork(const NetworkShape& shape, c10::Device device = c10::kCPU);
  TorchNetwork(const TorchNetwork&) = delete;
  TorchNetwork& operator=(const TorchNetwork&) = delete;

  const NetworkShape& shape() const { return shape_; }
  c10::Device device() const { return device_; }

  // [ParameterCount], without requires_grad: write with copy_(), add_() and the like.
  const at::Tensor& flat_parameters() const { return flat_parameters_; }
  const at::Tensor& flat_gradients() const { return flat_gradients_; }
  // Leaves with requires_grad, WeightLayout order, views of flat_parameters().
  const std::vector<at::Tensor>& parameters() const { return parameters_; }

  // Orthogonal matrices (Saxe et al. 2013) of gain sqrt(2) in hidden layers, 1 in the LSTM (a gate
  // each) and the value head, 0.01 in the policy head; biases 0, the LSTM's forget gate's sum 1.
  // The same seed gives the same parameters on every device.
  void Initialise(uint64_t seed);

  struct Output {
    at::Tensor logits;  // [N, logits_width] or [T, B, logits_width], unmasked
    at::Tensor values;  // [N] or [T, B]
    at::Tensor states;  // [B, state_width] after the last step; undefined without LSTM
  };

  // Independent rows: inputs [N, inputs]. REQUIRES: lstm == 0.
  Output Forward(const at::Tensor& inputs) const;

  // Sequences: inputs [T, B, inputs]; states [B, state_width] (h then c) before the first step,
  // undefined: zeros; starts [T, B] (any dtype; nonzero: the state is zeroed before this step),
  // undefined: none. Gradients flow through the whole window, not into `states`, and not across
  // starts. Without LSTM the same as Forward over T * B rows.
  Output ForwardSequence(const at::Tensor& inputs, const at::Tensor& states,
                         const at::Tensor& starts) const;

 private:
  at::Tensor Trunk(const at::Tensor& inputs, size_t first) const;

  NetworkShape shape_;
  c10::Device device_;
  at::Tensor flat_parameters_;
  at::Tensor flat_gradients_;
  std::vector<at::Tensor> parameters_;
};

// clamp((raw - mean) * inv_std, -5, 5): raw [..., inputs], mean and inv_std [inputs].
at::Tensor NormaliseInputs(const at::Tensor& raw, const at::Tensor& mean,
                           const at::Tensor& inv_std);

// log_softmax of each head over its allowed choices. logits [..., logits_width]; masks the same
// shape (nonzero: allowed), undefined: all are. A disallowed choice has -inf.
// Joint log-probability [...] of actions [..., heads] (int64) and joint entropy [...].
struct ActionStatistics {
  at::Tensor log_probs;
  at::Tensor entropy;
};
ActionStatistics EvaluateActions(const NetworkShape& shape, const at::Tensor& logits,
                                 const at::Tensor& masks, const at::Tensor& actions);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_NETWORK_H_
