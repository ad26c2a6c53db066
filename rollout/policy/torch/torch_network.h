// TorchNetwork: the policy and value network of network.h in libtorch, made for training.
//
// All parameters lie in one flat contiguous float tensor in WeightLayout order, and all gradients
// in another: the optimiser, gradient clipping, publishing and checkpoints each work on one tensor.
// backward() through what Forward answered *adds* into flat_gradients(), so zero it before. The
// whole network is one node of torch's graph with a backward pass of its own: small minibatches pay
// for matrix products, not for bookkeeping. No gradient flows into inputs or states, and there is
// no second derivative.
// Inputs are normalised already (network.h: clamp((raw - mean) * inv_std, -5, 5); NormaliseInputs).
// Thread-safety: one thread at a time; Forward under at::NoGradGuard where no gradient is wanted.
// Ownership: tensors answered by flat_*(), parameters() and gradients() share this object's memory;
// the object must outlive graphs that were made with it.
// Errors: torch's exceptions (c10::Error), only for broken preconditions.
// No protobuf header may be included where this one is.
#ifndef MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_NETWORK_H_
#define MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_NETWORK_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "rollout/policy/network.h"

namespace midlane {

class TorchNetwork {
 public:
  // Parameters begin at zero: call Initialise, or copy into flat_parameters().
  explicit TorchNetwork(const NetworkShape& shape, c10::Device device = c10::kCPU);
  ~TorchNetwork();
  TorchNetwork(const TorchNetwork&) = delete;
  TorchNetwork& operator=(const TorchNetwork&) = delete;

  const NetworkShape& shape() const { return shape_; }
  c10::Device device() const { return device_; }

  // [ParameterCount], f32, without requires_grad: write with copy_(), add_() and the like.
  const at::Tensor& flat_parameters() const { return flat_parameters_; }
  const at::Tensor& flat_gradients() const { return flat_gradients_; }
  // Views of the two above, a tensor each, in WeightLayout order.
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  const std::vector<at::Tensor>& gradients() const { return gradients_; }

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
  struct Layers;

  NetworkShape shape_;
  c10::Device device_;
  at::Tensor flat_parameters_;
  at::Tensor flat_gradients_;
  at::Tensor anchor_;  // shares flat_parameters_'s memory and requires grad: makes graphs begin
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> gradients_;
  std::unique_ptr<Layers> layers_;
};

// clamp((raw - mean) * inv_std, -5, 5): raw [..., inputs], mean and inv_std [inputs].
at::Tensor NormaliseInputs(const at::Tensor& raw, const at::Tensor& mean,
                           const at::Tensor& inv_std);

// Joint log-probability [...] of actions [..., heads] (int64) and joint entropy [...], by
// log_softmax of each head over its allowed choices, in nats. logits [..., logits_width]; masks the
// same shape (nonzero: allowed, at least one a head), undefined: all are. Differentiable in the
// logits.
struct ActionStatistics {
  at::Tensor log_probs;
  at::Tensor entropy;
};
ActionStatistics EvaluateActions(const NetworkShape& shape, const at::Tensor& logits,
                                 const at::Tensor& masks, const at::Tensor& actions);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_TORCH_TORCH_NETWORK_H_
