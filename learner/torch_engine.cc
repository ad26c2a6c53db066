// The torch engine: any network of NetworkShape, on a CPU or CUDA device, by TorchNetwork.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adam.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "learner/ppo_engine.h"
#include "rollout/policy/torch/torch_network.h"

namespace midlane {
namespace {

using at::Tensor;

absl::Status FromTorch(const std::exception& error) {
  std::string text = error.what();
  text = text.substr(0, text.find('\n'));
  if (text.find("out of memory") != std::string::npos ||
      text.find("can't allocate memory") != std::string::npos) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "libtorch ran out of memory (", text, "); lower ppo.minibatch_steps or ppo.batch_steps"));
  }
  return absl::InternalError(absl::StrCat("libtorch failed: ", text));
}

// Runs f, which answers T, and turns exceptions into a Status.
template <typename T, typename F>
absl::StatusOr<T> Guarded(F f) {
  try {
    return f();
  } catch (const std::exception& error) {
    return FromTorch(error);
  }
}

template <typename T>
Tensor View(const std::vector<T>& values, at::IntArrayRef sizes, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()), sizes, at::TensorOptions().dtype(type));
}

// A batch's arrays on the device, each with timesteps (or windows) first.
struct DeviceBatch {
  Tensor inputs;  // normalised
  Tensor masks;   // undefined where no head is masked
  Tensor actions;
  Tensor log_probs, values, advantages, returns;
  Tensor states, starts;
};

// What a minibatch takes of it: timesteps [T * B], time-major, and which of them are padding.
struct Selection {
  int64_t steps = 0, windows = 0;
  Tensor timesteps;       // int64 [T * B]
  Tensor window_indices;  // int64 [B]
  Tensor valid;           // float [T * B], undefined where all are
  int64_t count = 0;      // valid timesteps
};

class TorchEngine final : public PpoEngine {
 public:
  TorchEngine(const NetworkShape& shape, c10::Device device)
      : shape_(shape), device_(device), network_(shape, device) {
    const auto options = network_.flat_parameters().options();
    m_ = at::zeros_like(network_.flat_parameters());
    v_ = at::zeros_like(m_);
    step_ = at::zeros({}, options);
  }

  void SetParameters(const std::vector<float>& parameters) override {
    at::NoGradGuard no_grad;
    network_.flat_parameters().copy_(Flat(parameters));
  }
  std::vector<float> GetParameters() override { return ToVector(network_.flat_parameters()); }
  void SetAdam(const AdamState& state) override {
    at::NoGradGuard no_grad;
    step_.fill_(static_cast<double>(state.steps));
    m_.copy_(Flat(state.m));
    v_.copy_(Flat(state.v));
  }
  AdamState GetAdam() override {
    return {static_cast<uint64_t>(step_.item<float>()), ToVector(m_), ToVector(v_)};
  }
  std::vector<float> GetGradient() override { return ToVector(network_.flat_gradients()); }

  absl::Status SetBatch(const Batch& batch, const std::vector<float>& mean,
                        const std::vector<float>& inv_std) override {
    return Guarded<bool>([&] {
             at::NoGradGuard no_grad;
             batch_ = &batch;
             data_ = Upload(batch, mean, inv_std);
             const int64_t steps = batch.steps();
             data_.log_probs = View(batch.log_probs, {steps}, at::kFloat).to(device_);
             data_.values = View(batch.values, {steps}, at::kFloat).to(device_);
             data_.advantages = View(batch.advantages, {steps}, at::kFloat).to(device_);
             data_.returns = View(batch.returns, {steps}, at::kFloat).to(device_);
             return true;
           })
        .status();
  }

  absl::StatusOr<LossFigures> Gradient(absl::Span<const uint32_t> rows,
                                       const LossOptions& options) override {
    return Guarded<LossFigures>([&] { return GradientOrThrow(rows, options); });
  }

  absl::StatusOr<double> Step(double learning_rate, double gradient_norm_max) override {
    return Guarded<double>([&] {
      at::NoGradGuard no_grad;
      const Tensor norm = network_.flat_gradients().norm();
      const double value = norm.item<double>();
      if (gradient_norm_max > 0 && value > gradient_norm_max) {
        network_.flat_gradients().mul_(gradient_norm_max / value);
      }
      step_.add_(1);
      at::_fused_adam_({network_.flat_parameters()}, {network_.flat_gradients()}, {m_}, {v_}, {},
                       {step_}, learning_rate, kAdamBeta1, kAdamBeta2, /*weight_decay=*/0,
                       kAdamEpsilon, /*amsgrad=*/false, /*maximize=*/false);
      return value;
    });
  }

  absl::StatusOr<std::vector<float>> LogProbabilities(const Batch& batch,
                                                      absl::Span<const uint32_t> rows,
                                                      const std::vector<float>& parameters,
                                                      const std::vector<float>& mean,
                                                      const std::vector<float>& inv_std) override {
    return Guarded<std::vector<float>>([&] {
      at::NoGradGuard no_grad;
      if (checked_ == nullptr) checked_ = std::make_unique<TorchNetwork>(shape_, device_);
      checked_->flat_parameters().copy_(Flat(parameters));
      // Only the rows asked for travel: a batch of their own, in their order.
      Batch part(batch.shape);
      std::vector<uint32_t> part_rows;
      for (const uint32_t row : rows) {
        part_rows.push_back(static_cast<uint32_t>(part_rows.size()));
        AppendRow(batch, row, &part);
      }
      const DeviceBatch data = Upload(part, mean, inv_std);
      const Selection selection = Select(part, part_rows);
      const Tensor log_probs = Actions(*checked_, data, selection).log_probs.reshape({-1});
      const std::vector<float> padded = ToVector(log_probs);
      std::vector<float> result;
      if (shape_.config.lstm == 0) return padded;
      for (size_t w = 0; w < part.windows.size(); ++w) {
        for (size_t t = 0; t < part.windows[w].steps; ++t) {
          result.push_back(padded[t * part.windows.size() + w]);
        }
      }
      return result;
    });
  }

 private:
  static Tensor Flat(const std::vector<float>& values) {
    return View(values, {static_cast<int64_t>(values.size())}, at::kFloat);
  }
  static std::vector<float> ToVector(const Tensor& tensor) {
    const Tensor host = tensor.detach().to(at::kCPU).contiguous();
    const float* data = host.const_data_ptr<float>();
    return std::vector<float>(data, data + host.numel());
  }

  // Copies a window (or timestep) of `from` with what a forward pass needs.
  void AppendRow(const Batch& from, uint32_t row, Batch* to) const {
    const bool lstm = shape_.config.lstm > 0;
    const Window window = lstm ? from.windows[row] : Window{row, 1};
    const auto copy = [&](const auto& in, size_t width, size_t first, size_t count, auto* out) {
      out->insert(out->end(), in.begin() + first * width, in.begin() + (first + count) * width);
    };
    to->windows.push_back({to->steps(), window.steps});
    copy(from.inputs, from.shape.inputs, window.first, window.steps, &to->inputs);
    if (from.shape.masked) {
      copy(from.masks, from.shape.logits, window.first, window.steps, &to->masks);
    }
    copy(from.actions, from.shape.heads, window.first, window.steps, &to->actions);
    copy(from.log_probs, 1, window.first, window.steps, &to->log_probs);
    copy(from.starts, 1, window.first, window.steps, &to->starts);
    if (lstm) copy(from.states, from.shape.state, row, 1, &to->states);
  }

  DeviceBatch Upload(const Batch& batch, const std::vector<float>& mean,
                     const std::vector<float>& inv_std) const {
    const int64_t steps = batch.steps();
    DeviceBatch data;
    data.inputs =
        NormaliseInputs(View(batch.inputs, {steps, batch.shape.inputs}, at::kFloat).to(device_),
                        Flat(mean).to(device_), Flat(inv_std).to(device_));
    if (batch.shape.masked) {
      data.masks = View(batch.masks, {steps, batch.shape.logits}, at::kByte).to(device_);
    }
    data.actions =
        View(batch.actions, {steps, batch.shape.heads}, at::kInt).to(device_).to(at::kLong);
    if (shape_.config.lstm > 0) {
      data.states =
          View(batch.states, {static_cast<int64_t>(batch.windows.size()), shape_.state_width()},
               at::kFloat)
              .to(device_);
      data.starts = View(batch.starts, {steps}, at::kByte).to(device_);
    }
    return data;
  }

  Selection Select(const Batch& batch, absl::Span<const uint32_t> rows) const {
    Selection selection;
    const auto on_device = [&](const std::vector<int64_t>& values) {
      return View(values, {static_cast<int64_t>(values.size())}, at::kLong).clone().to(device_);
    };
    if (shape_.config.lstm == 0) {
      selection.timesteps = on_device(std::vector<int64_t>(rows.begin(), rows.end()));
      selection.count = static_cast<int64_t>(rows.size());
      return selection;
    }
    uint32_t longest = 0;
    for (const uint32_t row : rows) longest = std::max(longest, batch.windows[row].steps);
    const size_t windows = rows.size();
    std::vector<int64_t> timesteps(longest * windows);
    std::vector<float> valid(timesteps.size());
    for (size_t b = 0; b < windows; ++b) {
      const Window& window = batch.windows[rows[b]];
      selection.count += window.steps;
      for (uint32_t t = 0; t < longest; ++t) {
        timesteps[t * windows + b] = window.first + std::min(t, window.steps - 1);
        valid[t * windows + b] = t < window.steps ? 1.0f : 0.0f;
      }
    }
    selection.steps = longest;
    selection.windows = static_cast<int64_t>(windows);
    selection.timesteps = on_device(timesteps);
    selection.window_indices = on_device(std::vector<int64_t>(rows.begin(), rows.end()));
    if (selection.count != static_cast<int64_t>(timesteps.size())) {
      selection.valid = Flat(valid).clone().to(device_);
    }
    return selection;
  }

  struct Evaluated {
    Tensor log_probs, entropy, values;  // [T * B]
  };

  Evaluated Actions(const TorchNetwork& network, const DeviceBatch& data,
                    const Selection& selection) const {
    const Tensor inputs = data.inputs.index_select(0, selection.timesteps);
    TorchNetwork::Output output;
    if (shape_.config.lstm == 0) {
      output = network.Forward(inputs);
    } else {
      output = network.ForwardSequence(inputs.view({selection.steps, selection.windows, -1}),
                                       data.states.index_select(0, selection.window_indices),
                                       data.starts.index_select(0, selection.timesteps)
                                           .view({selection.steps, selection.windows}));
    }
    const Tensor logits = output.logits.reshape({-1, shape_.logits_width()});
    const Tensor masks =
        data.masks.defined() ? data.masks.index_select(0, selection.timesteps) : Tensor();
    const ActionStatistics statistics =
        EvaluateActions(shape_, logits, masks, data.actions.index_select(0, selection.timesteps));
    return {statistics.log_probs, statistics.entropy, output.values.reshape({-1})};
  }

  LossFigures GradientOrThrow(absl::Span<const uint32_t> rows, const LossOptions& options) {
    const Selection selection = Select(*batch_, rows);
    const Evaluated now = Actions(network_, data_, selection);
    const auto take = [&](const Tensor& all) { return all.index_select(0, selection.timesteps); };
    const Tensor advantages = take(data_.advantages);
    const Tensor returns = take(data_.returns);
    const auto mean = [&](const Tensor& values) {
      return selection.valid.defined()
                 ? (values * selection.valid).sum() / static_cast<double>(selection.count)
                 : values.mean();
    };

    const Tensor log_ratio = now.log_probs - take(data_.log_probs);
    const Tensor ratio = log_ratio.exp();
    const Tensor held = ratio.clamp(1 - options.clip, 1 + options.clip);
    const Tensor policy_loss = -mean(at::minimum(ratio * advantages, held * advantages));
    Tensor errors = (now.values - returns).square();
    if (options.value_clip > 0) {
      const Tensor old = take(data_.values);
      const Tensor clipped =
          old + (now.values - old).clamp(-options.value_clip, options.value_clip);
      errors = at::maximum(errors, (clipped - returns).square());
    }
    const Tensor value_loss = mean(errors);
    const Tensor entropy = mean(now.entropy);
    const Tensor loss =
        policy_loss + options.value_weight * value_loss - options.entropy_weight * entropy;

    network_.flat_gradients().zero_();
    loss.backward();

    at::NoGradGuard no_grad;
    const Tensor kl = mean(ratio - 1 - log_ratio);
    const Tensor outside = mean(held.ne(ratio).to(at::kFloat));
    const std::vector<float> figures =
        ToVector(at::stack({policy_loss, value_loss, entropy, kl, outside}));
    return {figures[0], figures[1], figures[2], figures[3], figures[4]};
  }

  const NetworkShape shape_;
  const c10::Device device_;
  TorchNetwork network_;
  std::unique_ptr<TorchNetwork> checked_;
  Tensor m_, v_, step_;
  const Batch* batch_ = nullptr;
  DeviceBatch data_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PpoEngine>> MakeTorchEngine(const NetworkShape& shape,
                                                           const std::string& device,
                                                           uint32_t threads) {
  try {
    const c10::Device where(device);
    if (where.is_cuda() && !at::hasCUDA()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "learner.device is '", device,
          "' but this libtorch has no CUDA device; set it to \"cpu\", or install a CUDA libtorch"));
    }
    at::set_num_threads(static_cast<int>(std::max(1u, threads)));
    return std::make_unique<TorchEngine>(shape, where);
  } catch (const std::exception& error) {
    std::string text = error.what();
    return absl::InvalidArgumentError(absl::StrCat(
        "learner.device '", device, "' cannot be used: ", text.substr(0, text.find('\n'))));
  }
}

std::vector<float> InitialParameters(const NetworkShape& shape, uint64_t seed) {
  TorchNetwork network(shape);
  network.Initialise(seed);
  const float* data = network.flat_parameters().const_data_ptr<float>();
  return std::vector<float>(data, data + network.flat_parameters().numel());
}

}  // namespace midlane
