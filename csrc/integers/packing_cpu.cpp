// Packs weights as integers for the token block. Compiled once for each instruction set, because the width of a panel
// is that of its vectors.

#include "common/isa.h"
#include "integers/rounded_rows.h"

namespace olift {

int64_t OLIFT_FOR_ISA(pack_weight_int16)(const Packing& p) { return pack_integers<kNativeLanes>(p); }

}  // namespace olift
