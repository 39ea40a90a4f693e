// The CPU kernels of one instruction set, and the choice between them.
#pragma once

namespace olift {

struct BandedForward;
struct BandedBackward;
struct Procrustes;
struct RffForward;
struct RffBackward;
struct JointForward;
struct JointBackward;

struct CpuKernels {
  void (*banded_forward)(const BandedForward&);
  void (*banded_backward)(const BandedBackward&);
  void (*procrustes)(const Procrustes&, int threads);
  void (*rff_forward)(const RffForward&);
  void (*rff_backward)(const RffBackward&);
  void (*joint_forward)(const JointForward&);
  void (*joint_backward)(const JointBackward&);
};

// The best instruction set that this machine runs and the build has; OLIFT_SIMD=baseline|avx2|avx512 lowers it.
const CpuKernels& cpu_kernels();
const char* simd_level();

}  // namespace olift
