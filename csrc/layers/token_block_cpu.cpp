// The linear layers of a transformer layer, inference, on the CPU; compiled once for each instruction set.
//
// A few rows at a time go through all of them: what lies between two layers stays in the cache, and tokens are read and
// written once. A panel of a weight, two vectors wide, is read into the L1 cache once for all the rows of a block. What
// is multiplied is `Element` (common/products.h); sums, tokens and all else are float.

#include "layers/token_block.h"

#include "common/isa.h"
#include "common/parallel.h"
#include "layers/rows.h"

namespace {

using olift::TokenBlock;

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
      normalize<L>(p.mlp_norm, tokens.at(0), token_stride, count, p.width, normed.at(0), token_stride);
      widen(p.mlp_in, count);
      add(p.mlp_out, hidden.at(0), hidden_stride, count);
    }
    if (p.projection.weight || p.mlp_in.weight) {
      for (int64_t row = 0; row < count; ++row) {
        std::copy(tokens.at(row * token_stride), tokens.at(row * token_stride + p.width), own + row * p.width);
      }
    }
    if (!p.head_in.weight) return;
    normalize<L>(p.head_norm, tokens.at(0), token_stride, count, p.width, normed.at(0), token_stride);
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
