// The CPU kernels of one instruction set, and the choice between the sets.
#pragma once

#include <cstdint>

// All kernels that are compiled once for each instruction set: result, name, and the struct that the kernel takes.
#define OLIFT_LAYER_KERNELS(KERNEL)           \
  KERNEL(int64_t, pack_weight, Packing)       \
  KERNEL(void, token_block, TokenBlock)       \
  KERNEL(void, layers_forward, LayersForward) \
  KERNEL(void, layers_backward, LayersBackward)
#define OLIFT_INTEGER_KERNELS(KERNEL)         \
  KERNEL(int64_t, pack_weight_int16, Packing) \
  KERNEL(void, token_block_int16, TokenBlock)
#define OLIFT_OTHER_KERNELS(KERNEL)             \
  KERNEL(void, banded_forward, BandedForward)   \
  KERNEL(void, banded_backward, BandedBackward) \
  KERNEL(void, banded_step, BandedStep)         \
  KERNEL(void, joint_forward, JointForward)     \
  KERNEL(void, joint_backward, JointBackward)   \
  KERNEL(void, rff_forward, RffForward)         \
  KERNEL(void, rff_backward, RffBackward)       \
  KERNEL(void, procrustes, Procrustes)          \
  KERNEL(void, orthographic, Orthographic)

namespace olift {

#define OLIFT_STRUCT(result, name, Call) struct Call;
OLIFT_LAYER_KERNELS(OLIFT_STRUCT)
OLIFT_INTEGER_KERNELS(OLIFT_STRUCT)
OLIFT_OTHER_KERNELS(OLIFT_STRUCT)
#undef OLIFT_STRUCT

#define OLIFT_MEMBER(result, name, Call) result (*name)(const Call&);
struct LayerKernels {
  OLIFT_LAYER_KERNELS(OLIFT_MEMBER)
};
struct IntegerKernels {
  OLIFT_INTEGER_KERNELS(OLIFT_MEMBER)
};
struct CpuKernels {
  LayerKernels layers;
  IntegerKernels integers;
  OLIFT_OTHER_KERNELS(OLIFT_MEMBER)
};
#undef OLIFT_MEMBER

// The kernels of each instruction set (common/kernels.cpp). avx512bf16 has only those of the layers, avxvnni and
// avx512vnni only those of integers.
CpuKernels kernels_baseline();
CpuKernels kernels_avx2();
CpuKernels kernels_avx512();
LayerKernels layer_kernels_avx512bf16();
IntegerKernels integer_kernels_avxvnni();
IntegerKernels integer_kernels_avx512vnni();

// The kernels of the best instruction set that the machine and the build have; OLIFT_SIMD=baseline|avx2|avx512 lowers
// it.
const CpuKernels& cpu_kernels();
const char* simd_level();

// The layers' kernels that multiply in bfloat16; null if the machine or the build has no instructions for it.
const LayerKernels* bfloat16_kernels();

// The kernels that multiply 16-bit integers; and whether the machine has instructions for it. Without them it is slow.
const IntegerKernels& integer_kernels();
bool has_integer_products();

}  // namespace olift
