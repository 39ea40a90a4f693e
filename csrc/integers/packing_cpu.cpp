// Weights rounded to integers, as the token block reads them; compiled once for each instruction set, whose vectors set
// the width of a panel.

#include "common/isa.h"
#include "integers/rounded_rows.h"

namespace olift {

int64_t OLIFT_FOR_ISA(pack_weight_int16)(const Packing& p) { return pack_integers<kNativeLanes>(p); }

}  // namespace olift
