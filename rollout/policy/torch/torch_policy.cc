#include "rollout/policy/torch/torch_policy.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "rollout/policy/torch/torch_network.h"

namespace midlane {
namespace {

class TorchPolicy final : public Policy {
 public:
  TorchPolicy(const NetworkShape& shape, c10::Device device) : network_(shape, device) {}

  const NetworkShape& shape() const override { return network_.shape(); }
  uint64_t version() const override { return version_; }

  absl::Status Load(const Weights& weights) override {
    if (auto status = CheckWeights(shape(), weights); !status.ok()) return status;
    try {
      at::NoGradGuard no_grad;
      network_.flat_parameters().copy_(
          View(weights.parameters.data(), {static_cast<int64_t>(weights.parameters.size())}));
      mean_ = View(weights.mean.data(), {shape().inputs}).to(device(), at::kFloat, false, true);
      inv_std_ =
          View(weights.inv_std.data(), {shape().inputs}).to(device(), at::kFloat, false, true);
    } catch (const std::exception& error) {
      return Failed(error);
    }
    version_ = weights.version;
    return absl::OkStatus();
  }

  absl::Status Evaluate(const PolicyBatch& batch) override {
    if (!mean_.defined())
      return absl::FailedPreconditionError("the torch policy has no weights yet");
    if (batch.rows == 0) return absl::OkStatus();
    try {
      at::NoGradGuard no_grad;
      const int64_t rows = batch.rows;
      const int64_t state = shape().state_width();
      const at::Tensor inputs = NormaliseInputs(
          View(batch.inputs, {1, rows, shape().inputs}).to(device()), mean_, inv_std_);
      const at::Tensor states =
          state > 0 ? View(batch.states, {rows, state}).to(device()) : at::Tensor();
      const auto output = network_.ForwardSequence(inputs, states, at::Tensor());
      View(batch.logits, {1, rows, shape().logits_width()}).copy_(output.logits);
      View(batch.values, {1, rows}).copy_(output.values);
      if (state > 0) View(batch.states, {rows, state}).copy_(output.states);
    } catch (const std::exception& error) {
      return Failed(error);
    }
    return absl::OkStatus();
  }

 private:
  c10::Device device() const { return network_.device(); }

  static at::Tensor View(const float* data, at::IntArrayRef sizes) {
    return at::from_blob(const_cast<float*>(data), sizes, at::kFloat);
  }

  static absl::Status Failed(const std::exception& error) {
    return absl::InternalError(absl::StrCat("torch policy: ", error.what()));
  }

  TorchNetwork network_;
  at::Tensor mean_;
  at::Tensor inv_std_;
  uint64_t version_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Policy>> MakeTorchPolicy(const NetworkShape& shape,
                                                        const std::string& device) {
  if (!IsDeviceName(device)) {
    return absl::InvalidArgumentError(
        absl::StrCat("device '", device, "' is unknown: give cpu, cuda or cuda:N"));
  }
  try {
    return std::make_unique<TorchPolicy>(shape, c10::Device(device));
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return absl::InvalidArgumentError(
        absl::StrCat("device '", device, "' cannot be used: ", text.substr(0, text.find('\n'))));
  }
}

}  // namespace midlane
