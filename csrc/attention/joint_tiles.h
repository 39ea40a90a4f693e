// Shared by the forward and the backward of joint attention: contiguous copies of the rows of one frame and head, masks
// as bytes, and products of small matrices with their sums in registers.
//
// All products have the form out[r, c] = Σ_n a[r, n] b[n, c]. a is read element by element, by rows or by columns; b is
// read in whole vectors along c. A tile is up to 6 rows by 2 vectors. Its 12 sums are enough to keep two multiply-add
// units busy.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "attention/joint.h"
#include "common/bfloat16.h"
#include "common/simd.h"

namespace {

using olift::Joint;
using olift::kBatch, olift::kFrame, olift::kHead, olift::kJoint;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kLog2E = 1.44269504f;  // scores are to base 2, because exp2 takes fewer steps than exp
constexpr int64_t kTileRows = 6;

template <int N>
using Constant = std::integral_constant<int, N>;

template <int L>
using ByteVec = typename VecOf<int8_t, L>::Type;

// One stage of a transpose: of each run of 2 · Half lanes, exchanges the upper half in a with the lower half in b.
template <int L, int Half, int... I>
OLIFT_INLINE void swap_halves(Vec<L>& a, Vec<L>& b, std::integer_sequence<int, I...>) {
#if defined(__clang__)
  const Vec<L> first = __builtin_shufflevector(a, b, ((I & Half) ? L + I - Half : I)...);
  const Vec<L> second = __builtin_shufflevector(a, b, ((I & Half) ? L + I : I + Half)...);
#else
  const Vec<L> first = __builtin_shuffle(a, b, IntVec<L>{((I & Half) ? L + I - Half : I)...});
  const Vec<L> second = __builtin_shuffle(a, b, IntVec<L>{((I & Half) ? L + I : I + Half)...});
#endif
  a = first;
  b = second;
}

template <int L, int Half = 1>
OLIFT_INLINE void transpose(Vec<L> (&rows)[L]) {
  if constexpr (Half < L) {
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) {
      if ((i & Half) == 0) swap_halves<L, Half>(rows[i], rows[i + Half], std::make_integer_sequence<int, L>{});
    }
    transpose<L, 2 * Half>(rows);
  }
}

// Transposes `rows` (count, width) to `to` (width, count); both are multiples of L.
template <int L>
OLIFT_INLINE void transpose_rows(const float* rows, int64_t count, int64_t width, float* to) {
  for (int64_t i = 0; i < count; i += L) {
    for (int64_t c = 0; c < width; c += L) {
      Vec<L> block[L];
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) block[r] = load<L>(rows + (i + r) * width + c);
      transpose<L>(block);
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) store<L>(to + (c + r) * count + i, block[r]);
    }
  }
}

template <int L, int R, int C, class Store>
OLIFT_INLINE void multiply_tile(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step,
                                int64_t count, const Store& store) {
  Vec<L> sums[R][C] = {};
  for (int64_t n = 0; n < count; ++n) {
    Vec<L> columns[C];
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) columns[c] = load<L>(b + n * b_step + c * L);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const float x = a[r * a_row + n * a_step];
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) sums[r][c] += x * columns[c];
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int c = 0; c < C; ++c) store(r, c * L, sums[r][c]);
  }
}

// Computes R rows of the product, and calls store(r, c, vector) for its columns c … c + L - 1, for each such c below
// `columns`.
template <int L, int R, class Store>
OLIFT_INLINE void multiply(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step,
                           int64_t columns, int64_t count, const Store& store) {
  int64_t first = 0;
  const auto shifted = [&](int r, int64_t c, Vec<L> x) { store(r, first + c, x); };
  for (; first + 2 * L <= columns; first += 2 * L) {
    multiply_tile<L, R, 2>(a, a_row, a_step, b + first, b_step, count, shifted);
  }
  if (first < columns) multiply_tile<L, R, 1>(a, a_row, a_step, b + first, b_step, count, shifted);
}

// Cuts `count` rows into as few tiles as possible, of at most 6 rows and nearly equal sizes, and calls
// run(size, first row) for each.
template <class Run>
OLIFT_INLINE void for_tiles(int64_t count, const Run& run) {
  const int64_t tiles = (count + kTileRows - 1) / kTileRows;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t first = count * tile / tiles;
    switch (count * (tile + 1) / tiles - first) {
      case 1: run(Constant<1>{}, first); break;
      case 2: run(Constant<2>{}, first); break;
      case 3: run(Constant<3>{}, first); break;
      case 4: run(Constant<4>{}, first); break;
      case 5: run(Constant<5>{}, first); break;
      default: run(Constant<6>{}, first);
    }
  }
}

// Floats that start at a cache line, because a vector across two cache lines costs two loads.
class Floats {
 public:
  explicit Floats(int64_t count) : held_(static_cast<size_t>(count) + kLine) {
    const auto address = reinterpret_cast<uintptr_t>(held_.data());
    first_ = held_.data() + (kLine * sizeof(float) - address % (kLine * sizeof(float))) / sizeof(float) % kLine;
  }
  float* at(int64_t i) { return first_ + i; }

 private:
  static constexpr size_t kLine = 64 / sizeof(float);
  std::vector<float> held_;
  float* first_;
};

// The graph of a sample, a byte for each pair, with rows padded to whole vectors: -1 if the query may attend the key,
// else 0. Without a graph there is one row, for all queries. Also, for the current frame, which keys any query attends.
class Masks {
 public:
  Masks(const Joint& args, int64_t padded)
      : args_(args),
        padded_(padded),
        rows_(args.graph ? args.shape.joints : 1),
        graph_(static_cast<size_t>((args.graph ? args.shape.heads : 1) * rows_ * padded)),
        shown_(static_cast<size_t>((args.graph ? args.shape.heads : 1) * padded)),
        keys_(static_cast<size_t>(padded)) {
    if (!args.graph) {
      std::fill(graph_.begin(), graph_.begin() + args.shape.joints, int8_t{-1});
      shown_ = graph_;
    }
  }

  void move_to(int64_t batch, int64_t frame, int64_t head) {
    head_ = args_.graph ? head : 0;
    if (args_.graph && (batch_ < 0 || (batch != batch_ && args_.graph.strides[0] != 0))) read_graph(batch);
    batch_ = batch;
    const int8_t* shown = &shown_[static_cast<size_t>(head_ * padded_)];
    std::copy(shown, shown + padded_, keys_.begin());
    if (!args_.visible) return;
    const bool* visible = args_.visible + batch * args_.visible.strides[kBatch] + frame * args_.visible.strides[kFrame];
    for (int64_t j = 0; j < args_.shape.joints; ++j) {
      if (!visible[j * args_.visible.strides[kJoint]]) keys_[static_cast<size_t>(j)] = 0;
    }
  }

  bool reads(int64_t key) const { return keys_[static_cast<size_t>(key)] != 0; }

  // Which of the keys first … first + L - 1 the query may attend: -1 or 0.
  template <int L>
  __attribute__((always_inline)) IntVec<L> sees(int64_t query, int64_t first) const {
    const int64_t row = rows_ == 1 ? head_ : head_ * rows_ + query;
    ByteVec<L> graph, keys;
    std::memcpy(&graph, &graph_[static_cast<size_t>(row * padded_ + first)], sizeof(graph));
    std::memcpy(&keys, &keys_[static_cast<size_t>(first)], sizeof(keys));
    return __builtin_convertvector(graph & keys, IntVec<L>);
  }

 private:
  void read_graph(int64_t batch) {
    const int64_t joints = args_.shape.joints;
    std::fill(shown_.begin(), shown_.end(), int8_t{0});
    for (int64_t head = 0; head < args_.shape.heads; ++head) {
      int8_t* shown = &shown_[static_cast<size_t>(head * padded_)];
      for (int64_t i = 0; i < joints; ++i) {
        const bool* from =
            args_.graph + batch * args_.graph.strides[0] + head * args_.graph.strides[1] + i * args_.graph.strides[2];
        int8_t* to = &graph_[static_cast<size_t>((head * joints + i) * padded_)];
        for (int64_t j = 0; j < joints; ++j) {
          to[j] = from[j * args_.graph.strides[3]] ? -1 : 0;
          shown[j] = static_cast<int8_t>(shown[j] | to[j]);
        }
      }
    }
  }

  const Joint& args_;
  int64_t padded_, rows_, head_ = 0, batch_ = -1;
  std::vector<int8_t> graph_, shown_, keys_;
};

struct Place {
  int64_t batch, frame, head;
};

// The row of joint 0 in a frame and head.
template <class Element>
Element* rows_at(const olift::Tensor& x, const Place& place) {
  return static_cast<Element*>(x.data) + place.batch * x.strides[kBatch] + place.frame * x.strides[kFrame] +
         place.head * x.strides[kHead];
}

// Copies a row, times `factor`, into whole vectors, and prefetches the row that is `ahead` elements further on.
template <int L, class Element>
OLIFT_INLINE void copy_row(float* to, const Element* from, int64_t width, float factor, int64_t ahead) {
  __builtin_prefetch(from + ahead);
  __builtin_prefetch(from + ahead + width - 1);
  for (int64_t c = 0; c < width; c += L) store<L>(to + c, factor * load_up_to<L>(from + c, width - c));
}

}  // namespace
