// Products of a few rows with a matrix, in tiles that stay in registers, and the memory that they read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "common/bfloat16.h"
#include "common/simd.h"

namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTileRows = 12;  // of 32 registers, 24 hold sums
#else
constexpr int kTileRows = 6;  // of 16 registers, 12 hold sums
#endif
constexpr int kThird = kTileRows / 3;

// Zeros that start at a cache line: a vector that straddles two costs two loads.
template <class T>
class Lines {
 public:
  explicit Lines(int64_t count) : lines_(static_cast<size_t>(count + kEach - 1) / kEach + 1, Line{}) {}
  T* at(int64_t i) { return lines_[0].values + i; }
  const T* at(int64_t i) const { return lines_[0].values + i; }

 private:
  static constexpr int64_t kEach = 64 / sizeof(T);
  struct alignas(64) Line {
    T values[kEach];
  };
  std::vector<Line> lines_;
};
using Floats = Lines<float>;

constexpr int64_t round_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

// Rows a power of two apart would share a few cache sets, so an odd number of lines is added.
constexpr int64_t row_stride(int64_t width) { return round_up(width, 32) + 16; }

// A tile of a matrix product: sums[i][·] += a[i · a_row + k · a_step] · b[k · b_step …] over k, two vectors wide.
template <int L>
using Tile = Vec<L>[kTileRows][2];

template <int L, int R>
OLIFT_INLINE void multiply(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step, int64_t steps,
                           Vec<L> (&sums)[R][2]) {
  for (int64_t k = 0; k < steps; ++k) {
    const Vec<L> b0 = load<L>(b + k * b_step), b1 = load<L>(b + k * b_step + L);
#pragma GCC unroll 12
    for (int i = 0; i < R; ++i) {
      const float factor = a[i * a_row + k * a_step];
      sums[i][0] += factor * b0;
      sums[i][1] += factor * b1;
    }
  }
}

// A matrix in panels two vectors wide: panel j holds columns 2L·j …, `rows` rows of 2L floats, zeros beyond the last
// column.
template <int L>
class Panels {
 public:
  Panels(int64_t rows, int64_t columns)
      : rows_(rows), count_((columns + 2 * L - 1) / (2 * L)), held_(count_ * 2 * L * rows) {}
  float& element(int64_t row, int64_t column) {
    return *held_.at(((column / (2 * L)) * rows_ + row) * 2 * L + column % (2 * L));
  }
  const float* panel(int64_t j) const { return held_.at(j * rows_ * 2 * L); }
  int64_t count() const { return count_; }
  int64_t rows() const { return rows_; }

 private:
  int64_t rows_, count_;
  Floats held_;
};

// The element type of a weight and of the rows multiplied with it: bfloat16 if one instruction multiplies and adds
// pairs of them, else float. Rows and weights are read in steps; both must be padded with 0 to a whole step.
#if defined(__AVX512BF16__)
typedef olift::BFloat16 Element;
constexpr int64_t kStep = 2;

// A pair of elements, as `multiply_add` takes them.
typedef uint32_t Lane;

template <int L>
OLIFT_INLINE void store_lanes(Lane* to, Vec<L> first, Vec<L> second) {
  static_assert(L == 16, "AVX-512");
  const __m256i low = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(first)));
  const __m256i high = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(second)));
  const BitVec<L> both = widen_bits(low) | widen_bits(high) << 16;
  std::memcpy(to, &both, sizeof(both));
}

template <int L>
OLIFT_INLINE Vec<L> multiply_add(Vec<L> sum, const void* pair, const void* b) {
  int32_t both;
  std::memcpy(&both, pair, sizeof(both));
  return reinterpret_cast<Vec<L>>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                   reinterpret_cast<__m512bh>(_mm512_set1_epi32(both)),
                                                   reinterpret_cast<__m512bh>(_mm512_loadu_si512(b))));
}
#else
typedef float Element;
typedef float Lane;
constexpr int64_t kStep = 1;

template <int L>
OLIFT_INLINE Vec<L> multiply_add(Vec<L> sum, const Element* a, const Element* b) {
  return sum + *a * load<L>(b);
}
#endif

constexpr int64_t whole_steps(int64_t count) { return round_up(count, kStep); }

// Calls tile(first row, its rows as a constant) for whole tiles of `count` rows; the last tile may be a third of one or
// two thirds. So the 26 tokens of a frame take the time of 28 rows, not of 36.
template <class Do>
OLIFT_INLINE void for_tiles(int64_t count, const Do& tile) {
  int64_t row = 0;
  for (; count - row > 2 * kThird; row += kTileRows) tile(row, std::integral_constant<int, kTileRows>{});
  if (count - row > kThird) {
    tile(row, std::integral_constant<int, 2 * kThird>{});
  } else if (count > row) {
    tile(row, std::integral_constant<int, kThird>{});
  }
}

// sums += R rows of `a` · a panel of a weight (pack_weight).
template <int L, int R>
OLIFT_INLINE void multiply_panel(const Element* a, int64_t a_row, const Element* panel, int64_t in,
                                 Vec<L> (&sums)[R][2]) {
  for (int64_t k = 0; k < in; k += kStep, panel += 2 * L * kStep) {
#pragma GCC unroll 12
    for (int i = 0; i < R; ++i) {
      sums[i][0] = multiply_add<L>(sums[i][0], a + i * a_row + k, panel);
      sums[i][1] = multiply_add<L>(sums[i][1], a + i * a_row + k, panel + L * kStep);
    }
  }
}

// sums += aᵀ · b over `steps` rows of lanes: of each a, kTileRows columns, of each b two vectors.
template <int L>
OLIFT_INLINE void multiply_lanes(const Lane* a, int64_t a_step, const Lane* b, int64_t b_step, int64_t steps,
                                 Tile<L>& sums) {
  for (int64_t k = 0; k < steps; ++k, a += a_step, b += b_step) {
#pragma GCC unroll 12
    for (int i = 0; i < kTileRows; ++i) {
      sums[i][0] = multiply_add<L>(sums[i][0], a + i, b);
      sums[i][1] = multiply_add<L>(sums[i][1], a + i, b + L);
    }
  }
}

}  // namespace
