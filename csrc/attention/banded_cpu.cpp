// Banded attention, forward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// A block is some 64 consecutive queries of one (joint, head) with the keys in their reach. Its rows are first copied next
// to each other, padded to whole vectors, with zeros for keys that are hidden or do not exist: frames lie far apart (often
// a power of two apart, in the same few cache sets), NaN stays out, and the ends of the sequence are no special case.
// A tile is as many of its queries as a vector has lanes. The scores of one frame offset are computed for the whole tile, a
// dot product a lane, so that the softmax over the offsets runs across lanes with no shuffles.

#include "attention/banded_rows.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::BandedForward;

// What a thread needs besides the inputs.
template <int L>
struct Scratch {
  explicit Scratch(const BandedForward& p)
      : left(std::min(p.left, p.shape.frames - 1)),
        offsets(left + std::min(p.right, p.shape.frames - 1) + 1),
        queries(std::min(kBlock, (p.shape.frames + L - 1) / L * L)),
        keys(queries + offsets - 1),
        stride((p.shape.width + L - 1) / L * L),
        q(queries * stride),
        k(keys * stride),
        v(keys * stride),
        scores(offsets * L),
        exists(static_cast<size_t>(keys)) {}
  int64_t left, offsets, queries, keys, stride;
  Floats q, k, v, scores;
  std::vector<int32_t> exists;
};

template <int L, int V>
OLIFT_INLINE void gather_block(const BandedForward& p, const Block& block, int64_t head, Scratch<L>& s) {
  const int64_t queries = std::max<int64_t>(0, std::min(s.queries, block.length - block.first));
  for (int64_t i = 0; i < queries; ++i) {
    copy_row<L, V>(s.q.at(i * s.stride), row_of(p.q, p.q_strides, block, head, block.first + i),
                   p.shape.width, p.scale, p.q_strides.head);
  }
  std::fill(s.q.at(queries * s.stride), s.q.at(s.queries * s.stride), 0.0f);
  for (int64_t i = 0; i < s.keys; ++i) {
    float* k = s.k.at(i * s.stride);
    float* v = s.v.at(i * s.stride);
    if (s.exists[static_cast<size_t>(i)]) {
      const int64_t frame = block.first - s.left + i;
      copy_row<L, V>(k, row_of(p.k, p.k_strides, block, head, frame), p.shape.width, 1.0f, p.k_strides.head);
      copy_row<L, V>(v, row_of(p.v, p.v_strides, block, head, frame), p.shape.width, 1.0f, p.v_strides.head);
    } else {
      std::fill(k, k + s.stride, 0.0f);
      std::fill(v, v + s.stride, 0.0f);
    }
  }
}

// Σ over the offsets of weight · value, for one query, `Columns` vectors of it.
template <int L, int Columns>
OLIFT_INLINE void weigh(const Scratch<L>& s, const float* weights, const float* values, float norm, Vec<L> (&sums)[Columns]) {
  for (int c = 0; c < Columns; ++c) sums[c] = Vec<L>{};
  for (int64_t o = 0; o < s.offsets; ++o) {
    const float weight = weights[o * L];
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) sums[c] += weight * load<L>(values + o * s.stride + c * L);
  }
  for (int c = 0; c < Columns; ++c) sums[c] *= norm;
}

template <int L, int V>
OLIFT_INLINE void tile_forward(const BandedForward& p, const Block& block, int64_t head, int64_t start, Scratch<L>& s) {
  const int64_t vectors = s.stride / L;
  const int64_t stride = V > 0 ? V * L : s.stride;
  const float* q = s.q.at(start * stride);
  const float* k = s.k.at(start * stride);
  const float* v = s.v.at(start * stride);
  const float* bias = p.bias ? p.bias + head * (p.left + p.right + 1) + (p.left - s.left) : nullptr;

  Vec<L> highest = splat<L>(-kInf);
  IntVec<L> any{};
  for (int64_t o = 0; o < s.offsets; ++o) {
    const float* keys = k + o * stride;
    const Vec<L> dots = sum_rows<L>([&](int i) { return products<L, V>(q + i * stride, keys + i * stride, vectors); });
    IntVec<L> exists;
    std::memcpy(&exists, &s.exists[static_cast<size_t>(start + o)], sizeof(exists));
    const Vec<L> score = exists ? dots + (bias ? bias[o] : 0.0f) : splat<L>(-kInf);
    store<L>(s.scores.at(o * L), score);
    highest = larger<L>(score, highest);
    any |= exists;
  }

  const Vec<L> base = any ? highest : Vec<L>{};
  Vec<L> total{};
  for (int64_t o = 0; o < s.offsets; ++o) {
    float* score = s.scores.at(o * L);
    IntVec<L> exists;
    std::memcpy(&exists, &s.exists[static_cast<size_t>(start + o)], sizeof(exists));
    const Vec<L> weight = exists ? exp_nonpositive<L>(load<L>(score) - base) : Vec<L>{};
    store<L>(score, weight);
    total += weight;
  }
  const Vec<L> share = any ? 1.0f / total : Vec<L>{};

  const int64_t first = block.first + start;
  const int64_t stored = std::min<int64_t>(L, p.shape.frames - first);
  for (int64_t i = 0; i < stored; ++i) {
    float* row = const_cast<float*>(row_of(p.out, p.out_strides, block, head, first + i));
    const bool empty = first + i >= block.length || !any[i];
    const float norm = empty ? 0.0f : share[i];
    const float* weights = s.scores.at(i);
    if constexpr (V > 0) {
      Vec<L> sums[V];
      weigh<L, V>(s, weights, v + i * stride, norm, sums);
      for (int c = 0; c < V; ++c) {
        if (c < V - 1 || p.shape.width == stride) store<L>(row + c * L, sums[c]);
        else store_part<L>(row + c * L, sums[c], static_cast<int>(p.shape.width - c * L));
      }
    } else {
      for (int64_t c = 0; c < p.shape.width; c += L) {
        Vec<L> sums[1];
        weigh<L, 1>(s, weights, v + i * stride + c, norm, sums);
        store_part<L>(row + c, sums[0], static_cast<int>(std::min<int64_t>(L, p.shape.width - c)));
      }
    }
    if (p.lse) {
      const int64_t query = (block.batch * p.shape.frames + first + i) * p.shape.joints + block.joint;
      p.lse[query * p.shape.heads + head] = empty ? -kInf : base[i] + std::log(total[i]);
    }
  }
}

template <int L, int V>
void forward(const BandedForward& p) {
  const int64_t frames = p.shape.frames;
  const int64_t blocks = (frames + kBlock - 1) / kBlock;
  const int64_t pairs = std::min(frames, kBlock) * std::min(frames, p.left + p.right + 1);
  const int64_t grain = std::max<int64_t>(1, (1 << 18) / (pairs * p.shape.heads * p.shape.width));
  olift::parallel_for(p.shape.batch * blocks * p.shape.joints, grain, p.threads, [&](int64_t begin, int64_t end) {
    Scratch<L> scratch(p);
    for (int64_t item = begin; item < end; ++item) {
      Block block;
      block.joint = item % p.shape.joints;
      block.first = item / p.shape.joints % blocks * kBlock;
      block.batch = item / p.shape.joints / blocks;
      block.length = p.lengths ? std::min(frames, p.lengths[block.batch]) : frames;
      find_keys(p, block, block.first - scratch.left, scratch.keys, scratch.exists.data());
      for (int64_t head = 0; head < p.shape.heads; ++head) {
        gather_block<L, V>(p, block, head, scratch);
        for (int64_t start = 0; start < scratch.queries && block.first + start < frames; start += L) {
          tile_forward<L, V>(p, block, head, start, scratch);
        }
      }
    }
  });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(banded_forward)(const BandedForward& p) {
  for_width(p.shape.width, [&](auto lanes, auto vectors) { forward<lanes.value, vectors.value>(p); });
}

}  // namespace olift
