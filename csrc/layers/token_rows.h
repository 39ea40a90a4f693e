// A few rows of tokens at a time through all linear layers between two attentions.
//
// What lies between two layers stays in the cache, and tokens are read and written once. A panel of a weight, two
// vectors wide, is read into the L1 cache once for all the rows of a block. What is multiplied is in the hands of
// `Rows`: elements (layers/rows.h) or integers (integers/rounded_rows.h); sums, tokens and all else are float.
#pragma once

#include "common/parallel.h"
#include "layers/rows.h"

namespace {

using olift::TokenBlock;

// Rows: what layers are applied to (ElementRows, RoundedRows).
template <int L, class Rows>
class Block {
 public:
  explicit Block(const TokenBlock& block)
      : p(block),
        hidden_width(std::max<int64_t>({p.mlp_in.out, p.head_out_layer.weight ? p.head_in.out : 0, 1})),
        token_stride(row_stride(p.width)),
        tokens(kRows * token_stride),
        normed(kRows, p.width),
        hidden(kRows, hidden_width) {}

  // Rows first … first + count - 1, at most kRows.
  void run(int64_t first, int64_t count) {
    float* own = p.tokens + first * p.width;
    for (int64_t row = 0; row < count; ++row) {
      std::copy(own + row * p.width, own + (row + 1) * p.width, tokens.at(row * token_stride));
    }
    if (p.projection.weight) {
      const Element* attended = static_cast<const Element*>(p.attended) + first * p.width;
      for (int64_t row = 0; row < count; ++row) {
        std::copy(attended + row * p.width, attended + (row + 1) * p.width, normed.row(row));
      }
      normed.written(count, p.width);
      add(p.projection, normed, count);
    }
    if (p.mlp_in.weight) {
      normalize_tokens(p.mlp_norm, count);
      widen(p.mlp_in, count);
      add(p.mlp_out, hidden, count);
    }
    if (p.projection.weight || p.mlp_in.weight) {
      for (int64_t row = 0; row < count; ++row) {
        std::copy(tokens.at(row * token_stride), tokens.at(row * token_stride + p.width), own + row * p.width);
      }
    }
    if (!p.head_in.weight) return;
    normalize_tokens(p.head_norm, count);
    if (p.head_out_layer.weight) {
      widen(p.head_in, count);
      write<float>(p.head_out_layer, hidden, first, count);
    } else {
      write<Element>(p.head_in, normed, first, count);
    }
  }

 private:
  void normalize_tokens(const Norm& norm, int64_t count) {
    normalize<L>(norm, tokens.at(0), token_stride, count, p.width, normed.row(0), normed.stride());
    normed.written(count, p.width);
  }

  OLIFT_APART void add(const Linear& layer, const Rows& from, int64_t count) {
    from.apply(layer, count, [&](int64_t row, int64_t column, Vec<L> sum, int64_t lanes) {
      float* to = tokens.at(row * token_stride + column);
      store_up_to<L>(to, load_up_to<L>(to, lanes) + sum, lanes);
    });
  }

  OLIFT_APART void widen(const Linear& layer, int64_t count) {
    normed.apply(layer, count, [&](int64_t row, int64_t column, Vec<L> sum, int64_t lanes) {
      store_up_to<L>(hidden.row(row) + column, gelu<L>(sum), lanes);
    });
    hidden.written(count, layer.out);
  }

  template <class Out>
  OLIFT_APART void write(const Linear& layer, const Rows& from, int64_t first, int64_t count) {
    from.apply(layer, count, [&](int64_t row, int64_t column, Vec<L> sum, int64_t lanes) {
      store_up_to<L>(static_cast<Out*>(p.head_out) + (first + row) * layer.out + column, sum, lanes);
    });
  }

  const TokenBlock& p;
  int64_t hidden_width, token_stride;
  Lines<float> tokens;
  Rows normed, hidden;
};

template <class Rows>
void run_blocks(const TokenBlock& p) {
  const int64_t each = std::min(kRows, round_up((p.rows + p.threads - 1) / p.threads, kThird));
  const int64_t blocks = (p.rows + each - 1) / each;
  olift::parallel_pull(blocks, p.threads, [&](const auto& next) {
    Block<kNativeLanes, Rows> block(p);
    for (int64_t i = next(); i < blocks; i = next()) block.run(i * each, std::min(each, p.rows - i * each));
  });
}

}  // namespace
