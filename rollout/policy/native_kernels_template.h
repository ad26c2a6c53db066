// The native kernels for one vector width. Included once by each native_kernels_*.cc, which is
// compiled for its instruction set; everything here is local to that file, and no header with
// inline functions of others is included, so that no code for a newer processor can leak out.
#ifndef MIDLANE_ROLLOUT_POLICY_NATIVE_KERNELS_TEMPLATE_H_
#define MIDLANE_ROLLOUT_POLICY_NATIVE_KERNELS_TEMPLATE_H_

#include "rollout/policy/native_kernels.h"

namespace midlane {
namespace {

template <int kWidth>
struct Vectors;
// clang-format off
template <> struct Vectors<4> {
  typedef float Float __attribute__((vector_size(16)));
  typedef int32_t Int __attribute__((vector_size(16)));
  typedef float Unaligned __attribute__((vector_size(16), aligned(4), may_alias));
};
template <> struct Vectors<8> {
  typedef float Float __attribute__((vector_size(32)));
  typedef int32_t Int __attribute__((vector_size(32)));
  typedef float Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
};
template <> struct Vectors<16> {
  typedef float Float __attribute__((vector_size(64)));
  typedef int32_t Int __attribute__((vector_size(64)));
  typedef float Unaligned __attribute__((vector_size(64), aligned(4), may_alias));
};
// clang-format on

template <int kWidth>
struct Kernels {
  using Float = typename Vectors<kWidth>::Float;
  using Int = typename Vectors<kWidth>::Int;
  using Unaligned = typename Vectors<kWidth>::Unaligned;

  static constexpr int kVectors = kPanel / kWidth;  // in a panel
  // A panel's block of this many inputs (16 KiB) stays in the first-level cache while all rows
  // pass.
  static constexpr uint32_t kBlock = 256;
  // Accumulators of a tile: as many as registers hold beside a weight and an input, and at least
  // the latency of a multiply-add times two, so that the chains hide each other.
  static constexpr int kAccumulators = 12;
  static constexpr int kRowsMax = kVectors >= 4 ? 3 : 6;
  static constexpr int PanelsOfTile(int rows) {
    const int fit = kAccumulators / (rows * kVectors);
    return fit >= 8 ? 8 : fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
  }

  static inline Float Load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
  static inline void Store(float* p, Float v) { *reinterpret_cast<Unaligned*>(p) = v; }
  static inline Float Splat(float x) { return x - Float{}; }

  // exp for x in [-87, 88], relative error below 2e-7; outside clamped, NaN stays.
  static inline Float Exp(Float x) {
    x = x < -87.0f ? Splat(-87.0f) : x;
    x = x > 88.0f ? Splat(88.0f) : x;
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    const Float shifted = x * 1.44269504f + 12582912.0f;
    const Float n = shifted - 12582912.0f;
    const Float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
    Float p = Splat(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * reinterpret_cast<Float>((reinterpret_cast<Int>(shifted) << 23) + 0x3F800000);
  }

  static inline Float Sigmoid(Float x) { return 1.0f / (1.0f + Exp(-x)); }

  static inline Float Tanh(Float x) {
    const Int sign = reinterpret_cast<Int>(x) & static_cast<int32_t>(0x80000000);
    const Float magnitude = reinterpret_cast<Float>(reinterpret_cast<Int>(x) & 0x7FFFFFFF);
    const Float e = Exp(magnitude * -2.0f);
    const Float y = (1.0f - e) / (1.0f + e);
    return reinterpret_cast<Float>(reinterpret_cast<Int>(y) | sign);
  }

  static void Normalise(uint32_t rows, uint32_t inputs, const float* raw, const float* mean,
                        const float* inv_std, float clip, float* out, size_t stride) {
    for (uint32_t r = 0; r < rows; ++r, raw += inputs, out += stride) {
      uint32_t i = 0;
      for (; i + kWidth <= inputs; i += kWidth) {
        Float x = (Load(raw + i) - Load(mean + i)) * Load(inv_std + i);
        x = x < -clip ? Splat(-clip) : x;
        x = x > clip ? Splat(clip) : x;
        Store(out + i, x);
      }
      for (; i < inputs; ++i) {
        float x = (raw[i] - mean[i]) * inv_std[i];
        x = x < -clip ? -clip : x;
        out[i] = x > clip ? clip : x;
      }
    }
  }

  // Adds `in` inputs of kRows rows to kPanels panels of y, which begins at `start` (a bias, common
  // to all rows) or, where that is null, at what y holds. Panels of `weights` are panel_floats
  // apart.
  template <int kRows, int kPanels>
  static inline void Tile(uint32_t in, const float* x, size_t x_stride, const float* weights,
                          size_t panel_floats, const float* start, float* y, size_t y_stride) {
    Float sums[kRows][kPanels * kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kPanels * kVectors; ++v) {
        sums[r][v] = Load((start != nullptr ? start : y + r * y_stride) + v * kWidth);
      }
    }
    const auto weight = [&](uint32_t k, int v) {
      return Load(weights + v / kVectors * panel_floats + size_t{k} * kPanel +
                  v % kVectors * kWidth);
    };
    for (uint32_t k = 0; k < in; ++k) {
      // The fewer of the two, weights or inputs, stay in registers; the others pass one by one.
      if constexpr (kRows > kPanels * kVectors) {
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
          for (int v = 0; v < kPanels * kVectors; ++v) {
            sums[r][v] += weight(k, v) * x[r * x_stride + k];
          }
        }
      } else {
#pragma GCC unroll 16
        for (int v = 0; v < kPanels * kVectors; ++v) {
#pragma GCC unroll 8
          for (int r = 0; r < kRows; ++r) sums[r][v] += weight(k, v) * x[r * x_stride + k];
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kPanels * kVectors; ++v) Store(y + r * y_stride + v * kWidth, sums[r][v]);
    }
  }

  // kRows rows over `panels` panels, wide tiles first.
  template <int kRows, int kPanels = PanelsOfTile(kRows)>
  static inline void RowsOfPanels(uint32_t in, uint32_t panels, const float* x, size_t x_stride,
                                  const float* weights, size_t panel_floats, const float* start,
                                  float* y, size_t y_stride) {
    for (; panels >= kPanels; panels -= kPanels) {
      Tile<kRows, kPanels>(in, x, x_stride, weights, panel_floats, start, y, y_stride);
      weights += kPanels * panel_floats;
      if (start != nullptr) start += kPanels * kPanel;
      y += kPanels * kPanel;
    }
    if constexpr (kPanels > 1) {
      RowsOfPanels<kRows, kPanels / 2>(in, panels, x, x_stride, weights, panel_floats, start, y,
                                       y_stride);
    }
  }

  template <int kRows>
  static void Rest(uint32_t rows, uint32_t in, uint32_t panels, const float* x, size_t x_stride,
                   const float* weights, size_t panel_floats, const float* start, float* y,
                   size_t y_stride) {
    if (rows == kRows) {
      RowsOfPanels<kRows>(in, panels, x, x_stride, weights, panel_floats, start, y, y_stride);
    } else if constexpr (kRows > 1) {
      Rest<kRows - 1>(rows, in, panels, x, x_stride, weights, panel_floats, start, y, y_stride);
    }
  }

  static void Dense(uint32_t rows, uint32_t in, uint32_t panels, const float* x, size_t x_stride,
                    const float* weights, const float* bias, NativeActivation activation, float* y,
                    size_t y_stride) {
    const size_t panel_floats = size_t{in} * kPanel;
    // Panels that go together: all of a small layer, one at a time where they fill the cache.
    const uint32_t together = in * panels <= kBlock * 4 || rows <= kRowsMax ? panels : 1;
    for (uint32_t p = 0; p < panels; p += together) {
      for (uint32_t k = 0; k < in; k += kBlock) {
        const uint32_t block = in - k < kBlock ? in - k : kBlock;
        const float* const w = weights + p * panel_floats + size_t{k} * kPanel;
        const float* const start = k == 0 ? bias + p * kPanel : nullptr;
        uint32_t r = 0;
        for (; r + kRowsMax <= rows; r += kRowsMax) {
          RowsOfPanels<kRowsMax>(block, together, x + r * x_stride + k, x_stride, w, panel_floats,
                                 start, y + r * y_stride + p * kPanel, y_stride);
        }
        if (r < rows) {
          Rest<kRowsMax - 1>(rows - r, block, together, x + r * x_stride + k, x_stride, w,
                             panel_floats, start, y + r * y_stride + p * kPanel, y_stride);
        }
      }
    }
    if (activation == NativeActivation::kNone) return;
    for (uint32_t r = 0; r < rows; ++r) {
      float* const row = y + r * y_stride;
      if (activation == NativeActivation::kTanh) {
        for (uint32_t i = 0; i < panels * kPanel; i += kWidth) Store(row + i, Tanh(Load(row + i)));
      } else {
        for (uint32_t i = 0; i < panels * kPanel; i += kWidth) {
          const Float v = Load(row + i);
          Store(row + i, v < 0.0f ? Splat(0.0f) : v);
        }
      }
    }
  }

  static void LstmCell(uint32_t rows, uint32_t units, const float* gates, size_t gates_stride,
                       float* h, float* c, size_t state_stride) {
    for (uint32_t r = 0; r < rows; ++r) {
      const float* const gate = gates + r * gates_stride;
      float* const h_row = h + r * state_stride;
      float* const c_row = c + r * state_stride;
      float tail[2 * kPanel];
      const bool whole = units == kPanel;
      if (!whole) {
        for (uint32_t i = 0; i < kPanel; ++i) tail[i] = i < units ? c_row[i] : 0;
      }
      float* const c_out = whole ? c_row : tail;
      float* const h_out = whole ? h_row : tail + kPanel;
      for (uint32_t i = 0; i < kPanel; i += kWidth) {
        const Float input = Sigmoid(Load(gate + i));
        const Float forget = Sigmoid(Load(gate + kPanel + i));
        const Float candidate = Tanh(Load(gate + 2 * kPanel + i));
        const Float output = Sigmoid(Load(gate + 3 * kPanel + i));
        const Float cell = forget * Load(c_out + i) + input * candidate;
        Store(c_out + i, cell);
        Store(h_out + i, output * Tanh(cell));
      }
      if (!whole) {
        for (uint32_t i = 0; i < units; ++i) {
          c_row[i] = c_out[i];
          h_row[i] = h_out[i];
        }
      }
    }
  }
};

}  // namespace
}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_NATIVE_KERNELS_TEMPLATE_H_
