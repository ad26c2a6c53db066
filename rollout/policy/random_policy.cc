#include <algorithm>

#include "rollout/policy/policy.h"

namespace midlane {
namespace {

// Equal logits for every choice: sampling them is uniform over what the masks allow.
class RandomPolicy final : public Policy {
 public:
  explicit RandomPolicy(const NetworkShape& shape) : shape_(shape) {}

  const NetworkShape& shape() const override { return shape_; }
  uint64_t version() const override { return version_; }

  absl::Status Load(const Weights& weights) override {
    version_ = weights.version;
    return absl::OkStatus();
  }

  absl::Status Evaluate(const PolicyBatch& batch) override {
    std::fill_n(batch.logits, size_t{batch.rows} * shape_.logits_width(), 0.0f);
    std::fill_n(batch.values, batch.rows, 0.0f);
    return absl::OkStatus();
  }

 private:
  NetworkShape shape_;
  uint64_t version_ = 0;
};

}  // namespace

std::unique_ptr<Policy> MakeRandomPolicy(const NetworkShape& shape) {
  return std::make_unique<RandomPolicy>(shape);
}

}  // namespace midlane
