// Batch: the rows that one turn of a worker puts through the network, laid out as PolicyBatch wants
// them. Filled in place, allocated once.
//
// Rows of one policy lie side by side.
// Thread-safety: one thread at a time.
#ifndef MIDLANE_ROLLOUT_BATCH_H_
#define MIDLANE_ROLLOUT_BATCH_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "bridge/spec.h"
#include "rollout/policy/policy.h"

namespace midlane {

class Batch {
 public:
  Batch(const Spec& spec, const NetworkShape& shape, uint32_t rows_max)
      : inputs_width_(shape.inputs),
        logits_width_(shape.logits_width()),
        state_width_(shape.state_width()),
        heads_(static_cast<uint32_t>(shape.heads.size())),
        spec_(&spec),
        inputs_(size_t{rows_max} * inputs_width_),
        masks_(size_t{rows_max} * logits_width_),
        states_(size_t{rows_max} * state_width_),
        logits_(size_t{rows_max} * logits_width_),
        values_(rows_max),
        actions_(size_t{rows_max} * heads_),
        log_probs_(rows_max) {}

  void Clear() { rows_ = 0; }
  uint32_t rows() const { return rows_; }

  // Adds an observation with the recurrent state before it; the row's index.
  uint32_t Add(const unsigned char* observation, const std::vector<float>& state) {
    const uint32_t row = rows_++;
    FlattenObservation(*spec_, observation, inputs(row), masks(row));
    std::copy(state.begin(), state.end(), this->state(row));
    return row;
  }

  // Puts rows [first, last) through `policy`.
  absl::Status Evaluate(uint32_t first, uint32_t last, Policy* policy) {
    PolicyBatch batch;
    batch.rows = last - first;
    batch.inputs = inputs(first);
    batch.states = state(first);
    batch.logits = logits(first);
    batch.values = &values_[first];
    return batch.rows == 0 ? absl::OkStatus() : policy->Evaluate(batch);
  }

  float* inputs(uint32_t row) { return inputs_.data() + size_t{row} * inputs_width_; }
  uint8_t* masks(uint32_t row) { return masks_.data() + size_t{row} * logits_width_; }
  float* state(uint32_t row) { return states_.data() + size_t{row} * state_width_; }
  float* logits(uint32_t row) { return logits_.data() + size_t{row} * logits_width_; }
  float value(uint32_t row) const { return values_[row]; }
  int32_t* actions(uint32_t row) { return actions_.data() + size_t{row} * heads_; }
  float& log_prob(uint32_t row) { return log_probs_[row]; }

 private:
  const uint32_t inputs_width_, logits_width_, state_width_, heads_;
  const Spec* spec_;
  uint32_t rows_ = 0;
  std::vector<float> inputs_;
  std::vector<uint8_t> masks_;
  std::vector<float> states_;
  std::vector<float> logits_;
  std::vector<float> values_;
  std::vector<int32_t> actions_;
  std::vector<float> log_probs_;
};

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_BATCH_H_
