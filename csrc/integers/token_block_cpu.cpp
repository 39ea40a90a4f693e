// The token block for inference by products of integers. Compiled once for each instruction set.

#include "common/isa.h"
#include "integers/rounded_rows.h"
#include "layers/token_rows.h"

namespace olift {

void OLIFT_FOR_ISA(token_block_int16)(const TokenBlock& p) { run_blocks<RoundedRows<kNativeLanes>>(p); }

}  // namespace olift
