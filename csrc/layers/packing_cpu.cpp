// Weights as the token block reads them; compiled once for each instruction set, whose vectors set the width of a
// panel.

#include "common/isa.h"
#include "layers/rows.h"

namespace olift {

int64_t OLIFT_FOR_ISA(pack_weight)(const Packing& p) { return pack<kNativeLanes>(p); }

}  // namespace olift
