#include "rollout/policy/native_policy.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace midlane {
namespace {

// Rows that pass through the network together: a multiple of the kernels' tiles, large enough that
// a large LSTM's weights are streamed once for a worker's batch.
constexpr uint32_t kRowsTogether = 96;

// Floats aligned to a cache line, so that no vector load straddles two.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(size_t size)
      : size_(size),
        data_(static_cast<float*>(
            ::operator new (std::max<size_t>(size, 1) * sizeof(float), std::align_val_t{64}))) {
    std::fill_n(data(), size, 0.0f);
  }
  float* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(float* data) const { ::operator delete (data, std::align_val_t{64}); }
  };
  size_t size_ = 0;
  std::unique_ptr<float, Free> data_;
};

// One matrix product of the network: panels of one or two layers that read the same rows.
struct Product {
  uint32_t in = 0;
  uint32_t panels = 0;
  AlignedFloats weights;
  AlignedFloats bias;

  Product() = default;
  Product(uint32_t in_width, uint32_t panel_count)
      : in(in_width),
        panels(panel_count),
        weights(size_t{in_width} * panel_count * kPanel),
        bias(size_t{panel_count} * kPanel) {}

  // Packs `rows` rows of a [., columns] matrix as outputs first_output... and inputs first_input...
  void Pack(const float* matrix, uint32_t rows, uint32_t columns, uint32_t first_output,
            uint32_t first_input) {
    for (uint32_t row = 0; row < rows; ++row) {
      const uint32_t output = first_output + row;
      float* out = weights.data() + size_t{output / kPanel} * in * kPanel +
                   size_t{first_input} * kPanel + output % kPanel;
      for (uint32_t column = 0; column < columns; ++column, out += kPanel) {
        *out = matrix[size_t{row} * columns + column];
      }
    }
  }
};

class NativePolicy final : public Policy {
 public:
  NativePolicy(const NetworkShape& shape, const NativeKernels& kernels)
      : shape_(shape), kernels_(kernels), mean_(shape.inputs), inv_std_(shape.inputs) {
    for (const WeightTensor& tensor : WeightLayout(shape_)) offsets_[tensor.name] = tensor.offset;
    const auto& hidden = shape_.config.hidden;
    const uint32_t lstm = shape_.config.lstm;
    const uint32_t trunks = shape_.separate_value() ? 2 : 1;

    uint32_t width = shape_.inputs;
    size_t floats = width + lstm;
    for (size_t i = 0; i < hidden.size(); ++i) {
      const uint32_t panels = PanelsOf(hidden[i]);
      if (i == 0) {
        policy_.emplace_back(width, trunks * panels);
      } else {
        policy_.emplace_back(width, panels);
        if (trunks == 2) value_.emplace_back(width, panels);
      }
      width = hidden[i];
      floats = std::max<size_t>(floats, size_t{trunks} * panels * kPanel + lstm);
    }
    features_ = width;
    if (lstm > 0) {
      for (uint32_t unit = 0; unit < lstm; unit += kPanel) gates_.emplace_back(width + lstm, 4);
      width = lstm;
    }
    const uint32_t logits = shape_.logits_width();
    if (trunks == 2 && !hidden.empty()) {
      heads_.emplace_back(width, PanelsOf(logits));
      heads_.emplace_back(width, 1);
    } else {
      heads_.emplace_back(width, PanelsOf(logits + 1));
    }
    const size_t head_floats = size_t{PanelsOf(logits) + 1} * kPanel;
    // An odd number of cache lines, so that the rows of a tile do not share a cache set.
    stride_ = (std::max({floats, head_floats, size_t{4} * kPanel}) + kPanel) / kPanel * kPanel;
    if (stride_ / kPanel % 2 == 0) stride_ += kPanel;
    front_ = AlignedFloats(kRowsTogether * stride_);
    back_ = AlignedFloats(kRowsTogether * stride_);
  }

  const NetworkShape& shape() const override { return shape_; }
  uint64_t version() const override { return version_; }

  absl::Status Load(const Weights& weights) override {
    if (auto status = CheckWeights(shape_, weights); !status.ok()) return status;
    std::copy(weights.mean.begin(), weights.mean.end(), mean_.begin());
    std::copy(weights.inv_std.begin(), weights.inv_std.end(), inv_std_.begin());
    const float* const parameters = weights.parameters.data();
    const auto at = [&](const std::string& name) { return parameters + offsets_.at(name); };
    const auto pack = [&](const std::string& layer, uint32_t outputs, uint32_t first_output,
                          Product* product) {
      product->Pack(at(layer + ".weight"), outputs, product->in, first_output, 0);
      std::copy_n(at(layer + ".bias"), outputs, product->bias.data() + first_output);
    };

    const auto& hidden = shape_.config.hidden;
    for (size_t i = 0; i < hidden.size(); ++i) {
      const std::string layer = std::to_string(i);
      pack("policy." + layer, hidden[i], 0, &policy_[i]);
      if (!shape_.separate_value()) continue;
      if (i == 0) {
        pack("value." + layer, hidden[i], PanelsOf(hidden[i]) * kPanel, &policy_[0]);
      } else {
        pack("value." + layer, hidden[i], 0, &value_[i - 1]);
      }
    }
    pack("policy.head", shape_.logits_width(), 0, &heads_[0]);
    pack("value.head", 1, heads_.size() == 2 ? 0 : shape_.logits_width(), &heads_.back());

    const uint32_t lstm = shape_.config.lstm;
    for (uint32_t block = 0; block < gates_.size(); ++block) {
      const uint32_t unit = block * kPanel;
      const uint32_t units = std::min(kPanel, lstm - unit);
      for (uint32_t gate = 0; gate < 4; ++gate) {
        const size_t row = size_t{gate} * lstm + unit;
        Product& product = gates_[block];
        product.Pack(at("lstm.weight_ih") + row * features_, units, features_, gate * kPanel, 0);
        product.Pack(at("lstm.weight_hh") + row * lstm, units, lstm, gate * kPanel, features_);
        for (uint32_t u = 0; u < units; ++u) {
          product.bias.data()[gate * kPanel + u] =
              at("lstm.bias_ih")[row + u] + at("lstm.bias_hh")[row + u];
        }
      }
    }
    version_ = weights.version;
    loaded_ = true;
    return absl::OkStatus();
  }

  absl::Status Evaluate(const PolicyBatch& batch) override {
    if (!loaded_) return absl::FailedPreconditionError("the native policy has no weights yet");
    for (uint32_t first = 0; first < batch.rows; first += kRowsTogether) {
      EvaluateRows(batch, first, std::min(kRowsTogether, batch.rows - first));
    }
    return absl::OkStatus();
  }

 private:
  void Apply(const Product& product, uint32_t rows, const float* x, size_t x_stride,
             NativeActivation activation, float* y) const {
    kernels_.dense(rows, product.in, product.panels, x, x_stride, product.weights.data(),
                   product.bias.data(), activation, y, stride_);
  }

  void EvaluateRows(const PolicyBatch& batch, uint32_t first, uint32_t rows) const {
    const NativeActivation activation = shape_.config.activation == Activation::kTanh
                                            ? NativeActivation::kTanh
                                            : NativeActivation::kRelu;
    float* in = front_.data();
    float* out = back_.data();
    kernels_.normalise(rows, shape_.inputs, batch.inputs + size_t{first} * shape_.inputs,
                       mean_.data(), inv_std_.data(), kInputClip, in, stride_);
    // Where there is a value trunk, its half of a row begins `value` floats into it.
    size_t value = 0;
    for (size_t i = 0; i < policy_.size(); ++i) {
      Apply(policy_[i], rows, in, stride_, activation, out);
      if (shape_.separate_value()) {
        const size_t next = size_t{PanelsOf(shape_.config.hidden[i])} * kPanel;
        if (i > 0) Apply(value_[i - 1], rows, in + value, stride_, activation, out + next);
        value = next;
      }
      std::swap(in, out);
    }

    const float* x = in;
    size_t x_stride = stride_;
    if (const uint32_t lstm = shape_.config.lstm; lstm > 0) {
      const size_t state = shape_.state_width();
      float* const states = batch.states + first * state;
      for (uint32_t r = 0; r < rows; ++r) {
        std::memcpy(in + r * stride_ + features_, states + r * state, lstm * sizeof(float));
      }
      for (uint32_t block = 0; block < gates_.size(); ++block) {
        const uint32_t unit = block * kPanel;
        Apply(gates_[block], rows, in, stride_, NativeActivation::kNone, out);
        kernels_.lstm_cell(rows, std::min(kPanel, lstm - unit), out, stride_, states + unit,
                           states + lstm + unit, state);
      }
      x = states;
      x_stride = state;
    }

    const uint32_t logits = shape_.logits_width();
    size_t value_column = logits;
    Apply(heads_[0], rows, x, x_stride, NativeActivation::kNone, out);
    if (heads_.size() == 2) {
      value_column = size_t{heads_[0].panels} * kPanel;
      Apply(heads_[1], rows, x + value, x_stride, NativeActivation::kNone, out + value_column);
    }
    for (uint32_t r = 0; r < rows; ++r) {
      std::memcpy(batch.logits + size_t{first + r} * logits, out + r * stride_,
                  logits * sizeof(float));
      batch.values[first + r] = out[r * stride_ + value_column];
    }
  }

  NetworkShape shape_;
  const NativeKernels& kernels_;
  std::map<std::string, size_t> offsets_;  // of WeightLayout
  uint64_t version_ = 0;
  bool loaded_ = false;

  std::vector<float> mean_;
  std::vector<float> inv_std_;
  std::vector<Product> policy_;  // [0] holds both trunks' first layers
  std::vector<Product> value_;   // from the second layer on
  std::vector<Product> gates_;   // one for each kPanel LSTM units; inputs are features, then h
  std::vector<Product> heads_;   // logits with the value behind them, or one each
  uint32_t features_ = 0;

  size_t stride_ = 0;
  AlignedFloats front_;
  AlignedFloats back_;
};

}  // namespace

const NativeKernels* const* AvailableKernels() {
  static const NativeKernels* available[4] = {};
  static const bool found = [] {
    size_t count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) available[count++] = &kAvx512Kernels;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      available[count++] = &kAvx2Kernels;
    }
#endif
    available[count++] = &kPortableKernels;
    return true;
  }();
  static_cast<void>(found);
  return available;
}

std::unique_ptr<Policy> MakeNativePolicy(const NetworkShape& shape, const NativeKernels& kernels) {
  return std::make_unique<NativePolicy>(shape, kernels);
}

std::unique_ptr<Policy> MakeNativePolicy(const NetworkShape& shape) {
  return MakeNativePolicy(shape, *AvailableKernels()[0]);
}

}  // namespace midlane
