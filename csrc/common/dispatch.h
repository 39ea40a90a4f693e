// The CPU kernels of one instruction set, and the choice between them.
#pragma once

namespace olift {

struct BandedForward;
struct BandedBackward;
struct ProcrustesForward;

struct CpuKernels {
  void (*banded_forward)(const BandedForward&);
  void (*banded_backward)(const BandedBackward&);
  void (*procrustes_forward)(const ProcrustesForward&);
};

// The best instruction set that this machine runs and the build has; OLIFT_SIMD=baseline|avx2|avx512 lowers it.
const CpuKernels& cpu_kernels();
const char* simd_level();

}  // namespace olift
