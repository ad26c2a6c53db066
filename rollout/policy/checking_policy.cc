#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rollout/policy/policy.h"

namespace midlane {
namespace {

class CheckingPolicy final : public Policy {
 public:
  CheckingPolicy(std::unique_ptr<Policy> policy, std::unique_ptr<Policy> reference, float tolerance)
      : policy_(std::move(policy)), reference_(std::move(reference)), tolerance_(tolerance) {}

  const NetworkShape& shape() const override { return policy_->shape(); }
  uint64_t version() const override { return policy_->version(); }

  absl::Status Load(const Weights& weights) override {
    if (auto status = policy_->Load(weights); !status.ok()) return status;
    return reference_->Load(weights);
  }

  absl::Status Evaluate(const PolicyBatch& batch) override {
    const size_t states = size_t{batch.rows} * shape().state_width();
    states_.assign(batch.states, batch.states + states);
    logits_.resize(size_t{batch.rows} * shape().logits_width());
    values_.resize(batch.rows);
    PolicyBatch copy = batch;
    copy.states = states_.data();
    copy.logits = logits_.data();
    copy.values = values_.data();

    if (auto status = policy_->Evaluate(batch); !status.ok()) return status;
    if (auto status = reference_->Evaluate(copy); !status.ok()) return status;
    if (auto status = Compare("logit", batch.logits, logits_); !status.ok()) return status;
    if (auto status = Compare("value", batch.values, values_); !status.ok()) return status;
    return Compare("recurrent state", batch.states, states_);
  }

 private:
  absl::Status Compare(const char* what, const float* values,
                       const std::vector<float>& references) const {
    for (size_t i = 0; i < references.size(); ++i) {
      const float allowed = tolerance_ * std::fmax(1.0f, std::fabs(references[i]));
      // Negated, so that a NaN on either side is a difference.
      if (!(std::fabs(values[i] - references[i]) <= allowed)) {
        return absl::InternalError(absl::StrCat("policy backends disagree in version ", version(),
                                                ": ", what, " ", i, " is ", values[i],
                                                ", the reference says ", references[i]));
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Policy> policy_;
  std::unique_ptr<Policy> reference_;
  float tolerance_;
  std::vector<float> states_;
  std::vector<float> logits_;
  std::vector<float> values_;
};

}  // namespace

std::unique_ptr<Policy> MakeCheckingPolicy(std::unique_ptr<Policy> policy,
                                           std::unique_ptr<Policy> reference, float tolerance) {
  return std::make_unique<CheckingPolicy>(std::move(policy), std::move(reference), tolerance);
}

}  // namespace midlane
