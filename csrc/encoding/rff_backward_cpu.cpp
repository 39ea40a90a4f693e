// Random Fourier features and their linear layer, backward, on the CPU; compiled once for each instruction set.
//
// With φ the phase in radians and g the gradient of the features, dout · weight:
//   dφ = -sin φ · g_cos + cos φ · g_sin,  dx = 2π dφ · freqsᵀ,
//   dfreqs = 2π xᵀ · dφ,  dweight = doutᵀ · features.
// Visible points are taken a block at a time, their features computed again. Sums over points are made in two stages,
// over runs of points that do not depend on the number of threads.

#include "encoding/rff_rows.h"

#include "common/isa.h"
#include "common/parallel.h"

namespace {

using olift::RffBackward;

constexpr int64_t kRows = 48;
constexpr int64_t kMostRuns = 64;
constexpr int64_t kRunPoints = 512;
constexpr float kTwoPi = 6.283185307179586f;

// Where a run's sums lie in one row of floats.
struct Sums {
  Sums(const RffBackward& p, int64_t padded, int64_t columns)
      : weight(0),
        bias(weight + (p.dweight ? columns * 2 * padded : 0)),
        token(bias + (p.dbias ? columns : 0)),
        freqs(token + (p.dtoken ? columns : 0)),
        size(round_up(freqs + (p.dfreqs ? p.shape.coordinates * padded : 0), 16)) {}
  int64_t weight, bias, token, freqs, size;
};

// What a thread holds of a block of visible points.
template <int L>
struct Block {
  Block(const Frequencies<L>& freqs, int64_t columns)
      : stride(row_stride(2 * freqs.padded)),
        grad_stride(row_stride(columns)),
        turns(freqs.padded),
        features(kRows * stride),
        slopes(kRows * stride),
        grad(kRows * grad_stride) {}
  int64_t stride, grad_stride;
  int64_t held = 0;
  int64_t points[kRows];
  Floats turns, features;
  Floats slopes;  // of the features
  Floats grad;    // dout, zeros beyond its last column
};

template <int L>
OLIFT_INLINE void add_row(float* to, const float* row, int64_t width) {
  for (int64_t d = 0; d < width; d += L) {
    store<L>(to + d, load<L>(to + d) + load_up_to<L>(row + d, width - d));
  }
}

template <int L>
OLIFT_INLINE void take_point(const RffBackward& p, const Frequencies<L>& freqs, int64_t n, Block<L>& block) {
  const float* from = p.dout + n * p.dout.strides[0];
  features_of<L>(freqs, p.x + n * p.shape.coordinates, block.turns.at(0), block.features.at(block.held * block.stride));
  if (p.weight) {
    std::copy(from, from + p.shape.width, block.grad.at(block.held * block.grad_stride));
  } else {
    float* slopes = block.slopes.at(block.held * block.stride);
    std::copy(from, from + freqs.count, slopes);
    std::copy(from + freqs.count, from + 2 * freqs.count, slopes + freqs.padded);
  }
  block.points[block.held++] = n;
}

// doutᵀ · features of the block, added to `to` (columns, 2 · padded).
template <int L>
OLIFT_INLINE void add_weight_slopes(const Block<L>& block, int64_t width, int64_t padded, float* to) {
  for (int64_t f = 0; f < 2 * padded; f += 2 * L) {
    for (int64_t d = 0; d < width; d += kTileRows) {
      Tile<L> sums;
      for (auto& sum : sums) sum[0] = sum[1] = Vec<L>{};
      multiply<L>(block.grad.at(d), 1, block.grad_stride, block.features.at(f), block.stride, block.held, sums);
      for (int i = 0; i < kTileRows; ++i) {
        float* row = to + (d + i) * 2 * padded + f;
        store<L>(row, load<L>(row) + sums[i][0]);
        store<L>(row + L, load<L>(row + L) + sums[i][1]);
      }
    }
  }
}

// slopes = dout · weight, for the block.
template <int L>
OLIFT_INLINE void feature_slopes(const Panels<L>& weight, Block<L>& block) {
  for (int64_t j = 0; j < weight.count(); ++j) {
    for (int64_t row = 0; row < block.held; row += kTileRows) {
      Tile<L> sums;
      for (auto& sum : sums) sum[0] = sum[1] = Vec<L>{};
      multiply<L>(block.grad.at(row * block.grad_stride), block.grad_stride, 1, weight.panel(j), 2 * L, weight.rows(),
                  sums);
      for (int i = 0; i < kTileRows; ++i) {
        float* to = block.slopes.at((row + i) * block.stride + j * 2 * L);
        store<L>(to, sums[i][0]);
        store<L>(to + L, sums[i][1]);
      }
    }
  }
}

// From the slopes of the features to those of the phase, and on to x and the frequencies.
template <int L>
OLIFT_INLINE void phase_slopes(const RffBackward& p, const Frequencies<L>& freqs, Block<L>& block, float* freqs_sums) {
  const int64_t padded = freqs.padded;
  for (int64_t row = 0; row < block.held; ++row) {
    const float* cosine = block.features.at(row * block.stride);
    float* slopes = block.slopes.at(row * block.stride);
    for (int64_t f = 0; f < padded; f += L) {
      const Vec<L> slope =
          load<L>(cosine + f) * load<L>(slopes + padded + f) - load<L>(cosine + padded + f) * load<L>(slopes + f);
      store<L>(slopes + f, slope * kTwoPi);
    }
    for (int64_t c = 0; c < freqs.coordinates; ++c) {
      const int64_t place = block.points[row] * freqs.coordinates + c;
      Vec<L> sum{};
      for (int64_t f = 0; f < padded; f += L) {
        const Vec<L> slope = load<L>(slopes + f);
        sum += slope * load<L>(freqs.values.at(c * padded + f));
        if (freqs_sums) {
          float* to = freqs_sums + c * padded + f;
          store<L>(to, load<L>(to) + p.x[place] * slope);
        }
      }
      if (!p.dx) continue;
      float total = 0;
      for (int lane = 0; lane < L; ++lane) total += sum[lane];
      p.dx[place] = total;
    }
  }
}

template <int L>
Panels<L> packed_weight(const RffBackward& p, const Frequencies<L>& freqs) {
  Panels<L> packed(p.shape.width, 2 * freqs.padded);
  for (int64_t d = 0; d < p.shape.width; ++d) {
    const float* row = p.weight + d * 2 * freqs.count;
    for (int64_t f = 0; f < freqs.count; ++f) {
      packed.element(d, f) = row[f];
      packed.element(d, freqs.padded + f) = row[freqs.count + f];
    }
  }
  return packed;
}

template <int L>
void backward(const RffBackward& p) {
  const int64_t points = p.shape.points, width = p.weight ? p.shape.width : 0;
  const bool phases = p.dx || p.dfreqs;
  const Frequencies<L> freqs(p.freqs, p.shape);
  const int64_t padded = freqs.padded;
  const int64_t columns = round_up(round_up(width, kTileRows), L);
  const Panels<L> weight = p.weight && phases ? packed_weight<L>(p, freqs) : Panels<L>(0, 0);
  const Sums sums(p, padded, columns);
  const int64_t runs = std::min(kMostRuns, (points + kRunPoints - 1) / kRunPoints);
  Floats partial(runs * sums.size);

  olift::parallel_for(runs, 1, p.threads, [&](int64_t first_run, int64_t end_run) {
    Block<L> block(freqs, columns);
    for (int64_t run = first_run; run < end_run; ++run) {
      float* to = partial.at(run * sums.size);
      const int64_t end = points * (run + 1) / runs;
      for (int64_t n = points * run / runs; n < end; ++n) {
        if (!p.visible || p.visible[n]) {
          take_point<L>(p, freqs, n, block);
          if (p.dbias) add_row<L>(to + sums.bias, p.dout + n * p.dout.strides[0], width);
        } else {
          if (p.dtoken) add_row<L>(to + sums.token, p.dout + n * p.dout.strides[0], width);
          if (p.dx) std::fill_n(p.dx + n * p.shape.coordinates, p.shape.coordinates, 0.0f);
        }
        if (block.held < kRows && n + 1 < end) continue;
        if (p.dweight) add_weight_slopes<L>(block, width, padded, to + sums.weight);
        if (p.weight && phases) feature_slopes<L>(weight, block);
        if (phases) phase_slopes<L>(p, freqs, block, p.dfreqs ? to + sums.freqs : nullptr);
        block.held = 0;
      }
    }
  });

  const auto total = [&](int64_t place) {
    double sum = 0;
    for (int64_t run = 0; run < runs; ++run) sum += static_cast<double>(*partial.at(run * sums.size + place));
    return static_cast<float>(sum);
  };
  olift::parallel_for(width, 16, p.threads, [&](int64_t first, int64_t end) {
    for (int64_t d = first; d < end; ++d) {
      for (int64_t f = 0; p.dweight && f < 2 * freqs.count; ++f) {
        const int64_t place = f < freqs.count ? f : f - freqs.count + padded;
        p.dweight[d * 2 * freqs.count + f] = total(sums.weight + d * 2 * padded + place);
      }
      if (p.dbias) p.dbias[d] = total(sums.bias + d);
      if (p.dtoken) p.dtoken[d] = total(sums.token + d);
    }
  });
  for (int64_t c = 0; p.dfreqs && c < freqs.coordinates; ++c) {
    for (int64_t f = 0; f < freqs.count; ++f) p.dfreqs[c * freqs.count + f] = total(sums.freqs + c * padded + f);
  }
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(rff_backward)(const RffBackward& p) { backward<kNativeLanes>(p); }

}  // namespace olift
