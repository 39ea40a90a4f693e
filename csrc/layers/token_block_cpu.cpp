// The linear layers of a transformer layer, inference, on the CPU; compiled once for each instruction set.

#include "layers/token_block.h"

#include "common/isa.h"
#include "layers/token_rows.h"

namespace olift {

void OLIFT_FOR_ISA(token_block)(const TokenBlock& p) { run_blocks<ElementRows<kNativeLanes>>(p); }

}  // namespace olift
