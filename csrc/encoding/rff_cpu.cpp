// Random Fourier features and their linear layer, forward, on the CPU; compiled once for each instruction set.
//
// Visible points are taken a small block at a time: the block's features go to a buffer that stays in the L1 cache, and
// from there through the weight, which is packed once a call so that a step of the product reads it in order. What is
// left is the matrix product's own arithmetic, 2·D·2F operations a point.

#include "encoding/rff_rows.h"

#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::RffForward;

constexpr int64_t kRows = 24;  // with 128 features they take 12 KB, and a panel of the weight 8 KB

template <int L>
void encode(const RffForward& p) {
  const Frequencies<L> freqs(p.freqs, p.shape);
  const int64_t count = freqs.count;
  olift::parallel_for(p.shape.points, 8192 / count + 1, p.threads, [&](int64_t begin, int64_t end) {
    Floats turns(freqs.padded);
    for (int64_t n = begin; n < end; ++n) {
      float* to = p.out + n * 2 * count;
      if (p.visible && !p.visible[n]) {
        std::fill(to, to + 2 * count, 0.0f);
        continue;
      }
      reduced_turns<L>(freqs, p.x + n * p.shape.coordinates, turns.at(0));
      for (int64_t f = 0; f < count; f += L) {
        Vec<L> cosine, sine;
        cos_sin_turns<L>(load<L>(turns.at(f)), cosine, sine);
        store_up_to<L>(to + f, cosine, count - f);
        store_up_to<L>(to + count + f, sine, count - f);
      }
    }
  });
}

// The weight transposed: a row for each place in a row of features.
template <int L>
Panels<L> packed_weight(const RffForward& p, const Frequencies<L>& freqs) {
  const int64_t count = freqs.count;
  Panels<L> packed(2 * freqs.padded, p.shape.width);
  for (int64_t d = 0; d < p.shape.width; ++d) {
    const float* row = p.weight + d * 2 * count;
    float *cosines = &packed.element(0, d), *sines = &packed.element(freqs.padded, d);
    for (int64_t f = 0; f < count; ++f) {
      cosines[f * 2 * L] = row[f];
      sines[f * 2 * L] = row[count + f];
    }
  }
  return packed;
}

template <int L>
void project(const RffForward& p) {
  const int64_t width = p.shape.width;
  const Frequencies<L> freqs(p.freqs, p.shape);
  const Panels<L> weight = packed_weight<L>(p, freqs);
  const int64_t stride = row_stride(weight.rows());
  Floats bias(weight.count() * 2 * L);
  if (p.bias) std::copy_n(static_cast<const float*>(p.bias), width, bias.at(0));

  const int64_t grain = (1 << 20) / (width * weight.rows()) + 1;
  olift::parallel_for(p.shape.points, grain, p.threads, [&](int64_t begin, int64_t end) {
    Floats turns(freqs.padded), features(kRows * stride);
    int64_t points[kRows];
    int64_t held = 0;
    for (int64_t n = begin; n < end; ++n) {
      if (p.visible && !p.visible[n]) {
        float* to = p.out + n * width;
        if (p.token) std::copy_n(static_cast<const float*>(p.token), width, to);
        else std::fill(to, to + width, 0.0f);
      } else {
        features_of<L>(freqs, p.x + n * p.shape.coordinates, turns.at(0), features.at(held * stride));
        points[held++] = n;
      }
      if (held < kRows && n + 1 < end) continue;
      for (int64_t j = 0; j < weight.count(); ++j) {
        const int64_t first = j * 2 * L;
        for_tiles(held, [&](int64_t row, auto rows) OLIFT_INLINED {
          Vec<L> sums[rows][2];
          for (auto& sum : sums) sum[0] = load<L>(bias.at(first)), sum[1] = load<L>(bias.at(first + L));
          multiply<L>(features.at(row * stride), stride, 1, weight.panel(j), 2 * L, weight.rows(), sums);
          for (int i = 0; i < rows && row + i < held; ++i) {
            float* to = p.out + points[row + i] * width + first;
            store_up_to<L>(to, sums[i][0], width - first);
            store_up_to<L>(to + L, sums[i][1], width - first - L);
          }
        });
      }
      held = 0;
    }
  });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(rff_forward)(const RffForward& p) {
  if (p.weight) project<kNativeLanes>(p);
  else encode<kNativeLanes>(p);
}

}  // namespace olift
