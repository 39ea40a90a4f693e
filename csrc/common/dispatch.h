// The CPU kernels of one instruction set, and the choice between them.
#pragma once

#include <cstdint>

namespace olift {

struct BandedForward;
struct BandedBackward;
struct BandedStep;
struct Procrustes;
struct RffForward;
struct RffBackward;
struct JointForward;
struct JointBackward;
struct Packing;
struct DenseForward;
struct DenseBackward;
struct TokenBlock;

struct DenseKernels {
  void (*token_block)(const TokenBlock&);
  int64_t (*pack_weight)(const Packing&);
  void (*forward)(const DenseForward&);
  void (*backward)(const DenseBackward&);
};

struct CpuKernels {
  void (*banded_forward)(const BandedForward&);
  void (*banded_backward)(const BandedBackward&);
  void (*banded_step)(const BandedStep&);
  void (*procrustes)(const Procrustes&, int threads);
  void (*rff_forward)(const RffForward&);
  void (*rff_backward)(const RffBackward&);
  void (*joint_forward)(const JointForward&);
  void (*joint_backward)(const JointBackward&);
  DenseKernels dense;
  DenseKernels dense_bfloat16;  // null where the machine or the build has no instructions for it
};

// The best instruction set that this machine runs and the build has; OLIFT_SIMD=baseline|avx2|avx512 lowers it.
const CpuKernels& cpu_kernels();
const char* simd_level();

}  // namespace olift
