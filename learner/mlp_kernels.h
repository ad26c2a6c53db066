// MlpKernels: the arithmetic of the native PPO engine, one table of functions for each instruction
// set, compiled from one template (mlp_kernels_template.h) and chosen at run time.
//
// Layout: rows lie `stride` floats apart; the inner dimension of `b` and `c` is a multiple of
//   kMlpLanes (padded with zeros by the caller), so that no kernel has a ragged edge along it.
// Determinism: the same call gives the same bits; instruction sets differ in the last ones.
// Thread-safety: pure functions; none allocates.
#ifndef MIDLANE_LEARNER_MLP_KERNELS_H_
#define MIDLANE_LEARNER_MLP_KERNELS_H_

#include <cstddef>

namespace midlane {

inline constexpr size_t kMlpLanes = 16;
inline constexpr size_t PadToLanes(size_t n) { return (n + kMlpLanes - 1) / kMlpLanes * kMlpLanes; }

struct MlpKernels {
  const char* name;

  // c[i][j] = start + sum_p a(i, p) b[p][j] with a(i, p) = a[i * a_row + p * a_column], for i < m,
  // j < n, p < k. start: c[i][j] itself where bias is null, else bias[j].
  void (*multiply)(size_t m, size_t n, size_t k, const float* a, size_t a_row, size_t a_column,
                   const float* b, size_t b_stride, const float* bias, float* c, size_t c_stride);

  // In place, n a multiple of kMlpLanes.
  void (*tanh)(size_t n, float* x);
  void (*relu)(size_t n, float* x);
  // gradient *= derivative of the activation, from its output.
  void (*tanh_backward)(size_t n, const float* out, float* gradient);
  void (*relu_backward)(size_t n, const float* out, float* gradient);

  // sums[j] += sum_i x[i][j]
  void (*add_rows)(size_t m, size_t n, const float* x, size_t stride, float* sums);

  // Sum of squares; any n.
  double (*sum_squares)(size_t n, const float* x);
  // Adam with g = scale * gradient: m, v, parameters updated; any n. `step` and `root` hold the
  // bias corrections: parameter -= step * m / (root * sqrt(v) + epsilon).
  void (*adam)(size_t n, const float* gradient, float scale, float beta1, float beta2, float step,
               float root, float epsilon, float* m, float* v, float* parameters);
};

extern const MlpKernels kMlpKernelsPortable;
#if defined(__x86_64__)
extern const MlpKernels kMlpKernelsAvx2;
extern const MlpKernels kMlpKernelsAvx512;
#endif

// Those that this processor runs, fastest first; a null ends the list.
const MlpKernels* const* AvailableMlpKernels();

}  // namespace midlane

#endif  // MIDLANE_LEARNER_MLP_KERNELS_H_
