// Norm, linear layers and GELU, forward, for training on the CPU; compiled once for each instruction set.
//
// As in the token block, a few rows at a time go through all of them; what the gradients need is written on the way.

#include "layers/layers.h"

#include "common/isa.h"
#include "common/parallel.h"
#include "layers/rows.h"

namespace {

using olift::LayersForward;

template <int L>
class Block {
 public:
  Block(const LayersForward& forward, const Linear& first_layer, const Linear& second_layer)
      : p(forward),
        first(first_layer),
        second(second_layer),
        stride(row_stride(first.in)),
        hidden_stride(row_stride(first.out)),
        normed(kRows * stride),
        hidden(second.weight ? kRows * hidden_stride : 0) {}

  // Rows begin … begin + count - 1, at most kRows.
  void run(int64_t begin, int64_t count) {
    if (p.norm.weight) {
      const float* x = static_cast<const float*>(p.x.data) + begin * first.in;
      normalize<L>(p.norm, x, first.in, count, first.in, normed.at(0), stride);
    } else {
      const Element* x = static_cast<const Element*>(p.x.data) + begin * first.in;
      for (int64_t row = 0; row < count; ++row) {
        std::copy(x + row * first.in, x + (row + 1) * first.in, normed.at(row * stride));
      }
    }
    if (second.weight) {
      widen(begin, count);
      write<float>(second, hidden.at(0), hidden_stride, begin, count);
    } else if (p.norm.weight) {
      write<Element>(first, normed.at(0), stride, begin, count);
    } else {
      write<float>(first, normed.at(0), stride, begin, count);
    }
  }

 private:
  OLIFT_APART void widen(int64_t begin, int64_t count) {
    Element* kept = p.hidden ? static_cast<Element*>(p.hidden.data) + begin * first.out : nullptr;
    apply<L>(first, normed.at(0), stride, count, [&](int64_t row, int64_t column, Vec<L> sum, int64_t lanes) {
      if (kept) store_up_to<L>(kept + row * first.out + column, sum, lanes);
      store_up_to<L>(hidden.at(row * hidden_stride + column), gelu<L>(sum), lanes);
    });
  }

  template <class Out>
  OLIFT_APART void write(const Linear& layer, const Element* from, int64_t from_stride, int64_t begin, int64_t count) {
    Out* out = static_cast<Out*>(p.out.data) + begin * layer.out;
    const float* added = p.added ? p.added + begin * layer.out : nullptr;
    apply<L>(layer, from, from_stride, count, [&](int64_t row, int64_t column, Vec<L> sum, int64_t lanes) {
      const int64_t place = row * layer.out + column;
      if (added) sum += load_up_to<L>(added + place, lanes);
      store_up_to<L>(out + place, sum, lanes);
    });
  }

  const LayersForward& p;
  const Linear &first, &second;
  int64_t stride, hidden_stride;
  Lines<Element> normed, hidden;
};

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(layers_forward)(const LayersForward& p) {
  const Packed first(p.first), second(p.second);
  const int64_t each = std::min(kRows, round_up((p.rows + p.threads - 1) / p.threads, kThird));
  const int64_t blocks = (p.rows + each - 1) / each;
  olift::parallel_pull(blocks, p.threads, [&](const auto& next) {
    Block<kNativeLanes> block(p, first.linear, second.linear);
    for (int64_t i = next(); i < blocks; i = next()) block.run(i * each, std::min(each, p.rows - i * each));
  });
}

}  // namespace olift
