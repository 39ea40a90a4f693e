// The list of the CPU kernels of one instruction set; compiled once for each (OLIFT_ISA names it).

#include "common/dispatch.h"
#include "common/isa.h"

namespace olift {

#define OLIFT_DECLARE(result, name, Call) result OLIFT_FOR_ISA(name)(const Call&);
#define OLIFT_NAME(result, name, Call) OLIFT_FOR_ISA(name),

#if !defined(OLIFT_INTEGERS_ONLY)
OLIFT_LAYER_KERNELS(OLIFT_DECLARE)
LayerKernels OLIFT_FOR_ISA(layer_kernels)() { return {OLIFT_LAYER_KERNELS(OLIFT_NAME)}; }
#endif

#if !defined(OLIFT_LAYERS_ONLY)
OLIFT_INTEGER_KERNELS(OLIFT_DECLARE)
IntegerKernels OLIFT_FOR_ISA(integer_kernels)() { return {OLIFT_INTEGER_KERNELS(OLIFT_NAME)}; }
#endif

#if !defined(OLIFT_LAYERS_ONLY) && !defined(OLIFT_INTEGERS_ONLY)
OLIFT_OTHER_KERNELS(OLIFT_DECLARE)
CpuKernels OLIFT_FOR_ISA(kernels)() {
  return {OLIFT_FOR_ISA(layer_kernels)(), OLIFT_FOR_ISA(integer_kernels)(), OLIFT_OTHER_KERNELS(OLIFT_NAME)};
}
#endif

}  // namespace olift
