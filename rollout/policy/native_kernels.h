// NativeKernels: the arithmetic of the native policy, one table of functions for each instruction
// set, all compiled from one template (native_kernels_template.h).
//
// Layout: a weight matrix [out, in] is packed into panels of kPanel outputs, each [in, kPanel], the
//   last one padded with zeros; biases are padded likewise. Rows of activations are `stride` floats
//   apart and hold whole panels.
// Determinism: every output is the same chain of multiply-adds over `in`, from the bias on,
// whatever
//   the number of rows: a row's result does not depend on its batch, bit for bit. Between
//   instruction sets results differ in the last bits.
// Thread-safety: pure functions. No function allocates.
#ifndef MIDLANE_ROLLOUT_POLICY_NATIVE_KERNELS_H_
#define MIDLANE_ROLLOUT_POLICY_NATIVE_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace midlane {

inline constexpr uint32_t kPanel = 16;
inline constexpr uint32_t PanelsOf(uint32_t outputs) { return (outputs + kPanel - 1) / kPanel; }

enum class NativeActivation { kNone, kTanh, kRelu };

struct NativeKernels {
  const char* name;

  // out[r][i] = clamp((raw[r][i] - mean[i]) * inv_std[i], -clip, clip); raw is dense.
  void (*normalise)(uint32_t rows, uint32_t inputs, const float* raw, const float* mean,
                    const float* inv_std, float clip, float* out, size_t stride);

  // y[r] = activation(bias + W x[r]) for `panels` panels.
  void (*dense)(uint32_t rows, uint32_t in, uint32_t panels, const float* x, size_t x_stride,
                const float* weights, const float* bias, NativeActivation activation, float* y,
                size_t y_stride);

  // One step of kPanel LSTM units (the last `units` <= kPanel of them real). gates[r] holds four
  // panels: i, f, g, o before activation. c[r] is updated in place, h[r] written.
  void (*lstm_cell)(uint32_t rows, uint32_t units, const float* gates, size_t gates_stride,
                    float* h, float* c, size_t state_stride);
};

extern const NativeKernels kPortableKernels;
#if defined(__x86_64__)
extern const NativeKernels kAvx2Kernels;    // AVX2 and FMA
extern const NativeKernels kAvx512Kernels;  // AVX-512F
#endif

// The kernels that this processor can run, fastest first; a null ends the list.
const NativeKernels* const* AvailableKernels();

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_NATIVE_KERNELS_H_
