#include "rollout/policy/torch/torch_network.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <map>
#include <optional>
#include <string>

namespace midlane {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A weight or bias with what training needs beside it; all three are views.
struct Parameter {
  Tensor value;
  Tensor gradient;
  Tensor transposed;  // of matrices
};

struct Linear {
  Parameter weight;
  Parameter bias;

  Tensor Forward(const Tensor& in) const { return at::addmm(bias.value, in, weight.transposed); }
  // Adds to the gradients. `out_gradient` is that of the output before any activation.
  void Accumulate(const Tensor& in, const Tensor& out_gradient) const {
    weight.gradient.addmm_(out_gradient.t(), in);
    bias.gradient.add_(out_gradient.sum(0));
  }
  Tensor InputGradient(const Tensor& out_gradient) const {
    return at::mm(out_gradient, weight.value);
  }
};

struct Trunk {
  std::vector<Linear> layers;
  Activation activation;

  // Appends each layer's output to `outputs`; answers the last (or `in` without layers).
  Tensor Forward(Tensor in, variable_list* outputs) const {
    for (const Linear& layer : layers) {
      in = layer.Forward(in);
      if (activation == Activation::kTanh) {
        in.tanh_();
      } else {
        in.relu_();
      }
      outputs->push_back(in);
    }
    return in;
  }

  // `outputs`: what Forward appended. `gradient`: of the last output.
  void Backward(const Tensor& in, const Tensor* outputs, Tensor gradient) const {
    for (size_t i = layers.size(); i-- > 0;) {
      gradient = activation == Activation::kTanh ? at::tanh_backward(gradient, outputs[i])
                                                 : at::threshold_backward(gradient, outputs[i], 0);
      layers[i].Accumulate(i > 0 ? outputs[i - 1] : in, gradient);
      if (i > 0) gradient = layers[i].InputGradient(gradient);
    }
  }
};

}  // namespace

struct TorchNetwork::Layers {
  Trunk policy;
  Trunk value;  // no layers where the trunk is shared
  Linear policy_head;
  Linear value_head;
  Linear input_gates;   // weight_ih, bias_ih
  Linear hidden_gates;  // weight_hh, bias_hh
  int64_t lstm = 0;
  bool separate_value = false;

  class RowsFunction;
  class SequenceFunction;
};

// inputs [N, inputs] -> logits, values.
class TorchNetwork::Layers::RowsFunction
    : public torch::autograd::Function<TorchNetwork::Layers::RowsFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Layers* layers, Tensor inputs,
                               Tensor anchor) {
    variable_list saved = {inputs};
    const Tensor policy = layers->policy.Forward(inputs, &saved);
    const Tensor value = layers->separate_value ? layers->value.Forward(inputs, &saved) : policy;
    const Tensor logits = layers->policy_head.Forward(policy);
    const Tensor values = layers->value_head.Forward(value).squeeze(1);
    context->save_for_backward(saved);
    context->saved_data["layers"] = reinterpret_cast<int64_t>(layers);
    return {logits, values};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto* layers = reinterpret_cast<const Layers*>(context->saved_data["layers"].toInt());
    const variable_list saved = context->get_saved_variables();
    const Tensor& inputs = saved[0];
    const Tensor* policy_outputs = saved.data() + 1;
    const Tensor* value_outputs =
        layers->separate_value ? policy_outputs + layers->policy.layers.size() : policy_outputs;
    const size_t hidden = layers->policy.layers.size();
    const Tensor& policy = hidden > 0 ? policy_outputs[hidden - 1] : inputs;
    const Tensor& value = hidden > 0 ? value_outputs[hidden - 1] : inputs;
    const Tensor& logits_gradient = gradients[0];
    const Tensor values_gradient = gradients[1].unsqueeze(1);

    layers->policy_head.Accumulate(policy, logits_gradient);
    layers->value_head.Accumulate(value, values_gradient);
    if (hidden > 0) {
      Tensor gradient = layers->policy_head.InputGradient(logits_gradient);
      if (layers->separate_value) {
        layers->value.Backward(inputs, value_outputs,
                               layers->value_head.InputGradient(values_gradient));
      } else {
        gradient.addmm_(values_gradient, layers->value_head.weight.value);
      }
      layers->policy.Backward(inputs, policy_outputs, gradient);
    }
    return {Tensor(), Tensor(), Tensor()};
  }
};

// inputs [T, B, inputs], states [B, 2 H], starts [T, B] or none -> logits, values, states.
class TorchNetwork::Layers::SequenceFunction
    : public torch::autograd::Function<TorchNetwork::Layers::SequenceFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Layers* layers, Tensor inputs,
                               Tensor states, std::optional<Tensor> starts, Tensor anchor) {
    const int64_t steps = inputs.size(0);
    const int64_t batch = inputs.size(1);
    const int64_t width = layers->lstm;
    const Tensor rows = inputs.reshape({steps * batch, inputs.size(2)});
    const Tensor keep = starts ? starts->eq(0).to(rows.scalar_type()).unsqueeze(2) : Tensor();

    variable_list saved = {rows};
    const Tensor features = layers->policy.Forward(rows, &saved);
    // All that does not depend on the state comes in one product; then a product a step.
    Tensor gates = at::addmm(layers->input_gates.bias.value + layers->hidden_gates.bias.value,
                             features, layers->input_gates.weight.transposed)
                       .view({steps, batch, 4 * width});
    Tensor hidden_in = at::empty({steps, batch, width}, rows.options());
    Tensor cell_in = at::empty_like(hidden_in);
    Tensor cell_tanh = at::empty_like(hidden_in);
    Tensor hidden = at::empty_like(hidden_in);
    Tensor final_states = at::empty({batch, 2 * width}, rows.options());
    Tensor cell = states.slice(1, width, 2 * width);
    for (int64_t t = 0; t < steps; ++t) {
      const Tensor last_hidden = t > 0 ? hidden[t - 1] : states.slice(1, 0, width);
      Tensor h = hidden_in[t];
      Tensor c = cell_in[t];
      if (keep.defined()) {
        at::mul_out(h, last_hidden, keep[t]);
        at::mul_out(c, cell, keep[t]);
      } else {
        h.copy_(last_hidden);
        c.copy_(cell);
      }
      Tensor g = gates[t];
      g.addmm_(h, layers->hidden_gates.weight.transposed);
      g.slice(1, 0, 2 * width).sigmoid_();
      g.slice(1, 2 * width, 3 * width).tanh_();
      g.slice(1, 3 * width, 4 * width).sigmoid_();
      cell = t + 1 < steps ? at::empty({batch, width}, rows.options())
                           : final_states.slice(1, width, 2 * width);
      at::mul_out(cell, g.slice(1, width, 2 * width), c);
      cell.addcmul_(g.slice(1, 0, width), g.slice(1, 2 * width, 3 * width));
      Tensor ct = cell_tanh[t];
      at::tanh_out(ct, cell);
      Tensor out = hidden[t];
      at::mul_out(out, g.slice(1, 3 * width, 4 * width), ct);
    }
    final_states.slice(1, 0, width).copy_(hidden[steps - 1]);

    const Tensor out = hidden.view({steps * batch, width});
    const Tensor logits = layers->policy_head.Forward(out).view({steps, batch, -1});
    const Tensor values = layers->value_head.Forward(out).view({steps, batch});
    for (const Tensor& tensor : {gates, hidden_in, cell_in, cell_tanh, hidden}) {
      saved.push_back(tensor);
    }
    if (keep.defined()) saved.push_back(keep);
    context->save_for_backward(saved);
    context->saved_data["layers"] = reinterpret_cast<int64_t>(layers);
    context->mark_non_differentiable({final_states});
    return {logits, values, final_states};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto* layers = reinterpret_cast<const Layers*>(context->saved_data["layers"].toInt());
    const variable_list saved = context->get_saved_variables();
    const size_t depth = layers->policy.layers.size();
    const Tensor& rows = saved[0];
    const Tensor* trunk_outputs = saved.data() + 1;
    const Tensor& features = saved[depth];
    const Tensor& gates = saved[depth + 1];
    const Tensor& hidden_in = saved[depth + 2];
    const Tensor& cell_in = saved[depth + 3];
    const Tensor& cell_tanh = saved[depth + 4];
    const Tensor& hidden = saved[depth + 5];
    const Tensor keep = saved.size() > depth + 6 ? saved[depth + 6] : Tensor();
    const int64_t steps = gates.size(0);
    const int64_t batch = gates.size(1);
    const int64_t width = layers->lstm;

    const Tensor out = hidden.view({steps * batch, width});
    const Tensor logits_gradient = gradients[0].reshape({steps * batch, -1});
    const Tensor values_gradient = gradients[1].reshape({steps * batch, 1});
    layers->policy_head.Accumulate(out, logits_gradient);
    layers->value_head.Accumulate(out, values_gradient);
    const Tensor hidden_gradients = layers->policy_head.InputGradient(logits_gradient)
                                        .addmm_(values_gradient, layers->value_head.weight.value)
                                        .view({steps, batch, width});

    // Derivatives of each gate's activation times what multiplies it, for all steps at once: the
    // loop then only multiplies by the gradients of h and c.
    const Tensor input = gates.slice(2, 0, width);
    const Tensor forget = gates.slice(2, width, 2 * width);
    const Tensor candidate = gates.slice(2, 2 * width, 3 * width);
    const Tensor output = gates.slice(2, 3 * width, 4 * width);
    Tensor gate_gradients = at::empty_like(gates);
    Tensor cell_of_hidden = at::tanh_backward(output, cell_tanh);
    Tensor input_part = gate_gradients.slice(2, 0, width);
    Tensor forget_part = gate_gradients.slice(2, width, 2 * width);
    Tensor candidate_part = gate_gradients.slice(2, 2 * width, 3 * width);
    Tensor output_part = gate_gradients.slice(2, 3 * width, 4 * width);
    at::sigmoid_backward_out(input_part, candidate, input);
    at::sigmoid_backward_out(forget_part, cell_in, forget);
    at::tanh_backward_out(candidate_part, input, candidate);
    at::sigmoid_backward_out(output_part, cell_tanh, output);

    Tensor hidden_gradient;
    Tensor cell_gradient;
    for (int64_t t = steps; t-- > 0;) {
      hidden_gradient = hidden_gradient.defined() ? hidden_gradient.add_(hidden_gradients[t])
                                                  : hidden_gradients[t];
      if (cell_gradient.defined()) {
        cell_gradient.addcmul_(hidden_gradient, cell_of_hidden[t]);
      } else {
        cell_gradient = hidden_gradient * cell_of_hidden[t];
      }
      gate_gradients[t]
          .slice(1, 0, 3 * width)
          .view({batch, 3, width})
          .mul_(cell_gradient.unsqueeze(1));
      gate_gradients[t].slice(1, 3 * width, 4 * width).mul_(hidden_gradient);
      if (t == 0) break;
      hidden_gradient = layers->hidden_gates.InputGradient(gate_gradients[t]);
      cell_gradient.mul_(forget[t]);
      if (keep.defined()) {
        hidden_gradient.mul_(keep[t]);
        cell_gradient.mul_(keep[t]);
      }
    }

    const Tensor flat_gates = gate_gradients.view({steps * batch, 4 * width});
    layers->hidden_gates.weight.gradient.addmm_(flat_gates.t(),
                                                hidden_in.view({steps * batch, width}));
    layers->input_gates.weight.gradient.addmm_(flat_gates.t(), features);
    const Tensor bias_gradient = flat_gates.sum(0);
    layers->hidden_gates.bias.gradient.add_(bias_gradient);
    layers->input_gates.bias.gradient.add_(bias_gradient);
    if (depth > 0) {
      layers->policy.Backward(rows, trunk_outputs, layers->input_gates.InputGradient(flat_gates));
    }
    return {Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

TorchNetwork::TorchNetwork(const NetworkShape& shape, c10::Device device)
    : shape_(shape), device_(device), layers_(std::make_unique<Layers>()) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  flat_parameters_ = at::zeros({static_cast<int64_t>(ParameterCount(shape))}, options);
  flat_gradients_ = at::zeros_like(flat_parameters_);
  anchor_ = flat_parameters_.detach();
  anchor_.set_requires_grad(true);

  std::map<std::string, Parameter> by_name;
  for (const WeightTensor& tensor : WeightLayout(shape)) {
    const std::vector<int64_t> sizes(tensor.shape.begin(), tensor.shape.end());
    const auto view = [&](const Tensor& flat) {
      return flat.narrow(0, tensor.offset, tensor.elements()).view(sizes);
    };
    parameters_.push_back(view(flat_parameters_));
    gradients_.push_back(view(flat_gradients_));
    by_name[tensor.name] = {parameters_.back(), gradients_.back(),
                            sizes.size() == 2 ? parameters_.back().t() : Tensor()};
  }
  const auto linear = [&](const std::string& name) {
    return Linear{by_name.at(name + ".weight"), by_name.at(name + ".bias")};
  };
  layers_->lstm = shape.config.lstm;
  layers_->separate_value = shape.separate_value();
  layers_->policy.activation = layers_->value.activation = shape.config.activation;
  for (size_t i = 0; i < shape.config.hidden.size(); ++i) {
    layers_->policy.layers.push_back(linear("policy." + std::to_string(i)));
    if (shape.separate_value()) {
      layers_->value.layers.push_back(linear("value." + std::to_string(i)));
    }
  }
  layers_->policy_head = linear("policy.head");
  layers_->value_head = linear("value.head");
  if (shape.config.lstm > 0) {
    layers_->input_gates = {by_name.at("lstm.weight_ih"), by_name.at("lstm.bias_ih")};
    layers_->hidden_gates = {by_name.at("lstm.weight_hh"), by_name.at("lstm.bias_hh")};
  }
}

TorchNetwork::~TorchNetwork() = default;

void TorchNetwork::Initialise(uint64_t seed) {
  at::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const auto orthogonal = [&](int64_t rows, int64_t columns, double gain) {
    const int64_t large = std::max(rows, columns);
    const int64_t small = std::min(rows, columns);
    const Tensor gaussian =
        at::randn({large, small}, generator, at::TensorOptions().dtype(at::kDouble));
    const auto [q, r] = at::linalg_qr(gaussian);
    const Tensor signs = at::where(r.diagonal() < 0, -1.0, 1.0);
    const Tensor columns_signed = q * signs;
    return ((rows >= columns ? columns_signed : columns_signed.t()) * gain).to(at::kFloat);
  };

  const std::vector<WeightTensor> layout = WeightLayout(shape_);
  for (size_t i = 0; i < layout.size(); ++i) {
    const std::string& name = layout[i].name;
    const auto& shape = layout[i].shape;
    if (shape.size() == 1) {
      parameters_[i].zero_();
      if (name == "lstm.bias_ih") {
        const int64_t width = shape_.config.lstm;
        parameters_[i].narrow(0, width, width).fill_(1);
      }
    } else if (name.starts_with("lstm.")) {
      const int64_t width = shape_.config.lstm;
      for (int64_t gate = 0; gate < 4; ++gate) {
        parameters_[i].narrow(0, gate * width, width).copy_(orthogonal(width, shape[1], 1));
      }
    } else {
      const double gain = name == "policy.head.weight"  ? 0.01
                          : name == "value.head.weight" ? 1.0
                                                        : std::sqrt(2.0);
      parameters_[i].copy_(orthogonal(shape[0], shape[1], gain));
    }
  }
}

TorchNetwork::Output TorchNetwork::Forward(const Tensor& inputs) const {
  TORCH_CHECK(shape_.config.lstm == 0, "a network with an LSTM needs ForwardSequence");
  const variable_list out = Layers::RowsFunction::apply(layers_.get(), inputs, anchor_);
  return {out[0], out[1], Tensor()};
}

TorchNetwork::Output TorchNetwork::ForwardSequence(const Tensor& inputs, const Tensor& states,
                                                   const Tensor& starts) const {
  const int64_t steps = inputs.size(0);
  const int64_t batch = inputs.size(1);
  if (shape_.config.lstm == 0) {
    const Output rows = Forward(inputs.reshape({steps * batch, inputs.size(2)}));
    return {rows.logits.view({steps, batch, -1}), rows.values.view({steps, batch}), Tensor()};
  }
  const Tensor initial =
      states.defined()
          ? states
          : at::zeros({batch, static_cast<int64_t>(shape_.state_width())}, inputs.options());
  const variable_list out = Layers::SequenceFunction::apply(
      layers_.get(), inputs, initial, starts.defined() ? std::optional(starts) : std::nullopt,
      anchor_);
  return {out[0], out[1], out[2]};
}

Tensor NormaliseInputs(const Tensor& raw, const Tensor& mean, const Tensor& inv_std) {
  return ((raw - mean) * inv_std).clamp_(-kInputClip, kInputClip);
}

ActionStatistics EvaluateActions(const NetworkShape& shape, const Tensor& logits,
                                 const Tensor& masks, const Tensor& actions) {
  ActionStatistics statistics;
  const Tensor disallowed = masks.defined() ? masks.eq(0) : Tensor();
  int64_t offset = 0;
  for (size_t h = 0; h < shape.heads.size(); ++h) {
    const int64_t choices = shape.heads[h];
    Tensor head = logits.narrow(-1, offset, choices);
    Tensor finite;
    if (disallowed.defined()) {
      const Tensor forbidden = disallowed.narrow(-1, offset, choices);
      head = at::log_softmax(head.masked_fill(forbidden, -INFINITY), -1);
      finite = head.masked_fill(forbidden, 0);
    } else {
      finite = head = at::log_softmax(head, -1);
    }
    const Tensor log_probs = head.gather(-1, actions.narrow(-1, h, 1)).squeeze(-1);
    const Tensor entropy = -(head.exp() * finite).sum(-1);
    statistics.log_probs = h > 0 ? statistics.log_probs + log_probs : log_probs;
    statistics.entropy = h > 0 ? statistics.entropy + entropy : entropy;
    offset += choices;
  }
  return statistics;
}

}  // namespace midlane
