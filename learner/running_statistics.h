// Running statistics: mean and variance of a stream of vectors, and the deviation of the discounted
// return. Both are exact over everything seen, whatever the order of merging, to rounding.
//
// Algorithm: two passes over each block of rows, merged into the running moments (Chan, Golub and
//   LeVeque 1979). Doubles throughout.
// Thread-safety: one thread at a time.
#ifndef MIDLANE_LEARNER_RUNNING_STATISTICS_H_
#define MIDLANE_LEARNER_RUNNING_STATISTICS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "absl/types/span.h"

namespace midlane {

// A value: copy it to save it.
struct RunningMoments {
  RunningMoments() = default;
  explicit RunningMoments(size_t width) : mean(width, 0.0), m2(width, 0.0) {}

  // `rows` [count / width, width], row-major.
  void Add(absl::Span<const float> rows);
  void Merge(const RunningMoments& other);  // REQUIRES: equal widths
  double variance(size_t index) const { return count > 0 ? m2[index] / count : 0.0; }

  double count = 0;          // rows
  std::vector<double> mean;  // [width]
  std::vector<double> m2;    // [width], sum of squared differences from the mean
};

// Smallest deviation that inputs are divided by: an input that never changed stays small when it
// first does.
inline constexpr double kDeviationMin = 1e-3;

// mean and 1 / max(deviation, kDeviationMin) as float; 0 and 1 before the first row.
void NormaliserOf(const RunningMoments& moments, std::vector<float>* mean,
                  std::vector<float>* inv_std);

// Deviation of R_t = gamma R_{t-1} + r_t, by which rewards are divided (as VecNormalize of Stable
// Baselines does): R starts at 0 at each episode and goes on from chunk to chunk of a stream.
class ReturnDeviation {
 public:
  // Streams remembered between chunks; beyond it the longest silent half is forgotten.
  static constexpr size_t kStreamsMax = 1 << 16;

  struct Stream {
    uint64_t worker = 0;
    uint64_t episode = 0;
    uint32_t agent = 0;
    auto operator<=>(const Stream&) const = default;
  };

  // One chunk's rewards, in order. `sequence` counts the stream's chunks.
  void Add(const Stream& stream, uint32_t sequence, absl::Span<const float> rewards,
           absl::Span<const uint8_t> ends, double gamma);

  // 1 before the first reward that was not 0.
  double deviation() const;
  const RunningMoments& moments() const { return moments_; }
  // What streams carry is not restored: each starts afresh.
  void Restore(RunningMoments moments) { moments_ = std::move(moments); }

 private:
  struct Carry {
    uint32_t sequence = 0;  // that may go on from it
    double value = 0;
    uint64_t touched = 0;
  };

  RunningMoments moments_{1};
  std::map<Stream, Carry> carries_;
  uint64_t clock_ = 0;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_RUNNING_STATISTICS_H_
