// What the forward and the backward of banded attention share: a block of rows, copied next to each other.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "attention/banded.h"
#include "common/simd.h"

namespace {

using olift::Strides4;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kBlock = 64;

template <int N>
using Constant = std::integral_constant<int, N>;

// Zeros that start at a cache line: a vector that straddles two costs two loads.
class Floats {
 public:
  explicit Floats(int64_t count) : held_(static_cast<size_t>(count) + kLine) {
    const auto address = reinterpret_cast<uintptr_t>(held_.data());
    first_ = held_.data() + (kLine * sizeof(float) - address % (kLine * sizeof(float))) / sizeof(float) % kLine;
  }
  float* at(int64_t i) { return first_ + i; }
  const float* at(int64_t i) const { return first_ + i; }

 private:
  static constexpr size_t kLine = 64 / sizeof(float);
  std::vector<float> held_;
  float* first_;
};

struct Block {
  int64_t batch, joint, first, length;  // `length` frames of the sequence exist
};

const float* row_of(const float* data, const Strides4& s, const Block& block, int64_t head, int64_t frame) {
  return data + block.batch * s.batch + frame * s.frame + block.joint * s.joint + head * s.head;
}

// V whole vectors (0: as many as it takes) make up a padded row.
template <int L, int V>
OLIFT_INLINE void copy_row(float* to, const float* from, int64_t width, float factor, int64_t ahead) {
  const int64_t vectors = V > 0 ? V : (width + L - 1) / L;
  __builtin_prefetch(from + ahead);
  __builtin_prefetch(from + ahead + width - 1);
  for (int64_t c = 0; c < vectors; ++c) {
    const int64_t rest = width - c * L;
    store<L>(to + c * L, factor * (rest >= L ? load<L>(from + c * L) : load_part<L>(from + c * L, static_cast<int>(rest))));
  }
}

template <int L, int V>
OLIFT_INLINE Vec<L> products(const float* a, const float* b, int64_t vectors) {
  Vec<L> sum = load<L>(a) * load<L>(b);
#pragma GCC unroll 8
  for (int64_t c = 1; c < (V > 0 ? V : vectors); ++c) sum += load<L>(a + c * L) * load<L>(b + c * L);
  return sum;
}

// Marks which of the frames first … first + count - 1 hold a key; they are the same for every head.
template <class Arguments>
void find_keys(const Arguments& p, const Block& block, int64_t first, int64_t count, int32_t* exists) {
  const uint8_t* visible =
      p.visible ? p.visible + block.batch * p.visible_strides[0] + block.joint * p.visible_strides[2] : nullptr;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t frame = first + i;
    const bool holds = frame >= 0 && frame < block.length && (!visible || visible[frame * p.visible_strides[1]]);
    exists[i] = holds ? -1 : 0;
  }
}

// Calls run(lanes, vectors a row) with the compile-time numbers that suit the head width; 0 vectors: known when run.
template <class Run>
OLIFT_INLINE void for_width(int64_t width, const Run& run) {
  constexpr int L = kNativeLanes;
  constexpr int Half = L > 8 ? L / 2 : L;
  if (width <= Half) return run(Constant<Half>{}, Constant<1>{});
  switch ((width + L - 1) / L) {
    case 1: return run(Constant<L>{}, Constant<1>{});
    case 2: return run(Constant<L>{}, Constant<2>{});
    case 3: return run(Constant<L>{}, Constant<3>{});
    case 4: return run(Constant<L>{}, Constant<4>{});
    case 8: return run(Constant<L>{}, Constant<8>{});
    default: return run(Constant<L>{}, Constant<0>{});
  }
}

}  // namespace
