// Weights as the token block reads them; compiled once for each instruction set, whose vectors set the width of a panel.

#include "common/isa.h"
#include "common/products.h"
#include "dense/token_block.h"

namespace olift {

int64_t OLIFT_FOR_ISA(pack_weight)(const Packing& p) {
  constexpr int L = kNativeLanes, wide = 2 * L;
  const int64_t in = whole_steps(p.in), size = round_up(p.out, wide) * in;
  if (p.packed) {
    Element* packed = static_cast<Element*>(p.packed);
    std::fill(packed, packed + size, Element{});
    for (int64_t d = 0; d < p.out; ++d) {
      Element* to = packed + d / wide * wide * in + d % wide * kStep;
      for (int64_t k = 0; k < p.in; ++k) {
        store_up_to<L>(to + k / kStep * kStep * wide + k % kStep, splat<L>(p.weight[d * p.in + k]), 1);
      }
    }
  }
  return size * static_cast<int64_t>(sizeof(Element));
}

}  // namespace olift
