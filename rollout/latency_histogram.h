#ifndef MIDLANE_ROLLOUT_LATENCY_HISTOGRAM_H_
#define MIDLANE_ROLLOUT_LATENCY_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace midlane {

// Latencies in microseconds, 0.1 us to 100 s, in buckets of 2 %, so that memory does not grow with
// the evaluation. For one thread.
class LatencyHistogram {
 public:
  void Add(double us) {
    const double bucket = std::log2(std::max(us, kLowestUs) / kLowestUs) * kBucketsPerDouble;
    ++counts_[std::min<size_t>(static_cast<size_t>(bucket), counts_.size() - 1)];
    ++total_;
  }
  void Add(const LatencyHistogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
  }
  // The middle of the bucket in which `quantile` of all lie; 0 where there are none.
  double Quantile(double quantile) const {
    uint64_t below = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      below += counts_[i];
      if (total_ > 0 && static_cast<double>(below) >= quantile * static_cast<double>(total_)) {
        return kLowestUs * std::exp2((static_cast<double>(i) + 0.5) / kBucketsPerDouble);
      }
    }
    return 0;
  }

 private:
  static constexpr double kLowestUs = 0.1;
  static constexpr double kBucketsPerDouble = 35;
  std::array<uint64_t, 35 * 30> counts_{};  // up to 100 s
  uint64_t total_ = 0;
};

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_LATENCY_HISTOGRAM_H_
