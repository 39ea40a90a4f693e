// Banded attention, forward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// A tile is as many consecutive queries of one (joint, head) as a vector has lanes. Scores of one frame offset are
// computed for the whole tile, a dot product a lane, so that the softmax over offsets runs across lanes with no
// shuffles; rows of q, k and v are read where they lie. Rows that do not exist or are hidden are replaced by a row of
// zeros before anything is read, which keeps NaN out and makes the ends of the sequence no special case.

#include "attention/banded.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "common/parallel.h"
#include "common/simd.h"

#define OLIFT_JOIN_(a, b) a##b
#define OLIFT_JOIN(a, b) OLIFT_JOIN_(a, b)

namespace {

using olift::BandedForward;

constexpr float kInf = std::numeric_limits<float>::infinity();

template <int L, int Width>
OLIFT_INLINE Vec<L> products(const float* a, const float* b, int64_t width) {
  const int64_t full = (Width > 0 ? Width : width) / L;
  const int rest = static_cast<int>((Width > 0 ? Width : width) % L);
  Vec<L> sum{};
#pragma GCC unroll 8
  for (int64_t c = 0; c < full; ++c) sum += load<L>(a + c * L) * load<L>(b + c * L);
  if (rest) sum += load_part<L>(a + full * L, rest) * load_part<L>(b + full * L, rest);
  return sum;
}

// What a thread needs besides the inputs: rows by address, and scores that become weights.
template <int L>
struct Scratch {
  explicit Scratch(const BandedForward& p)
      : offsets(std::min(p.left, p.shape.frames - 1) + std::min(p.right, p.shape.frames - 1) + 1),
        keys(offsets + L - 1),
        zeros(new float[static_cast<size_t>(p.shape.width)]()),
        scores(new float[static_cast<size_t>(offsets * L)]),
        exists(new int32_t[static_cast<size_t>(keys)]),
        k_rows(new const float*[static_cast<size_t>(keys)]),
        v_rows(new const float*[static_cast<size_t>(keys)]) {}
  int64_t offsets, keys;
  std::unique_ptr<float[]> zeros, scores;
  std::unique_ptr<int32_t[]> exists;
  std::unique_ptr<const float*[]> k_rows, v_rows;
};

struct Tile {
  int64_t batch, joint, first, length;
};

template <int L, int Width>
OLIFT_INLINE void tile_forward(const BandedForward& p, const Tile& tile, int64_t head, int64_t left, Scratch<L>& s) {
  const int64_t width = Width > 0 ? Width : p.shape.width;
  const int64_t queries = std::max<int64_t>(0, std::min<int64_t>(L, tile.length - tile.first));

  const float* q_rows[L];
  const float* q = p.q + tile.batch * p.q_strides.batch + tile.joint * p.q_strides.joint + head * p.q_strides.head;
  for (int i = 0; i < L; ++i) {
    q_rows[i] = i < queries ? q + (tile.first + i) * p.q_strides.frame : s.zeros.get();
  }
  const float* k = p.k + tile.batch * p.k_strides.batch + tile.joint * p.k_strides.joint + head * p.k_strides.head;
  const float* v = p.v + tile.batch * p.v_strides.batch + tile.joint * p.v_strides.joint + head * p.v_strides.head;
  for (int64_t i = 0; i < s.keys; ++i) {
    const int64_t frame = tile.first - left + i;
    s.k_rows[i] = s.exists[i] ? k + frame * p.k_strides.frame : s.zeros.get();
    s.v_rows[i] = s.exists[i] ? v + frame * p.v_strides.frame : s.zeros.get();
  }

  const float* bias = p.bias ? p.bias + head * (p.left + p.right + 1) + (p.left - left) : nullptr;
  Vec<L> highest = splat<L>(-kInf);
  IntVec<L> any{};
  for (int64_t o = 0; o < s.offsets; ++o) {
    const float* const* keys = s.k_rows.get() + o;
    const Vec<L> dots = sum_rows<L>([&](int i) { return products<L, Width>(q_rows[i], keys[i], width); });
    IntVec<L> exists;
    std::memcpy(&exists, s.exists.get() + o, sizeof(exists));
    const Vec<L> score = exists ? dots * p.scale + (bias ? bias[o] : 0.0f) : splat<L>(-kInf);
    store<L>(s.scores.get() + o * L, score);
    highest = larger<L>(score, highest);
    any |= exists;
  }

  const Vec<L> base = any ? highest : Vec<L>{};
  Vec<L> total{};
  for (int64_t o = 0; o < s.offsets; ++o) {
    IntVec<L> exists;
    std::memcpy(&exists, s.exists.get() + o, sizeof(exists));
    const Vec<L> weight = exists ? exp_nonpositive<L>(load<L>(s.scores.get() + o * L) - base) : Vec<L>{};
    store<L>(s.scores.get() + o * L, weight);
    total += weight;
  }
  const Vec<L> share = any ? 1.0f / total : Vec<L>{};

  float* out = p.out + tile.batch * p.out_strides.batch + tile.joint * p.out_strides.joint + head * p.out_strides.head;
  const int64_t stored = std::min<int64_t>(L, p.shape.frames - tile.first);
  for (int64_t i = 0; i < stored; ++i) {
    float* row = out + (tile.first + i) * p.out_strides.frame;
    const float* weights = s.scores.get() + i;
    const float* const* values = s.v_rows.get() + i;
    const float norm = i < queries ? share[i] : 0.0f;
    const bool empty = i >= queries || !any[i];
    if constexpr (Width > 0 && Width % L == 0) {
      Vec<L> sums[Width / L] = {};
      if (!empty) {
        for (int64_t o = 0; o < s.offsets; ++o) {
          const float weight = weights[o * L];
#pragma GCC unroll 8
          for (int c = 0; c < Width / L; ++c) sums[c] += weight * load<L>(values[o] + c * L);
        }
      }
#pragma GCC unroll 8
      for (int c = 0; c < Width / L; ++c) store<L>(row + c * L, empty ? Vec<L>{} : sums[c] * norm);
    } else {
      for (int64_t c = 0; c < width; c += L) {
        const int part = static_cast<int>(std::min<int64_t>(L, width - c));
        Vec<L> sum{};
        for (int64_t o = 0; o < s.offsets && !empty; ++o) {
          sum += weights[o * L] * (part == L ? load<L>(values[o] + c) : load_part<L>(values[o] + c, part));
        }
        if (part == L) store<L>(row + c, sum * norm);
        else store_part<L>(row + c, sum * norm, part);
      }
    }
    if (p.lse) {
      const int64_t query = (tile.batch * p.shape.frames + tile.first + i) * p.shape.joints + tile.joint;
      p.lse[query * p.shape.heads + head] = empty ? -kInf : base[i] + std::log(total[i]);
    }
  }
}

template <int L, int Width>
void forward(const BandedForward& p) {
  const int64_t frames = p.shape.frames;
  const int64_t tiles = (frames + L - 1) / L;
  const int64_t left = std::min(p.left, frames - 1);
  const int64_t count = p.shape.batch * tiles * p.shape.joints;
  const int64_t work = L * (left + std::min(p.right, frames - 1) + 1) * p.shape.heads * p.shape.width;
  const int64_t grain = std::max<int64_t>(1, (1 << 18) / work);
  olift::parallel_for(count, grain, p.threads, [&](int64_t begin, int64_t end) {
    Scratch<L> scratch(p);
    for (int64_t item = begin; item < end; ++item) {
      Tile tile;
      tile.joint = item % p.shape.joints;
      tile.first = item / p.shape.joints % tiles * L;
      tile.batch = item / p.shape.joints / tiles;
      tile.length = std::min(frames, p.lengths ? p.lengths[tile.batch] : frames);
      const uint8_t* visible = p.visible
          ? p.visible + tile.batch * p.visible_strides[0] + tile.joint * p.visible_strides[2] : nullptr;
      for (int64_t i = 0; i < scratch.keys; ++i) {
        const int64_t frame = tile.first - left + i;
        const bool exists = frame >= 0 && frame < tile.length && (!visible || visible[frame * p.visible_strides[1]]);
        scratch.exists[i] = exists ? -1 : 0;
      }
      for (int64_t head = 0; head < p.shape.heads; ++head) {
        tile_forward<L, Width>(p, tile, head, left, scratch);
      }
    }
  });
}

}  // namespace

namespace olift {

void OLIFT_JOIN(banded_forward_, OLIFT_ISA)(const BandedForward& p) {
  constexpr int L = kNativeLanes;
  switch (p.shape.width) {
    case 8: return forward<(L < 8 ? L : 8), 8>(p);
    case 16: return forward<L, 16>(p);
    case 32: return forward<L, 32>(p);
    case 64: return forward<L, 64>(p);
    default: return forward<L, 0>(p);
  }
}

}  // namespace olift
