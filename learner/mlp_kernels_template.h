// The one source of all MlpKernels tables: include it in a translation unit that defines
// MIDLANE_MLP_BYTES (of a vector register) and is compiled for an instruction set. Everything is
// local to that unit, so that no code of one set is linked into another's.
#ifndef MIDLANE_LEARNER_MLP_KERNELS_TEMPLATE_H_
#define MIDLANE_LEARNER_MLP_KERNELS_TEMPLATE_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "learner/mlp_kernels.h"

namespace midlane {
namespace {

constexpr size_t kLanes = MIDLANE_MLP_BYTES / sizeof(float);
typedef float Vector __attribute__((vector_size(MIDLANE_MLP_BYTES)));
typedef int32_t IntVector __attribute__((vector_size(MIDLANE_MLP_BYTES)));

inline Vector Load(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void Store(float* p, Vector v) { std::memcpy(p, &v, sizeof(v)); }
inline Vector Splat(float x) { return x - Vector{}; }

// Registers of a tile: kTileRows x kTileVectors accumulators, kTileVectors of b, one of a.
constexpr size_t kTileVectors = 16 / kLanes > 2 ? 2 : (16 / kLanes > 0 ? 16 / kLanes : 1);
constexpr size_t kTileColumns = kTileVectors * kLanes;
constexpr size_t kTileRows = MIDLANE_MLP_TILE_ROWS;

template <size_t kRows>
inline void Tile(size_t k, const float* a, size_t a_row, size_t a_column, const float* b,
                 size_t b_stride, const float* bias, float* c, size_t c_stride) {
  Vector sums[kRows][kTileVectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileVectors; ++j) {
      sums[i][j] = Load((bias != nullptr ? bias : c + i * c_stride) + j * kLanes);
    }
  }
  for (size_t p = 0; p < k; ++p) {
    Vector right[kTileVectors];
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileVectors; ++j) right[j] = Load(b + p * b_stride + j * kLanes);
#pragma GCC unroll 16
    for (size_t i = 0; i < kRows; ++i) {
      const Vector left = Splat(a[i * a_row + p * a_column]);
#pragma GCC unroll 4
      for (size_t j = 0; j < kTileVectors; ++j) sums[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileVectors; ++j) {
      Store(c + i * c_stride + j * kLanes, sums[i][j]);
    }
  }
}

template <size_t kRows>
inline void LastTile(size_t rows, size_t k, const float* a, size_t a_row, size_t a_column,
                     const float* b, size_t b_stride, const float* bias, float* c,
                     size_t c_stride) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      Tile<kRows>(k, a, a_row, a_column, b, b_stride, bias, c, c_stride);
    } else {
      LastTile<kRows - 1>(rows, k, a, a_row, a_column, b, b_stride, bias, c, c_stride);
    }
  }
}

void Multiply(size_t m, size_t n, size_t k, const float* a, size_t a_row, size_t a_column,
              const float* b, size_t b_stride, const float* bias, float* c, size_t c_stride) {
  for (size_t j = 0; j < n; j += kTileColumns) {
    const float* start = bias != nullptr ? bias + j : nullptr;
    size_t i = 0;
    for (; i + kTileRows <= m; i += kTileRows) {
      Tile<kTileRows>(k, a + i * a_row, a_row, a_column, b + j, b_stride, start,
                      c + i * c_stride + j, c_stride);
    }
    LastTile<kTileRows - 1>(m - i, k, a + i * a_row, a_row, a_column, b + j, b_stride, start,
                            c + i * c_stride + j, c_stride);
  }
}

inline Vector Clamp(Vector x, float low, float high) {
  x = x > high ? Splat(high) : x;
  return x < low ? Splat(low) : x;
}

// e^x for x in [-87, 87]: x = n ln 2 + r, e^r by its Taylor polynomial of degree 7 on |r| <= 0.35.
inline Vector Exp(Vector x) {
  const Vector shift = Splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vector n = (x * 1.44269504f + shift) - shift;
  const Vector r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vector e = Splat(1.0f / 5040);
  e = e * r + 1.0f / 720;
  e = e * r + 1.0f / 120;
  e = e * r + 1.0f / 24;
  e = e * r + 1.0f / 6;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  e = e * r + 1.0f;
  const IntVector exponent = (__builtin_convertvector(n, IntVector) + 127) << 23;
  Vector scale;
  std::memcpy(&scale, &exponent, sizeof(scale));
  return e * scale;
}

void Tanh(size_t n, float* x) {
  for (size_t i = 0; i < n; i += kLanes) {
    // Beyond 9 the float result is 1.
    const Vector e = Exp(2.0f * Clamp(Load(x + i), -9.1f, 9.1f));
    Store(x + i, (e - 1.0f) / (e + 1.0f));
  }
}

void Relu(size_t n, float* x) {
  for (size_t i = 0; i < n; i += kLanes) {
    const Vector v = Load(x + i);
    Store(x + i, v > 0.0f ? v : Vector{});
  }
}

void TanhBackward(size_t n, const float* out, float* gradient) {
  for (size_t i = 0; i < n; i += kLanes) {
    const Vector h = Load(out + i);
    Store(gradient + i, Load(gradient + i) * (1.0f - h * h));
  }
}

void ReluBackward(size_t n, const float* out, float* gradient) {
  for (size_t i = 0; i < n; i += kLanes) {
    Store(gradient + i, Load(out + i) > 0.0f ? Load(gradient + i) : Vector{});
  }
}

void AddRows(size_t m, size_t n, const float* x, size_t stride, float* sums) {
  for (size_t j = 0; j < n; j += kLanes) {
    Vector sum = Load(sums + j);
    for (size_t i = 0; i < m; ++i) sum += Load(x + i * stride + j);
    Store(sums + j, sum);
  }
}

double SumSquares(size_t n, const float* x) {
  Vector sums[4] = {};
  size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (size_t j = 0; j < 4; ++j) {
      const Vector v = Load(x + i + j * kLanes);
      sums[j] += v * v;
    }
  }
  double sum = 0;
  for (const Vector& part : sums) {
    for (size_t lane = 0; lane < kLanes; ++lane) sum += part[lane];
  }
  for (; i < n; ++i) sum += double{x[i]} * x[i];
  return sum;
}

void Adam(size_t n, const float* gradient, float scale, float beta1, float beta2, float step,
          float root, float epsilon, float* m, float* v, float* parameters) {
  for (size_t i = 0; i < n; ++i) {
    const float g = gradient[i] * scale;
    m[i] = beta1 * m[i] + (1.0f - beta1) * g;
    v[i] = beta2 * v[i] + (1.0f - beta2) * g * g;
    parameters[i] -= step * m[i] / (root * __builtin_sqrtf(v[i]) + epsilon);
  }
}

constexpr MlpKernels KernelsNamed(const char* name) {
  return {name, Multiply, Tanh, Relu, TanhBackward, ReluBackward, AddRows, SumSquares, Adam};
}

}  // namespace
}  // namespace midlane

#endif  // MIDLANE_LEARNER_MLP_KERNELS_TEMPLATE_H_
