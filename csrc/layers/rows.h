// What is done to a few rows of tokens at a time: norm, linear layer, GELU.
#pragma once

#include <cmath>

#include "common/products.h"
#include "layers/layers.h"

namespace {

using olift::Linear;
using olift::Norm;

constexpr int64_t kRows = 4 * kTileRows;

// erf(x), absolute error under 2e-7: an odd rational function of x in [-4, 4], beyond which it is ±1 in float.
template <int L>
OLIFT_INLINE Vec<L> error_function(Vec<L> x) {
  x = x > 4.0f ? splat<L>(4.0f) : x;
  x = x < -4.0f ? splat<L>(-4.0f) : x;
  const Vec<L> z = x * x;
  Vec<L> p = splat<L>(-2.72614225801306e-10f);
  p = p * z + 2.77068142495902e-08f;
  p = p * z - 2.10102402082508e-06f;
  p = p * z - 5.69250639462346e-05f;
  p = p * z - 7.34990630326855e-04f;
  p = p * z - 2.95459980854025e-03f;
  p = p * z - 1.60960333262415e-02f;
  Vec<L> q = splat<L>(-1.45660718464996e-05f);
  q = q * z - 2.13374055278905e-04f;
  q = q * z - 1.68282697438203e-03f;
  q = q * z - 7.37332916720468e-03f;
  q = q * z - 1.42647390514189e-02f;
  return x * p / q;
}

// Φ(x) of the normal distribution.
template <int L>
OLIFT_INLINE Vec<L> normal_below(Vec<L> x) {
  return 0.5f * (1.0f + error_function<L>(x * 0.70710678f));
}

template <int L>
OLIFT_INLINE Vec<L> gelu(Vec<L> x) {
  return x * normal_below<L>(x);
}

template <int L>
OLIFT_INLINE IntVec<L> first_lanes(int64_t count) {
  IntVec<L> mask;
  for (int lane = 0; lane < L; ++lane) mask[lane] = lane < count ? -1 : 0;
  return mask;
}

struct Moments {
  float mean, scale;
};

// A row's mean, and 1 / sqrt(variance + epsilon).
template <int L>
OLIFT_INLINE Moments moments(const float* row, int64_t width, float epsilon) {
  Vec<L> total{}, squares{};
  for (int64_t d = 0; d < width; d += L) total += load_up_to<L>(row + d, width - d);
  const float mean = sum_of_lanes<L>(total) / static_cast<float>(width);
  for (int64_t d = 0; d < width; d += L) {
    Vec<L> off = load_up_to<L>(row + d, width - d) - mean;
    if (width - d < L) off = first_lanes<L>(width - d) ? off : Vec<L>{};
    squares += off * off;
  }
  return {mean, 1.0f / std::sqrt(sum_of_lanes<L>(squares) / static_cast<float>(width) + epsilon)};
}

// `to` = (x - mean(x)) / sqrt(var(x) + epsilon) · weight + bias, for each of `count` rows.
template <int L, class To>
OLIFT_APART void normalize(const Norm& norm, const float* from, int64_t from_stride, int64_t count, int64_t width,
                           To* to, int64_t to_stride) {
  for (int64_t row = 0; row < count; ++row, from += from_stride, to += to_stride) {
    const auto [mean, scale] = moments<L>(from, width, norm.epsilon);
    for (int64_t d = 0; d < width; d += L) {
      const int64_t rest = width - d;
      const Vec<L> off = (load_up_to<L>(from + d, rest) - mean) * scale;
      store_up_to<L>(to + d, off * load_up_to<L>(norm.weight + d, rest) + load_up_to<L>(norm.bias + d, rest), rest);
    }
  }
}

// finish(row, column, vector, how many of its lanes count) gets from · layer + bias of each of `count` rows. Rows up to
// the end of the last tile are read, too.
template <int L, class Finish>
OLIFT_INLINE void apply(const Linear& layer, const Element* from, int64_t stride, int64_t count, const Finish& finish) {
  for (int64_t first = 0; first < layer.out; first += 2 * L) {
    const Element* panel = static_cast<const Element*>(layer.weight) + first * whole_steps(layer.in);
    const int64_t rest = layer.out - first;
    const Vec<L> b0 = load_up_to<L>(layer.bias + first, rest);
    const Vec<L> b1 = rest > L ? load_up_to<L>(layer.bias + first + L, rest - L) : Vec<L>{};
    for_tiles(count, [&](int64_t row, auto rows) OLIFT_INLINED {
      Vec<L> sums[rows][2];
      for (auto& sum : sums) sum[0] = b0, sum[1] = b1;
      multiply_panel<L>(from + row * stride, stride, panel, layer.in, sums);
      for (int i = 0; i < rows && row + i < count; ++i) {
        finish(row + i, first, sums[i][0], rest);
        if (rest > L) finish(row + i, first + L, sums[i][1], rest - L);
      }
    });
  }
}

// Rows of elements that layers are applied to.
template <int L>
class ElementRows {
 public:
  typedef Element Value;
  ElementRows(int64_t rows, int64_t width) : stride_(row_stride(width)), values_(rows * stride_) {}
  Value* row(int64_t i) { return values_.at(i * stride_); }
  int64_t stride() const { return stride_; }
  void written(int64_t, int64_t) {}

  template <class Finish>
  void apply(const Linear& layer, int64_t count, const Finish& finish) const {
    ::apply<L>(layer, values_.at(0), stride_, count, finish);
  }

 private:
  int64_t stride_;
  Lines<Value> values_;
};

// Packs a weight as `apply` reads it, unless there is no room for it, and returns how many elements that takes.
template <int L>
int64_t pack(const olift::Packing& p) {
  constexpr int wide = 2 * L;
  const int64_t in = whole_steps(p.in), size = round_up(p.out, wide) * in;
  if (p.packed) {
    Element* packed = static_cast<Element*>(p.packed);
    std::fill(packed, packed + size, Element{});
    for (int64_t d = 0; d < p.out; ++d) {
      Element* to = packed + d / wide * wide * in + d % wide * kStep;
      for (int64_t k = 0; k < p.in; ++k) {
        store_up_to<L>(to + k / kStep * kStep * wide + k % kStep, splat<L>(p.weight[d * p.in + k]), 1);
      }
    }
  }
  return size;
}

// A layer in panels, with a bias; or, for the gradient of what goes into it, its transpose without one.
class Packed {
 public:
  explicit Packed(const olift::Layer& layer, bool transposed = false)
      : linear{nullptr, nullptr, transposed ? layer.out : layer.in, transposed ? layer.in : layer.out},
        weight_(layer.weight ? round_up(linear.out, 2 * kNativeLanes) * whole_steps(linear.in) : 0),
        bias_(layer.weight ? linear.out : 0) {
    if (!layer.weight) return;
    const float* weight = layer.weight;
    Floats turned(transposed ? layer.in * layer.out : 0);
    if (transposed) {
      for (int64_t row = 0; row < layer.out; ++row) {
        for (int64_t column = 0; column < layer.in; ++column) {
          *turned.at(column * layer.out + row) = layer.weight[row * layer.in + column];
        }
      }
      weight = turned.at(0);
    } else if (layer.bias) {
      std::copy(layer.bias, layer.bias + layer.out, bias_.at(0));
    }
    pack<kNativeLanes>({weight, linear.in, linear.out, weight_.at(0)});
    linear.weight = weight_.at(0);
    linear.bias = bias_.at(0);
  }
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;
  Linear linear;

 private:
  Lines<Element> weight_;
  Floats bias_;
};

}  // namespace
