#include "learner/batch.h"

#include <algorithm>
#include <cmath>

#include "learner/gae.h"

namespace midlane {
namespace {

constexpr uint8_t kTruncated = 2;

template <typename T>
void AppendTo(std::vector<T>* out, absl::Span<const T> values) {
  out->insert(out->end(), values.begin(), values.end());
}

double ExplainedVariance(const std::vector<float>& values, const std::vector<float>& returns) {
  const double n = static_cast<double>(returns.size());
  double mean = 0, mean_error = 0;
  for (size_t i = 0; i < returns.size(); ++i) {
    mean += returns[i] / n;
    mean_error += (returns[i] - values[i]) / n;
  }
  double variance = 0, error_variance = 0;
  for (size_t i = 0; i < returns.size(); ++i) {
    const double d = returns[i] - mean;
    const double e = returns[i] - values[i] - mean_error;
    variance += d * d;
    error_variance += e * e;
  }
  return variance > 1e-12 ? 1 - error_variance / variance : 0;
}

void NormaliseAdvantages(std::vector<float>* advantages) {
  const double n = static_cast<double>(advantages->size());
  double mean = 0;
  for (const float a : *advantages) mean += a / n;
  double variance = 0;
  for (const float a : *advantages) variance += (a - mean) * (a - mean) / n;
  const double scale = 1 / (std::sqrt(variance) + 1e-8);
  for (float& a : *advantages) a = static_cast<float>((a - mean) * scale);
}

}  // namespace

void Batch::Append(const ChunkData& chunk) {
  const uint32_t first = steps();
  chunks.push_back({chunk.worker, chunk.episode, chunk.sequence, chunk.agent, chunk.opponent, first,
                    chunk.steps});
  for (uint32_t at = 0; at < chunk.steps; at += shape.window) {
    windows.push_back({first + at, std::min(shape.window, chunk.steps - at)});
  }
  AppendTo(&inputs, chunk.inputs);
  AppendTo(&masks, chunk.masks);
  AppendTo(&actions, chunk.actions);
  AppendTo(&log_probs, chunk.log_probs);
  AppendTo(&values, chunk.values);
  AppendTo(&terms, chunk.terms);
  AppendTo(&ends, chunk.ends);
  AppendTo(&bootstrap, chunk.bootstrap);
  AppendTo(&states, chunk.states);
  AppendTo(&starts, chunk.starts);
  for (const auto& [version, count] : chunk.versions)
    versions.insert(versions.end(), count, version);
}

void Batch::Clear() {
  chunks.clear();
  windows.clear();
  inputs.clear();
  masks.clear();
  actions.clear();
  log_probs.clear();
  values.clear();
  terms.clear();
  ends.clear();
  bootstrap.clear();
  states.clear();
  starts.clear();
  versions.clear();
  rewards.clear();
  advantages.clear();
  returns.clear();
}

BatchSummary FinishBatch(const PpoOptions& options, const std::vector<float>& weights,
                         ReturnDeviation* deviation, Batch* batch) {
  const size_t steps = batch->steps();
  const size_t terms = batch->shape.terms;
  BatchSummary summary;
  summary.terms.assign(terms, 0.0);
  batch->rewards.assign(steps, 0.0f);
  for (size_t t = 0; t < steps; ++t) {
    const float* row = batch->terms.data() + t * terms;
    float reward = 0;
    for (size_t i = 0; i < terms; ++i) {
      summary.terms[i] += row[i];
      reward += weights[i] * row[i];
    }
    batch->rewards[t] = reward;
    summary.reward += reward;
    if (batch->ends[t] != 0) ++summary.ended;
    if (batch->ends[t] == kTruncated) ++summary.truncated;
  }
  for (double& term : summary.terms) term /= static_cast<double>(steps);
  summary.reward /= static_cast<double>(steps);

  for (const BatchChunk& chunk : batch->chunks) {
    deviation->Add({chunk.worker, chunk.episode, chunk.agent}, chunk.sequence,
                   absl::MakeConstSpan(batch->rewards).subspan(chunk.first, chunk.steps),
                   absl::MakeConstSpan(batch->ends).subspan(chunk.first, chunk.steps),
                   options.gamma);
  }
  const double scale = options.normalise_reward ? 1 / deviation->deviation() : 1.0;

  batch->advantages.resize(steps);
  batch->returns.resize(steps);
  std::vector<float> scaled(steps);
  for (size_t t = 0; t < steps; ++t) scaled[t] = static_cast<float>(batch->rewards[t] * scale);
  for (const BatchChunk& chunk : batch->chunks) {
    const auto part = [&](auto& values) {
      return absl::MakeSpan(values).subspan(chunk.first, chunk.steps);
    };
    GeneralisedAdvantages(
        {part(scaled), part(batch->values), part(batch->ends), part(batch->bootstrap)},
        options.gamma, options.gae_lambda, part(batch->advantages), part(batch->returns));
  }
  summary.explained_variance = ExplainedVariance(batch->values, batch->returns);
  if (options.normalise_advantage) NormaliseAdvantages(&batch->advantages);
  return summary;
}

}  // namespace midlane
