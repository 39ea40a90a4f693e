// What the forward and the backward of joint attention share: rows of one frame and head copied next to each other, masks
// as bytes, and products of small matrices held in registers.
//
// All products have one form: out[r, c] = Σ_n a[r, n] b[n, c], a read element by element (by rows or by columns), b by whole
// vectors along c. A tile of it is up to 6 rows by 2 vectors: 12 sums, enough to keep two multiply-add units busy.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "attention/joint.h"
#include "common/simd.h"

namespace {

using olift::Strides4;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kTileRows = 6;

template <int N>
using Constant = std::integral_constant<int, N>;

struct BFloat16 {
  uint16_t bits;
};

template <int L>
using ByteVec = typename VecOf<int8_t, L>::Type;
template <int L>
using ShortVec = typename VecOf<uint16_t, L>::Type;

template <int L>
OLIFT_INLINE Vec<L> load_row(const float* p, int64_t rest) {
  return rest >= L ? load<L>(p) : load_part<L>(p, static_cast<int>(rest));
}

template <int L>
OLIFT_INLINE Vec<L> load_row(const BFloat16* p, int64_t rest) {
  ShortVec<L> bits{};
  if (rest >= L) std::memcpy(&bits, p, sizeof(bits));
  else std::memcpy(&bits, p, static_cast<size_t>(rest) * sizeof(BFloat16));
  const IntVec<L> wide = __builtin_convertvector(bits, IntVec<L>) << 16;
  Vec<L> x;
  std::memcpy(&x, &wide, sizeof(x));
  return x;
}

template <int L>
OLIFT_INLINE void store_row(float* p, Vec<L> x, int64_t rest) {
  if (rest >= L) store<L>(p, x);
  else store_part<L>(p, x, static_cast<int>(rest));
}

// Rounds to the nearest, to the even one of two; NaN stays NaN.
template <int L>
OLIFT_INLINE void store_row(BFloat16* p, Vec<L> x, int64_t rest) {
  using UnsignedVec = typename VecOf<uint32_t, L>::Type;
  UnsignedVec bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const UnsignedVec rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const UnsignedVec kept = x == x ? rounded : (bits | 0x400000);
  const ShortVec<L> half = __builtin_convertvector(kept >> 16, ShortVec<L>);
  std::memcpy(p, &half, rest >= L ? sizeof(half) : static_cast<size_t>(rest) * sizeof(BFloat16));
}

// One stage of a transpose: swaps the upper half of each 2·Half lanes of a with the lower half of b's.
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

// `rows` (count, width), both multiples of L → `to` (width, count).
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

// Calls store(r, c, vector) for the R rows of the product and each vector of its columns c … c + L - 1 under `columns`.
template <int L, int R, class Store>
OLIFT_INLINE void multiply(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step, int64_t columns,
                           int64_t count, const Store& store) {
  int64_t first = 0;
  const auto shifted = [&](int r, int64_t c, Vec<L> x) { store(r, first + c, x); };
  for (; first + 2 * L <= columns; first += 2 * L) {
    multiply_tile<L, R, 2>(a, a_row, a_step, b + first, b_step, count, shifted);
  }
  if (first < columns) multiply_tile<L, R, 1>(a, a_row, a_step, b + first, b_step, count, shifted);
}

// Cuts `count` rows into as few tiles as 6 rows allow, of sizes as equal as can be, and calls run(size, first row).
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

// Floats that start at a cache line: a vector that straddles two costs two loads.
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

// The graph of a sample, a byte a pair, rows padded to whole vectors: -1 where a query may see a key, else 0. With no graph
// one row stands for all. And, for the frame at hand, which keys are read at all.
template <class Arguments>
class Masks {
 public:
  Masks(const Arguments& p, int64_t padded)
      : p_(p),
        padded_(padded),
        rows_(p.graph ? p.shape.joints : 1),
        graph_(static_cast<size_t>((p.graph ? p.shape.heads : 1) * rows_ * padded)),
        shown_(static_cast<size_t>((p.graph ? p.shape.heads : 1) * padded)),
        keys_(static_cast<size_t>(padded)) {
    if (!p.graph) {
      std::fill(graph_.begin(), graph_.begin() + p.shape.joints, int8_t{-1});
      shown_ = graph_;
    }
  }

  void move_to(int64_t batch, int64_t frame, int64_t head) {
    head_ = p_.graph ? head : 0;
    if (p_.graph && (batch_ < 0 || (batch != batch_ && p_.graph_strides[0] != 0))) read_graph(batch);
    batch_ = batch;
    const int8_t* shown = &shown_[static_cast<size_t>(head_ * padded_)];
    std::copy(shown, shown + padded_, keys_.begin());
    if (!p_.visible) return;
    const uint8_t* visible = p_.visible + batch * p_.visible_strides[0] + frame * p_.visible_strides[1];
    for (int64_t j = 0; j < p_.shape.joints; ++j) {
      if (!visible[j * p_.visible_strides[2]]) keys_[static_cast<size_t>(j)] = 0;
    }
  }

  bool reads(int64_t key) const { return keys_[static_cast<size_t>(key)] != 0; }

  // Which of the keys first … first + L - 1 the query sees.
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
    const int64_t joints = p_.shape.joints;
    std::fill(shown_.begin(), shown_.end(), int8_t{0});
    for (int64_t head = 0; head < p_.shape.heads; ++head) {
      int8_t* shown = &shown_[static_cast<size_t>(head * padded_)];
      for (int64_t i = 0; i < joints; ++i) {
        const uint8_t* from = p_.graph + batch * p_.graph_strides[0] + head * p_.graph_strides[1] + i * p_.graph_strides[2];
        int8_t* to = &graph_[static_cast<size_t>((head * joints + i) * padded_)];
        for (int64_t j = 0; j < joints; ++j) {
          to[j] = from[j * p_.graph_strides[3]] ? -1 : 0;
          shown[j] = static_cast<int8_t>(shown[j] | to[j]);
        }
      }
    }
  }

  const Arguments& p_;
  int64_t padded_, rows_, head_ = 0, batch_ = -1;
  std::vector<int8_t> graph_, shown_, keys_;
};

struct Place {
  int64_t batch, frame, head;
};

template <class Element>
Element* rows_at(Element* data, const Strides4& s, const Place& place) {
  return data + place.batch * s.batch + place.frame * s.frame + place.head * s.head;
}

// Copies a row into whole vectors, times `factor`; the next head's row is asked for meanwhile.
template <int L, class Element>
OLIFT_INLINE void copy_row(float* to, const Element* from, int64_t width, float factor, int64_t ahead) {
  __builtin_prefetch(from + ahead);
  __builtin_prefetch(from + ahead + width - 1);
  for (int64_t c = 0; c < width; c += L) store<L>(to + c, factor * load_row<L>(from + c, width - c));
}

}  // namespace
