// Banded attention, backward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// A block owns some 64 frames of one (joint, head): their grad_q as queries, their grad_k and grad_v as keys. It takes the
// weights of every query that sees one of its keys, so neighbouring blocks do a halo of queries twice and share nothing.
// With s the scores, p = exp(s - lse), dp = grad_out · v and delta = Σ p dp over a query's keys:
//   ds = p (dp - delta),  grad_q = scale Σ ds k,  grad_k = scale Σ ds q,  grad_v = Σ p grad_out,  grad_bias = Σ ds.
// grad_bias is added up in two stages, over runs of blocks that do not depend on the number of threads.

#include <algorithm>
#include <vector>

#include "attention/banded_rows.h"
#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::BandedBackward;

constexpr int64_t kRuns = 64;

// What a thread needs besides the inputs. Queries count from `from`, keys from `from - left`.
template <int L>
struct Scratch {
  explicit Scratch(const BandedBackward& p)
      : left(std::min(p.left, p.shape.frames - 1)),
        right(std::min(p.right, p.shape.frames - 1)),
        offsets(left + right + 1),
        most((std::min(p.shape.frames, kBlock + left + right) + L - 1) / L * L),
        stride((p.shape.width + L - 1) / L * L),
        q(most * stride),
        grad(most * stride),
        k((most + offsets - 1) * stride),
        v((most + offsets - 1) * stride),
        lse(most),
        weights(offsets * most),
        slopes(offsets * most),
        exists(static_cast<size_t>(most + offsets - 1)) {}
  int64_t left, right, offsets, most, stride;
  int64_t from = 0, queries = 0;
  Floats q, grad, k, v, lse;
  Floats weights, slopes;  // p and ds, (offsets, most)
  std::vector<int32_t> exists;
};

template <int L, int V>
OLIFT_INLINE void gather_block(const BandedBackward& p, const Block& block, int64_t head, Scratch<L>& s) {
  const int64_t tiles = (s.queries + L - 1) / L * L;
  for (int64_t i = 0; i < s.queries; ++i) {
    const int64_t frame = s.from + i;
    copy_row<L, V>(s.q.at(i * s.stride), row_of(p.q, p.q_strides, block, head, frame), p.shape.width, p.scale,
                   p.q_strides.head);
    copy_row<L, V>(s.grad.at(i * s.stride), row_of(p.grad_out, p.grad_out_strides, block, head, frame), p.shape.width,
                   1.0f, p.grad_out_strides.head);
    const int64_t query = (block.batch * p.shape.frames + frame) * p.shape.joints + block.joint;
    *s.lse.at(i) = p.lse[query * p.shape.heads + head];
  }
  std::fill(s.q.at(s.queries * s.stride), s.q.at(tiles * s.stride), 0.0f);
  std::fill(s.grad.at(s.queries * s.stride), s.grad.at(tiles * s.stride), 0.0f);
  std::fill(s.lse.at(s.queries), s.lse.at(tiles), kInf);
  for (int64_t i = 0; i < tiles + s.offsets - 1; ++i) {
    if (s.exists[static_cast<size_t>(i)]) {
      const int64_t frame = s.from - s.left + i;
      copy_row<L, V>(s.k.at(i * s.stride), row_of(p.k, p.k_strides, block, head, frame), p.shape.width, 1.0f,
                     p.k_strides.head);
      copy_row<L, V>(s.v.at(i * s.stride), row_of(p.v, p.v_strides, block, head, frame), p.shape.width, 1.0f,
                     p.v_strides.head);
    } else {
      std::fill(s.k.at(i * s.stride), s.k.at((i + 1) * s.stride), 0.0f);
      std::fill(s.v.at(i * s.stride), s.v.at((i + 1) * s.stride), 0.0f);
    }
  }
}

// p and ds of a tile of queries, an offset a row.
template <int L, int V>
OLIFT_INLINE void tile_slopes(const BandedBackward& p, int64_t head, int64_t start, Scratch<L>& s) {
  const int64_t vectors = s.stride / L;
  const int64_t stride = V > 0 ? V * L : s.stride;
  const float* q = s.q.at(start * stride);
  const float* grad = s.grad.at(start * stride);
  const float* bias = p.bias ? p.bias + head * (p.left + p.right + 1) + (p.left - s.left) : nullptr;
  const Vec<L> lse = load<L>(s.lse.at(start));

  Vec<L> delta{};
  for (int64_t o = 0; o < s.offsets; ++o) {
    const float* k = s.k.at((start + o) * stride);
    const float* v = s.v.at((start + o) * stride);
    IntVec<L> exists;
    std::memcpy(&exists, &s.exists[static_cast<size_t>(start + o)], sizeof(exists));
    const Vec<L> dots = sum_rows<L>([&](int i) { return products<L, V>(q + i * stride, k + i * stride, vectors); });
    const Vec<L> weight = exists ? exp_nonpositive<L>(dots + (bias ? bias[o] : 0.0f) - lse) : Vec<L>{};
    const Vec<L> pull = sum_rows<L>([&](int i) { return products<L, V>(grad + i * stride, v + i * stride, vectors); });
    store<L>(s.weights.at(o * s.most + start), weight);
    store<L>(s.slopes.at(o * s.most + start), pull);
    delta += exists ? weight * pull : Vec<L>{};
  }
  for (int64_t o = 0; o < s.offsets; ++o) {
    IntVec<L> exists;
    std::memcpy(&exists, &s.exists[static_cast<size_t>(start + o)], sizeof(exists));
    float* slope = s.slopes.at(o * s.most + start);
    const Vec<L> weight = load<L>(s.weights.at(o * s.most + start));
    store<L>(slope, exists ? weight * (load<L>(slope) - delta) : Vec<L>{});
  }
}

// Σ weights[i · step] · rows[i] over `count` rows, into `to`.
template <int L, int V>
OLIFT_INLINE void weigh_rows(const float* weights, int64_t step, const float* rows, int64_t stride, int64_t count,
                             float factor, int64_t width, float* to) {
  constexpr int Columns = V > 0 ? V : 1;
  for (int64_t first = 0; first < width; first += Columns * L) {
    Vec<L> sums[Columns] = {};
    for (int64_t i = 0; i < count; ++i) {
      const float weight = weights[i * step];
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) sums[c] += weight * load<L>(rows + i * stride + first + c * L);
    }
    for (int c = 0; c < Columns; ++c) {
      const int64_t rest = width - first - c * L;
      if (rest >= L) store<L>(to + first + c * L, sums[c] * factor);
      else store_part<L>(to + first + c * L, sums[c] * factor, static_cast<int>(rest));
    }
  }
}

float* row_to(float* data, const Strides4& strides, const Block& block, int64_t head, int64_t frame) {
  return const_cast<float*>(row_of(data, strides, block, head, frame));
}

template <int L, int V>
OLIFT_INLINE void write_gradients(const BandedBackward& p, const Block& block, int64_t head, const Scratch<L>& s) {
  const int64_t width = p.shape.width;
  const int64_t end = std::min(p.shape.frames, block.first + kBlock);
  for (int64_t frame = block.first; frame < end; ++frame) {
    float* to_q = row_to(p.grad_q, p.grad_q_strides, block, head, frame);
    float* to_k = row_to(p.grad_k, p.grad_k_strides, block, head, frame);
    float* to_v = row_to(p.grad_v, p.grad_v_strides, block, head, frame);
    const int64_t query = frame - s.from;
    if (frame < block.length) {
      weigh_rows<L, V>(s.slopes.at(query), s.most, s.k.at(query * s.stride), s.stride, s.offsets, p.scale, width, to_q);
    } else {
      std::fill(to_q, to_q + width, 0.0f);
    }
    if (frame < block.length && s.exists[static_cast<size_t>(query + s.left)]) {
      // Seen from query t at offset frame - t + left: along the queries, that offset falls by one.
      const int64_t first = std::max<int64_t>(0, query - s.right);
      const int64_t count = std::min(s.queries, query + s.left + 1) - first;
      const int64_t corner = (query - first + s.left) * s.most + first;
      weigh_rows<L, V>(s.slopes.at(corner), 1 - s.most, s.q.at(first * s.stride), s.stride, count, 1.0f, width, to_k);
      weigh_rows<L, V>(s.weights.at(corner), 1 - s.most, s.grad.at(first * s.stride), s.stride, count, 1.0f, width, to_v);
    } else {
      std::fill(to_k, to_k + width, 0.0f);
      std::fill(to_v, to_v + width, 0.0f);
    }
  }
}

// Adds the ds of the block's own queries to `sums`, an offset each.
template <int L>
OLIFT_INLINE void add_bias_slopes(const Block& block, const Scratch<L>& s, double* sums) {
  const int64_t begin = block.first - s.from;
  const int64_t end = std::min(block.first + kBlock, block.length) - s.from;
  for (int64_t o = 0; o < s.offsets; ++o) {
    const float* slopes = s.slopes.at(o * s.most);
    Vec<L> partial{};
    int64_t i = begin;
    for (; i + L <= end; i += L) partial += load<L>(slopes + i);
    if (i < end) partial += load_part<L>(slopes + i, static_cast<int>(end - i));
    float total = 0;
    for (int lane = 0; lane < L; ++lane) total += partial[lane];
    sums[o] += static_cast<double>(total);
  }
}

template <int L, int V>
void backward(const BandedBackward& p) {
  const int64_t frames = p.shape.frames, heads = p.shape.heads;
  const int64_t blocks = (frames + kBlock - 1) / kBlock;
  const int64_t items = p.shape.batch * blocks * p.shape.joints;
  const int64_t runs = std::min(items, kRuns);
  const int64_t left = std::min(p.left, frames - 1);
  const int64_t offsets = left + std::min(p.right, frames - 1) + 1;
  std::vector<double> partial(p.grad_bias ? static_cast<size_t>(runs * heads * offsets) : 0);

  const int64_t pairs = std::min(frames, kBlock) * std::min(frames, offsets);
  const int64_t work = pairs * heads * p.shape.width * (items / runs);
  olift::parallel_for(runs, std::max<int64_t>(1, (1 << 17) / work), p.threads, [&](int64_t first_run, int64_t end_run) {
    Scratch<L> s(p);
    for (int64_t run = first_run; run < end_run; ++run) {
      for (int64_t item = items * run / runs; item < items * (run + 1) / runs; ++item) {
        Block block;
        block.joint = item % p.shape.joints;
        block.first = item / p.shape.joints % blocks * kBlock;
        block.batch = item / p.shape.joints / blocks;
        block.length = p.lengths ? std::min(frames, p.lengths[block.batch]) : frames;
        s.from = std::max<int64_t>(0, block.first - s.right);
        s.queries = std::max<int64_t>(0, std::min(block.length, block.first + kBlock + s.left) - s.from);
        find_keys(p, block, s.from - s.left, static_cast<int64_t>(s.exists.size()), s.exists.data());
        for (int64_t head = 0; head < heads; ++head) {
          gather_block<L, V>(p, block, head, s);
          for (int64_t start = 0; start < s.queries; start += L) tile_slopes<L, V>(p, head, start, s);
          write_gradients<L, V>(p, block, head, s);
          if (p.grad_bias) add_bias_slopes<L>(block, s, &partial[static_cast<size_t>((run * heads + head) * offsets)]);
        }
      }
    }
  });

  if (!p.grad_bias) return;
  const int64_t window = p.left + p.right + 1;
  std::fill(p.grad_bias, p.grad_bias + heads * window, 0.0f);
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t o = 0; o < offsets; ++o) {
      double total = 0;
      for (int64_t run = 0; run < runs; ++run) total += partial[static_cast<size_t>((run * heads + head) * offsets + o)];
      p.grad_bias[head * window + p.left - left + o] = static_cast<float>(total);
    }
  }
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(banded_backward)(const BandedBackward& p) {
  for_width(p.shape.width, [&](auto lanes, auto vectors) { backward<lanes.value, vectors.value>(p); });
}

}  // namespace olift
