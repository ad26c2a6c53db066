#include "learner/running_statistics.h"

#include <algorithm>
#include <cmath>

namespace midlane {

void RunningMoments::Add(absl::Span<const float> rows) {
  const size_t width = mean.size();
  if (width == 0 || rows.empty()) return;
  const size_t n = rows.size() / width;
  RunningMoments block(width);
  block.count = static_cast<double>(n);
  for (size_t row = 0; row < n; ++row) {
    const float* values = rows.data() + row * width;
    for (size_t i = 0; i < width; ++i) block.mean[i] += values[i];
  }
  for (double& m : block.mean) m /= block.count;
  for (size_t row = 0; row < n; ++row) {
    const float* values = rows.data() + row * width;
    for (size_t i = 0; i < width; ++i) {
      const double difference = values[i] - block.mean[i];
      block.m2[i] += difference * difference;
    }
  }
  Merge(block);
}

void RunningMoments::Merge(const RunningMoments& other) {
  if (other.count == 0) return;
  const double total = count + other.count;
  for (size_t i = 0; i < mean.size(); ++i) {
    const double difference = other.mean[i] - mean[i];
    mean[i] += difference * other.count / total;
    m2[i] += other.m2[i] + difference * difference * count * other.count / total;
  }
  count = total;
}

void NormaliserOf(const RunningMoments& moments, std::vector<float>* mean,
                  std::vector<float>* inv_std) {
  const size_t width = moments.mean.size();
  mean->assign(width, 0.0f);
  inv_std->assign(width, 1.0f);
  if (moments.count == 0) return;
  for (size_t i = 0; i < width; ++i) {
    (*mean)[i] = static_cast<float>(moments.mean[i]);
    (*inv_std)[i] =
        static_cast<float>(1.0 / std::max(std::sqrt(moments.variance(i)), kDeviationMin));
  }
}

void ReturnDeviation::Add(const Stream& stream, uint32_t sequence, absl::Span<const float> rewards,
                          absl::Span<const uint8_t> ends, double gamma) {
  double value = 0;
  const auto found = carries_.find(stream);
  if (found != carries_.end() && found->second.sequence == sequence) value = found->second.value;

  std::vector<float> values(rewards.size());
  for (size_t t = 0; t < rewards.size(); ++t) {
    value = gamma * value + rewards[t];
    values[t] = static_cast<float>(value);
    if (ends[t] != 0) value = 0;
  }
  moments_.Add(values);

  if (value == 0) {
    carries_.erase(stream);
    return;
  }
  carries_[stream] = {sequence + 1, value, ++clock_};
  if (carries_.size() > kStreamsMax) {
    std::erase_if(carries_, [&](const auto& carry) {
      return carry.second.touched + kStreamsMax / 2 < clock_;
    });
  }
}

double ReturnDeviation::deviation() const {
  const double deviation = std::sqrt(moments_.variance(0));
  return deviation > 1e-8 ? deviation : 1.0;
}

}  // namespace midlane
