// Weights as the token block reads them; compiled once for each instruction set, whose vectors set the width of a panel.

#include "common/isa.h"
#include "common/products.h"
#include "dense/token_block.h"

namespace olift {

int64_t OLIFT_FOR_ISA(pack_weight)(const Packing& p) {
  constexpr int64_t wide = 2 * kNativeLanes;
  const int64_t size = round_up(p.out, wide) * p.in;
  if (!p.packed) return size;
  std::fill(p.packed, p.packed + size, 0.0f);
  for (int64_t d = 0; d < p.out; ++d) {
    float* to = p.packed + d / wide * wide * p.in + d % wide;
    for (int64_t k = 0; k < p.in; ++k) to[k * wide] = p.weight[d * p.in + k];
  }
  return size;
}

}  // namespace olift
