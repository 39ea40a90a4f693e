// The linear layers of a transformer layer, inference, on the CPU; compiled once for each instruction set.
//
// A few rows at a time go through all of them: what lies between two layers stays in the cache, and tokens are read and
// written once. A panel of a weight, two vectors wide, is read into the L1 cache once for all the rows of a block. What is
// multiplied is `Element` (common/products.h); sums, tokens and all else are float.

#include "dense/token_block.h"

#include <cmath>

#include "common/isa.h"
#include "common/parallel.h"
#include "common/products.h"

namespace {

using olift::Linear;
using olift::Norm;
using olift::TokenBlock;

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

template <int L>
OLIFT_INLINE Vec<L> gelu(Vec<L> x) {
  return 0.5f * x * (1.0f + error_function<L>(x * 0.70710678f));
}

template <int L>
OLIFT_INLINE Vec<L> load_up_to(const float* from, int64_t count) {
  return count >= L ? load<L>(from) : load_part<L>(from, static_cast<int>(count));
}

template <int L>
OLIFT_INLINE IntVec<L> first_lanes(int64_t count) {
  IntVec<L> mask;
  for (int lane = 0; lane < L; ++lane) mask[lane] = lane < count ? -1 : 0;
  return mask;
}

// `to` = (x - mean(x)) / sqrt(var(x) + epsilon) · weight + bias, for each of `count` rows.
template <int L>
OLIFT_APART void normalise(const Norm& norm, const float* from, int64_t from_stride, int64_t count, int64_t width,
                           Element* to, int64_t to_stride) {
  for (int64_t row = 0; row < count; ++row, from += from_stride, to += to_stride) {
    Vec<L> total{}, squares{};
    for (int64_t d = 0; d < width; d += L) total += load_up_to<L>(from + d, width - d);
    const float mean = sum_of_lanes<L>(total) / static_cast<float>(width);
    for (int64_t d = 0; d < width; d += L) {
      Vec<L> off = load_up_to<L>(from + d, width - d) - mean;
      if (width - d < L) off = first_lanes<L>(width - d) ? off : Vec<L>{};
      squares += off * off;
    }
    const float scale = 1.0f / std::sqrt(sum_of_lanes<L>(squares) / static_cast<float>(width) + norm.epsilon);
    for (int64_t d = 0; d < width; d += L) {
      const int64_t rest = width - d;
      const Vec<L> off = (load_up_to<L>(from + d, rest) - mean) * scale;
      store_up_to<L>(to + d, off * load_up_to<L>(norm.weight + d, rest) + load_up_to<L>(norm.bias + d, rest), rest);
    }
  }
}

// finish(row, column, vector, how many of its lanes count) gets from · layer + bias of each of `count` rows. Rows up to the
// next whole tile are read, too.
template <int L, class Finish>
OLIFT_INLINE void apply(const Linear& layer, const Element* from, int64_t stride, int64_t count, const Finish& finish) {
  for (int64_t first = 0; first < layer.out; first += 2 * L) {
    const Element* panel = static_cast<const Element*>(layer.weight) + first * whole_steps(layer.in);
    const int64_t rest = layer.out - first;
    const Vec<L> b0 = load_up_to<L>(layer.bias + first, rest);
    const Vec<L> b1 = rest > L ? load_up_to<L>(layer.bias + first + L, rest - L) : Vec<L>{};
    for (int64_t row = 0; row < count; row += kTileRows) {
      Tile<L> sums;
      for (auto& sum : sums) sum[0] = b0, sum[1] = b1;
      multiply_panel<L>(from + row * stride, stride, panel, layer.in, sums);
      for (int i = 0; i < kTileRows && row + i < count; ++i) {
        finish(row + i, first, sums[i][0], rest);
        if (rest > L) finish(row + i, first + L, sums[i][1], rest - L);
      }
    }
  }
}

template <int L>
class Block {
 public:
  explicit Block(const TokenBlock& block)
      : p(block),
        hidden_width(std::max<int64_t>({p.mlp_in.out, p.head_out_layer.weight ? p.head_in.out : 0, 1})),
        token_stride(row_stride(p.width)),
        hidden_stride(row_stride(hidden_width)),
        tokens(kRows * token_stride),
        normed(kRows * token_stride),
        hidden(kRows * hidden_stride) {}

  // Rows first … first + count - 1, at most kRows.
  void run(int64_t first, int64_t count) {
    float* own = p.tokens + first * p.width;
    for (int64_t row = 0; row < count; ++row) {
      std::copy(own + row * p.width, own + (row + 1) * p.width, tokens.at(row * token_stride));
    }
    if (p.projection.weight) {
      const Element* attended = static_cast<const Element*>(p.attended) + first * p.width;
      for (int64_t row = 0; row < count; ++row) {
        std::copy(attended + row * p.width, attended + (row + 1) * p.width, normed.at(row * token_stride));
      }
      add(p.projection, normed.at(0), token_stride, count);
    }
    if (p.mlp_in.weight) {
      normalise<L>(p.mlp_norm, tokens.at(0), token_stride, count, p.width, normed.at(0), token_stride);
      widen(p.mlp_in, count);
      add(p.mlp_out, hidden.at(0), hidden_stride, count);
    }
    if (p.projection.weight || p.mlp_in.weight) {
      for (int64_t row = 0; row < count; ++row) {
        std::copy(tokens.at(row * token_stride), tokens.at(row * token_stride + p.width), own + row * p.width);
      }
    }
    if (!p.head_in.weight) return;
    normalise<L>(p.head_norm, tokens.at(0), token_stride, count, p.width, normed.at(0), token_stride);
    if (p.head_out_layer.weight) {
      widen(p.head_in, count);
      write<float>(p.head_out_layer, hidden.at(0), hidden_stride, first, count);
    } else {
      write<Element>(p.head_in, normed.at(0), token_stride, first, count);
    }
  }

 private:
  OLIFT_APART void add(const Linear& layer, const Element* from, int64_t stride, int64_t count) {
    apply<L>(layer, from, stride, count, [&](int64_t row, int64_t column, Vec<L> sum, int64_t lanes) {
      float* to = tokens.at(row * token_stride + column);
      store_up_to<L>(to, load_up_to<L>(to, lanes) + sum, lanes);
    });
  }

  OLIFT_APART void widen(const Linear& layer, int64_t count) {
    apply<L>(layer, normed.at(0), token_stride, count, [&](int64_t row, int64_t column, Vec<L> sum, int64_t lanes) {
      store_up_to<L>(hidden.at(row * hidden_stride + column), gelu<L>(sum), lanes);
    });
  }

  template <class Out>
  OLIFT_APART void write(const Linear& layer, const Element* from, int64_t stride, int64_t first, int64_t count) {
    apply<L>(layer, from, stride, count, [&](int64_t row, int64_t column, Vec<L> sum, int64_t lanes) {
      store_up_to<L>(static_cast<Out*>(p.head_out) + (first + row) * layer.out + column, sum, lanes);
    });
  }

  const TokenBlock& p;
  int64_t hidden_width, token_stride, hidden_stride;
  Lines<float> tokens;
  Lines<Element> normed, hidden;
};

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(token_block)(const TokenBlock& p) {
  const int64_t each = std::min(kRows, round_up((p.rows + p.threads - 1) / p.threads, kTileRows));
  const int64_t blocks = (p.rows + each - 1) / each;
  olift::parallel_pull(blocks, p.threads, [&](const auto& next) {
    Block<kNativeLanes> block(p);
    for (int64_t i = next(); i < blocks; i = next()) block.run(i * each, std::min(each, p.rows - i * each));
  });
}

}  // namespace olift
