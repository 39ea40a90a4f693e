// The CPU kernels of one instruction set, and the choice between them.
#pragma once

#include <cstdint>

namespace olift {

struct BandedForward;
struct BandedBackward;
struct Procrustes;
struct RffForward;
struct RffBackward;
struct JointForward;
struct JointBackward;
struct TokenBlock;

struct CpuKernels {
  void (*banded_forward)(const BandedForward&);
  void (*banded_backward)(const BandedBackward&);
  void (*procrustes)(const Procrustes&, int threads);
  void (*rff_forward)(const RffForward&);
  void (*rff_backward)(const RffBackward&);
  void (*joint_forward)(const JointForward&);
  void (*joint_backward)(const JointBackward&);
  void (*token_block)(const TokenBlock&);
  int64_t (*packed_size)(int64_t in, int64_t out);
  void (*pack_weight)(const float* weight, int64_t in, int64_t out, float* packed);
};

// The best instruction set that this machine runs and the build has; OLIFT_SIMD=baseline|avx2|avx512 lowers it.
const CpuKernels& cpu_kernels();
const char* simd_level();

}  // namespace olift
