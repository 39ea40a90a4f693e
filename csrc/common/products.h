// Products of a few rows with a matrix, in tiles that stay in registers, and the memory that they read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/simd.h"

namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTileRows = 12;  // of 32 registers, 24 hold sums
#else
constexpr int kTileRows = 6;  // of 16 registers, 12 hold sums
#endif

// Zeros that start at a cache line: a vector that straddles two costs two loads.
struct alignas(64) Line {
  float values[16];
};

class Floats {
 public:
  explicit Floats(int64_t count) : lines_(static_cast<size_t>(count + 15) / 16 + 1, Line{}) {}
  float* at(int64_t i) { return lines_[0].values + i; }
  const float* at(int64_t i) const { return lines_[0].values + i; }

 private:
  std::vector<Line> lines_;
};

constexpr int64_t round_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

// Rows a power of two apart would share a few cache sets: an odd number of lines is added.
constexpr int64_t row_stride(int64_t width) { return round_up(width, 32) + 16; }

// A tile of a matrix product: sums[i][·] += a[i · a_row + k · a_step] · b[k · b_step …] over k, two vectors wide.
template <int L>
using Tile = Vec<L>[kTileRows][2];

template <int L>
OLIFT_INLINE void multiply(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step, int64_t steps,
                           Tile<L>& sums) {
  for (int64_t k = 0; k < steps; ++k) {
    const Vec<L> b0 = load<L>(b + k * b_step), b1 = load<L>(b + k * b_step + L);
#pragma GCC unroll 12
    for (int i = 0; i < kTileRows; ++i) {
      const float factor = a[i * a_row + k * a_step];
      sums[i][0] += factor * b0;
      sums[i][1] += factor * b1;
    }
  }
}

// A matrix in panels two vectors wide: panel j holds columns 2L·j …, `rows` rows of 2L floats, zeros beyond the last column.
template <int L>
class Panels {
 public:
  Panels(int64_t rows, int64_t columns) : rows_(rows), count_((columns + 2 * L - 1) / (2 * L)), held_(count_ * 2 * L * rows) {}
  float& element(int64_t row, int64_t column) { return *held_.at(((column / (2 * L)) * rows_ + row) * 2 * L + column % (2 * L)); }
  const float* panel(int64_t j) const { return held_.at(j * rows_ * 2 * L); }
  int64_t count() const { return count_; }
  int64_t rows() const { return rows_; }

 private:
  int64_t rows_, count_;
  Floats held_;
};

template <int L>
OLIFT_INLINE void store_up_to(float* to, Vec<L> v, int64_t count) {
  if (count >= L) store<L>(to, v);
  else if (count > 0) store_part<L>(to, v, static_cast<int>(count));
}

}  // namespace
