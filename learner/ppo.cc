#include "learner/ppo.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "rollout/sampler.h"

namespace midlane {
namespace {

void Shuffle(Random* random, std::vector<uint32_t>* order) {
  for (size_t i = order->size(); i > 1; --i) {
    std::swap((*order)[i - 1], (*order)[random->Below(static_cast<uint32_t>(i))]);
  }
}

void Accumulate(const LossFigures& from, LossFigures* to) {
  to->policy_loss += from.policy_loss;
  to->value_loss += from.value_loss;
  to->entropy += from.entropy;
  to->kl += from.kl;
  to->clip_fraction += from.clip_fraction;
}

void Divide(double by, LossFigures* figures) {
  figures->policy_loss /= by;
  figures->value_loss /= by;
  figures->entropy /= by;
  figures->kl /= by;
  figures->clip_fraction /= by;
}

}  // namespace

absl::StatusOr<PpoFigures> TrainPpo(const PpoOptions& options, const PpoIteration& iteration,
                                    const Batch& batch, PpoEngine* engine) {
  const size_t items = iteration.lstm ? batch.windows.size() : batch.steps();
  const double minibatches_exact =
      static_cast<double>(batch.steps()) / static_cast<double>(options.minibatch_steps);
  const size_t minibatches =
      std::clamp<size_t>(static_cast<size_t>(std::lround(minibatches_exact)), 1, items);

  PpoFigures figures;
  figures.learning_rate = options.learning_rate.At(iteration.timestep);
  figures.entropy_weight = options.entropy.At(iteration.timestep);
  const LossOptions loss{options.clip, options.value_clip, options.value_weight,
                         figures.entropy_weight};

  std::vector<uint32_t> order(items);
  std::iota(order.begin(), order.end(), 0u);
  Random random(iteration.seed, iteration.iteration);
  const double total = static_cast<double>(options.epochs * minibatches);
  for (uint32_t epoch = 0; epoch < options.epochs; ++epoch) {
    Shuffle(&random, &order);
    double epoch_kl = 0;
    for (size_t i = 0; i < minibatches; ++i) {
      const size_t begin = items * i / minibatches;
      const size_t end = items * (i + 1) / minibatches;
      const absl::StatusOr<LossFigures> got =
          engine->Gradient(absl::MakeConstSpan(order).subspan(begin, end - begin), loss);
      if (!got.ok()) return got.status();
      const absl::StatusOr<double> norm =
          engine->Step(figures.learning_rate, options.gradient_norm_max);
      if (!norm.ok()) return norm.status();
      Accumulate(*got, &figures.loss);
      figures.gradient_norm += *norm;
      epoch_kl += got->kl / static_cast<double>(minibatches);
      ++figures.minibatches;
      if (iteration.progress) iteration.progress(static_cast<double>(figures.minibatches) / total);
    }
    figures.epochs += 1;
    if (options.target_kl > 0 && epoch_kl > options.target_kl) break;
  }
  const double n = static_cast<double>(figures.minibatches);
  Divide(n, &figures.loss);
  figures.gradient_norm /= n;
  if (!std::isfinite(figures.gradient_norm) || !std::isfinite(figures.loss.policy_loss)) {
    return absl::InternalError(
        "training produced a loss that is not finite; lower ppo.learning_rate, or look for rewards "
        "of extreme size");
  }
  return figures;
}

absl::StatusOr<double> BehaviourLogProbError(const Batch& batch, bool lstm, uint64_t version,
                                             const std::vector<float>& parameters,
                                             const std::vector<float>& mean,
                                             const std::vector<float>& inv_std, uint32_t rows_max,
                                             PpoEngine* engine, uint64_t* compared) {
  std::vector<uint32_t> rows;
  if (lstm) {
    for (uint32_t w = 0; w < batch.windows.size(); ++w) {
      const Window& window = batch.windows[w];
      const auto* versions = batch.versions.data() + window.first;
      if (std::all_of(versions, versions + window.steps,
                      [&](uint64_t v) { return v == version; })) {
        rows.push_back(w);
      }
    }
  } else {
    for (uint32_t t = 0; t < batch.steps(); ++t) {
      if (batch.versions[t] == version) rows.push_back(t);
    }
  }
  // An even sample: every n-th, so that every chunk is touched.
  if (rows.size() > rows_max) {
    const size_t every = (rows.size() + rows_max - 1) / rows_max;
    size_t kept = 0;
    for (size_t i = 0; i < rows.size(); i += every) rows[kept++] = rows[i];
    rows.resize(kept);
  }
  if (rows.empty()) return 0.0;
  const absl::StatusOr<std::vector<float>> log_probs =
      engine->LogProbabilities(batch, rows, parameters, mean, inv_std);
  if (!log_probs.ok()) return log_probs.status();
  double largest = 0;
  size_t at = 0;
  const auto compare = [&](uint32_t t) {
    const double difference = std::abs((*log_probs)[at++] - batch.log_probs[t]);
    largest = std::isfinite(difference) ? std::max(largest, difference)
                                        : std::numeric_limits<double>::infinity();
  };
  for (const uint32_t row : rows) {
    if (!lstm) {
      compare(row);
      continue;
    }
    for (uint32_t t = 0; t < batch.windows[row].steps; ++t) compare(batch.windows[row].first + t);
  }
  *compared += at;
  return largest;
}

}  // namespace midlane
