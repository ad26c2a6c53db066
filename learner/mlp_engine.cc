// The native engine: multilayer perceptrons on one core, rows taken in blocks that stay in the
// first cache levels, no allocation and no library call in a minibatch. On a small network libtorch
// spends most of its time around the arithmetic, not in it (docs/decisions).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "learner/mlp_kernels.h"
#include "learner/ppo_engine.h"

namespace midlane {
namespace {

constexpr size_t kBlockRows = 96;

// Floats on a cache line boundary, zero at first.
class Buffer {
 public:
  explicit Buffer(size_t size = 0) { Resize(size); }
  void Resize(size_t size) {
    storage_.assign(size + kMlpLanes, 0.0f);
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    offset_ = (64 - address % 64) % 64 / sizeof(float);
  }
  float* data() { return storage_.data() + offset_; }
  const float* data() const { return storage_.data() + offset_; }
  void Zero() { std::fill(storage_.begin(), storage_.end(), 0.0f); }

 private:
  std::vector<float> storage_;
  size_t offset_ = 0;
};

// y = x W^T + b, weights kept in both orders with padded rows.
struct Layer {
  Layer(size_t in, size_t out, size_t weight_offset, size_t bias_offset)
      : in(in),
        out(out),
        in_padded(PadToLanes(in)),
        out_padded(PadToLanes(out)),
        weight_offset(weight_offset),
        bias_offset(bias_offset),
        forward(in * out_padded),
        backward(out * in_padded),
        bias(out_padded),
        gradient(out * in_padded),
        bias_gradient(out_padded) {}

  void Unpack(const float* flat) {
    for (size_t o = 0; o < out; ++o) {
      const float* row = flat + weight_offset + o * in;
      std::memcpy(backward.data() + o * in_padded, row, in * sizeof(float));
      for (size_t i = 0; i < in; ++i) forward.data()[i * out_padded + o] = row[i];
    }
    std::memcpy(bias.data(), flat + bias_offset, out * sizeof(float));
  }
  void PackGradient(float* flat) const {
    for (size_t o = 0; o < out; ++o) {
      std::memcpy(flat + weight_offset + o * in, gradient.data() + o * in_padded,
                  in * sizeof(float));
    }
    std::memcpy(flat + bias_offset, bias_gradient.data(), out * sizeof(float));
  }

  size_t in, out, in_padded, out_padded, weight_offset, bias_offset;
  Buffer forward;   // [in, out_padded]
  Buffer backward;  // [out, in_padded]
  Buffer bias;
  Buffer gradient;  // [out, in_padded]
  Buffer bias_gradient;
};

// Weights of a whole network, with what a block's forward pass leaves behind.
struct Network {
  explicit Network(const NetworkShape& shape) : shape(shape) {
    std::vector<WeightTensor> layout = WeightLayout(shape);
    const auto offset = [&](const std::string& name) {
      return std::find_if(layout.begin(), layout.end(), [&](auto& t) { return t.name == name; })
          ->offset;
    };
    const auto layer = [&](const std::string& name, size_t in, size_t out) {
      return Layer(in, out, offset(name + ".weight"), offset(name + ".bias"));
    };
    const auto trunk = [&](const std::string& name, std::vector<Layer>* layers) {
      size_t in = shape.inputs;
      for (size_t i = 0; i < shape.config.hidden.size(); ++i) {
        layers->push_back(layer(name + "." + std::to_string(i), in, shape.config.hidden[i]));
        in = shape.config.hidden[i];
      }
      return in;
    };
    const size_t features = trunk("policy", &policy);
    if (shape.separate_value()) trunk("value", &value);
    heads.push_back(layer("policy.head", features, shape.logits_width()));
    heads.push_back(layer("value.head", features, 1));
  }

  void Unpack(const float* flat) {
    ForEach([&](Layer& layer) { layer.Unpack(flat); });
  }
  template <typename F>
  void ForEach(F f) {
    for (auto* layers : {&policy, &value, &heads}) {
      for (Layer& layer : *layers) f(layer);
    }
  }

  NetworkShape shape;
  std::vector<Layer> policy, value;
  std::vector<Layer> heads;  // logits, value
};

struct Activations {
  explicit Activations(const Network& network)
      : inputs(kBlockRows * PadToLanes(network.shape.inputs)),
        logits(kBlockRows * network.heads[0].out_padded),
        values(kBlockRows * network.heads[1].out_padded) {
    for (const Layer& layer : network.policy) policy.emplace_back(kBlockRows * layer.out_padded);
    for (const Layer& layer : network.value) value.emplace_back(kBlockRows * layer.out_padded);
  }
  Buffer inputs;
  std::vector<Buffer> policy, value;
  Buffer logits, values;
};

void NormaliseRow(const float* raw, const float* mean, const float* inv_std, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = std::clamp((raw[i] - mean[i]) * inv_std[i], -kInputClip, kInputClip);
  }
}

class MlpEngine final : public PpoEngine {
 public:
  explicit MlpEngine(const NetworkShape& shape)
      : shape_(shape),
        kernels_(**AvailableMlpKernels()),
        network_(shape),
        checked_(shape),
        activations_(network_),
        parameters_(ParameterCount(shape), 0.0f),
        gradient_(parameters_.size(), 0.0f),
        logits_gradient_(kBlockRows * network_.heads[0].out_padded),
        values_gradient_(kBlockRows * network_.heads[1].out_padded) {
    adam_.m.assign(parameters_.size(), 0.0f);
    adam_.v.assign(parameters_.size(), 0.0f);
    size_t widest = PadToLanes(shape.inputs);
    for (const uint32_t width : shape.config.hidden) widest = std::max(widest, PadToLanes(width));
    for (Buffer& buffer : hidden_gradient_) buffer.Resize(kBlockRows * widest);
  }

  void SetParameters(const std::vector<float>& parameters) override {
    parameters_ = parameters;
    network_.Unpack(parameters_.data());
  }
  std::vector<float> GetParameters() override { return parameters_; }
  void SetAdam(const AdamState& state) override { adam_ = state; }
  AdamState GetAdam() override { return adam_; }
  std::vector<float> GetGradient() override { return gradient_; }

  absl::Status SetBatch(const Batch& batch, const std::vector<float>& mean,
                        const std::vector<float>& inv_std) override {
    batch_ = &batch;
    const size_t stride = PadToLanes(shape_.inputs);
    const size_t needed = batch.steps() * stride;
    if (normalised_size_ < needed) {
      normalised_.Resize(needed + needed / 8);
      normalised_size_ = needed + needed / 8;
    }
    for (size_t t = 0; t < batch.steps(); ++t) {
      NormaliseRow(batch.inputs.data() + t * shape_.inputs, mean.data(), inv_std.data(),
                   shape_.inputs, normalised_.data() + t * stride);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<LossFigures> Gradient(absl::Span<const uint32_t> rows,
                                       const LossOptions& options) override {
    LossFigures figures;
    network_.ForEach([](Layer& layer) {
      layer.gradient.Zero();
      layer.bias_gradient.Zero();
    });
    const size_t stride = PadToLanes(shape_.inputs);
    for (size_t begin = 0; begin < rows.size(); begin += kBlockRows) {
      const auto block = rows.subspan(begin, kBlockRows);
      for (size_t r = 0; r < block.size(); ++r) {
        std::memcpy(activations_.inputs.data() + r * stride, normalised_.data() + block[r] * stride,
                    stride * sizeof(float));
      }
      Forward(network_, block.size());
      Loss(block, rows.size(), options, &figures);
      Backward(block.size());
    }
    network_.ForEach([&](Layer& layer) { layer.PackGradient(gradient_.data()); });
    const double n = static_cast<double>(rows.size());
    figures.policy_loss /= n;
    figures.value_loss /= n;
    figures.entropy /= n;
    figures.kl /= n;
    figures.clip_fraction /= n;
    return figures;
  }

  absl::StatusOr<double> Step(double learning_rate, double gradient_norm_max) override {
    const double norm = std::sqrt(kernels_.sum_squares(gradient_.size(), gradient_.data()));
    const double scale =
        gradient_norm_max > 0 && norm > gradient_norm_max ? gradient_norm_max / norm : 1.0;
    ++adam_.steps;
    const double correction1 = 1 - std::pow(kAdamBeta1, static_cast<double>(adam_.steps));
    const double correction2 = 1 - std::pow(kAdamBeta2, static_cast<double>(adam_.steps));
    kernels_.adam(gradient_.size(), gradient_.data(), static_cast<float>(scale),
                  static_cast<float>(kAdamBeta1), static_cast<float>(kAdamBeta2),
                  static_cast<float>(learning_rate / correction1),
                  static_cast<float>(1 / std::sqrt(correction2)), static_cast<float>(kAdamEpsilon),
                  adam_.m.data(), adam_.v.data(), parameters_.data());
    network_.Unpack(parameters_.data());
    return norm;
  }

  absl::StatusOr<std::vector<float>> LogProbabilities(const Batch& batch,
                                                      absl::Span<const uint32_t> rows,
                                                      const std::vector<float>& parameters,
                                                      const std::vector<float>& mean,
                                                      const std::vector<float>& inv_std) override {
    checked_.Unpack(parameters.data());
    const size_t stride = PadToLanes(shape_.inputs);
    std::vector<float> result;
    result.reserve(rows.size());
    std::vector<float> log_p(shape_.logits_width());
    for (size_t begin = 0; begin < rows.size(); begin += kBlockRows) {
      const auto block = rows.subspan(begin, kBlockRows);
      for (size_t r = 0; r < block.size(); ++r) {
        NormaliseRow(batch.inputs.data() + size_t{block[r]} * shape_.inputs, mean.data(),
                     inv_std.data(), shape_.inputs, activations_.inputs.data() + r * stride);
      }
      Forward(checked_, block.size());
      for (size_t r = 0; r < block.size(); ++r) {
        float entropy = 0;
        result.push_back(LogSoftmax(batch, block[r], r, log_p.data(), nullptr, &entropy));
      }
    }
    return result;
  }

 private:
  void ForwardTrunk(std::vector<Layer>& layers, size_t rows, std::vector<Buffer>* outputs) {
    const float* in = activations_.inputs.data();
    size_t in_stride = PadToLanes(shape_.inputs);
    for (size_t i = 0; i < layers.size(); ++i) {
      const Layer& layer = layers[i];
      float* out = (*outputs)[i].data();
      kernels_.multiply(rows, layer.out_padded, layer.in, in, in_stride, 1, layer.forward.data(),
                        layer.out_padded, layer.bias.data(), out, layer.out_padded);
      if (shape_.config.activation == Activation::kTanh) {
        kernels_.tanh(rows * layer.out_padded, out);
      } else {
        kernels_.relu(rows * layer.out_padded, out);
      }
      in = out;
      in_stride = layer.out_padded;
    }
  }

  const float* Features(const std::vector<Buffer>& outputs) const {
    return outputs.empty() ? activations_.inputs.data() : outputs.back().data();
  }
  const std::vector<Buffer>& ValueOutputs() const {
    return shape_.separate_value() ? activations_.value : activations_.policy;
  }

  void Forward(Network& network, size_t rows) {
    ForwardTrunk(network.policy, rows, &activations_.policy);
    ForwardTrunk(network.value, rows, &activations_.value);
    const auto head = [&](const Layer& layer, const float* features, float* out) {
      kernels_.multiply(rows, layer.out_padded, layer.in, features, layer.in_padded, 1,
                        layer.forward.data(), layer.out_padded, layer.bias.data(), out,
                        layer.out_padded);
    };
    head(network.heads[0], Features(activations_.policy), activations_.logits.data());
    head(network.heads[1], Features(ValueOutputs()), activations_.values.data());
  }

  // Joint log-probability of timestep t's action from row `r` of the logits; each choice's into
  // log_p, each choice's probability into p (may be null), the joint entropy into `entropy`.
  float LogSoftmax(const Batch& batch, size_t t, size_t r, float* log_p, float* p,
                   float* entropy) const {
    const size_t width = shape_.logits_width();
    const float* logits = activations_.logits.data() + r * network_.heads[0].out_padded;
    const uint8_t* mask = batch.shape.masked ? batch.masks.data() + t * width : nullptr;
    const int32_t* actions = batch.actions.data() + t * shape_.heads.size();
    float joint = 0;
    size_t offset = 0;
    for (size_t h = 0; h < shape_.heads.size(); ++h) {
      const size_t choices = shape_.heads[h];
      float highest = -INFINITY;
      for (size_t j = offset; j < offset + choices; ++j) {
        if (mask == nullptr || mask[j]) highest = std::max(highest, logits[j]);
      }
      float sum = 0;
      for (size_t j = offset; j < offset + choices; ++j) {
        const bool allowed = mask == nullptr || mask[j];
        const float weight = allowed ? std::exp(logits[j] - highest) : 0.0f;
        sum += weight;
        if (p != nullptr) p[j] = weight;
      }
      const float log_sum = highest + std::log(sum);
      const float scale = 1 / sum;
      for (size_t j = offset; j < offset + choices; ++j) {
        const bool allowed = mask == nullptr || mask[j];
        log_p[j] = allowed ? logits[j] - log_sum : -INFINITY;
        if (p == nullptr || !allowed) continue;
        p[j] *= scale;
        *entropy -= p[j] * log_p[j];
      }
      joint += log_p[offset + actions[h]];
      offset += choices;
    }
    return joint;
  }

  // Adds sums to `figures` and leaves the gradients by logits and values.
  void Loss(absl::Span<const uint32_t> block, size_t minibatch, const LossOptions& options,
            LossFigures* figures) {
    const float per_row = 1.0f / static_cast<float>(minibatch);
    const size_t width = shape_.logits_width();
    log_p_.resize(width);
    p_.resize(width);
    const auto low = static_cast<float>(1 - options.clip);
    const auto high = static_cast<float>(1 + options.clip);
    const auto value_clip = static_cast<float>(options.value_clip);
    for (size_t r = 0; r < block.size(); ++r) {
      const size_t t = block[r];
      float entropy = 0;
      const float log_prob = LogSoftmax(*batch_, t, r, log_p_.data(), p_.data(), &entropy);
      const float log_ratio = log_prob - batch_->log_probs[t];
      const float ratio = std::exp(log_ratio);
      const float advantage = batch_->advantages[t];
      const float plain = ratio * advantage;
      const float clipped = std::clamp(ratio, low, high) * advantage;
      figures->policy_loss -= std::min(plain, clipped);
      figures->entropy += entropy;
      figures->kl += (ratio - 1) - log_ratio;
      if (ratio < low || ratio > high) figures->clip_fraction += 1;

      const float by_log_prob = plain <= clipped ? -plain * per_row : 0.0f;
      const float by_entropy = static_cast<float>(options.entropy_weight) * per_row;
      float* out = logits_gradient_.data() + r * network_.heads[0].out_padded;
      const int32_t* actions = batch_->actions.data() + t * shape_.heads.size();
      size_t offset = 0;
      for (size_t h = 0; h < shape_.heads.size(); ++h) {
        const size_t choices = shape_.heads[h];
        float head_entropy = 0;
        for (size_t j = offset; j < offset + choices; ++j) {
          if (p_[j] > 0) head_entropy -= p_[j] * log_p_[j];
        }
        for (size_t j = offset; j < offset + choices; ++j) {
          const bool chosen = j == offset + static_cast<size_t>(actions[h]);
          out[j] = by_log_prob * ((chosen ? 1.0f : 0.0f) - p_[j]);
          if (p_[j] > 0) out[j] += by_entropy * p_[j] * (log_p_[j] + head_entropy);
        }
        offset += choices;
      }

      const float value = activations_.values.data()[r * network_.heads[1].out_padded];
      const float target = batch_->returns[t];
      const float error = value - target;
      float loss = error * error;
      float by_value = 2 * error;
      if (value_clip > 0) {
        const float old = batch_->values[t];
        const float held = old + std::clamp(value - old, -value_clip, value_clip) - target;
        if (held * held > loss) {
          loss = held * held;
          by_value = 0;  // beyond the clip the loss does not depend on the value
        }
      }
      figures->value_loss += loss;
      values_gradient_.data()[r * network_.heads[1].out_padded] =
          by_value * static_cast<float>(options.value_weight) * per_row;
    }
  }

  // gradient of the layer from that of its output; adds to the weights'.
  void Accumulate(Layer& layer, const float* in, const float* out_gradient, size_t rows) {
    kernels_.multiply(layer.out, layer.in_padded, rows, out_gradient, 1, layer.out_padded, in,
                      layer.in_padded, nullptr, layer.gradient.data(), layer.in_padded);
    kernels_.add_rows(rows, layer.out_padded, out_gradient, layer.out_padded,
                      layer.bias_gradient.data());
  }

  void InputGradient(const Layer& layer, const float* out_gradient, size_t rows, bool add,
                     float* in_gradient) {
    if (!add) std::fill(in_gradient, in_gradient + rows * layer.in_padded, 0.0f);
    kernels_.multiply(rows, layer.in_padded, layer.out, out_gradient, layer.out_padded, 1,
                      layer.backward.data(), layer.in_padded, nullptr, in_gradient,
                      layer.in_padded);
  }

  // hidden_gradient_[0] holds the gradient of the last output.
  void BackwardTrunk(std::vector<Layer>& layers, const std::vector<Buffer>& outputs, size_t rows) {
    float* gradient = hidden_gradient_[0].data();
    float* spare = hidden_gradient_[1].data();
    for (size_t i = layers.size(); i-- > 0;) {
      Layer& layer = layers[i];
      if (shape_.config.activation == Activation::kTanh) {
        kernels_.tanh_backward(rows * layer.out_padded, outputs[i].data(), gradient);
      } else {
        kernels_.relu_backward(rows * layer.out_padded, outputs[i].data(), gradient);
      }
      Accumulate(layer, i > 0 ? outputs[i - 1].data() : activations_.inputs.data(), gradient, rows);
      if (i == 0) break;
      InputGradient(layer, gradient, rows, false, spare);
      std::swap(gradient, spare);
    }
  }

  void Backward(size_t rows) {
    Layer& logits = network_.heads[0];
    Layer& value = network_.heads[1];
    Accumulate(logits, Features(activations_.policy), logits_gradient_.data(), rows);
    Accumulate(value, Features(ValueOutputs()), values_gradient_.data(), rows);
    if (network_.policy.empty()) return;
    float* gradient = hidden_gradient_[0].data();
    if (shape_.separate_value()) {
      InputGradient(value, values_gradient_.data(), rows, false, gradient);
      BackwardTrunk(network_.value, activations_.value, rows);
    }
    InputGradient(logits, logits_gradient_.data(), rows, false, gradient);
    if (!shape_.separate_value()) {
      InputGradient(value, values_gradient_.data(), rows, true, gradient);
    }
    BackwardTrunk(network_.policy, activations_.policy, rows);
  }

  const NetworkShape shape_;
  const MlpKernels& kernels_;
  Network network_;
  Network checked_;  // for LogProbabilities
  Activations activations_;
  std::vector<float> parameters_;
  std::vector<float> gradient_;
  AdamState adam_;
  const Batch* batch_ = nullptr;
  Buffer normalised_;  // [steps, padded inputs]
  size_t normalised_size_ = 0;
  Buffer logits_gradient_, values_gradient_;
  Buffer hidden_gradient_[2];
  std::vector<float> log_p_, p_;
};

}  // namespace

std::unique_ptr<PpoEngine> MakeMlpEngine(const NetworkShape& shape) {
  return std::make_unique<MlpEngine>(shape);
}

}  // namespace midlane
