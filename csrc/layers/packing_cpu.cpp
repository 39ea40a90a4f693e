// Weights as the token block reads them; compiled once for each instruction set, whose vectors set the width of a
// panel.

#include "common/isa.h"
#include "layers/rounded_rows.h"
#include "layers/rows.h"

namespace olift {

#if !defined(OLIFT_INTEGERS_ONLY)
int64_t OLIFT_FOR_ISA(pack_weight)(const Packing& p) { return pack<kNativeLanes>(p); }
#endif

#if !defined(OLIFT_LAYERS_ONLY)
int64_t OLIFT_FOR_ISA(pack_weight_int16)(const Packing& p) { return pack_integers<kNativeLanes>(p); }
#endif

}  // namespace olift
