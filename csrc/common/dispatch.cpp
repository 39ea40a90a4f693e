#include "common/dispatch.h"

#include <cstdlib>
#include <cstring>

#include "attention/banded.h"
#include "attention/joint.h"
#include "dense/dense.h"
#include "encoding/rff.h"
#include "geometry/procrustes.h"

namespace olift {
namespace {

struct Level {
  const char* name;
  bool runs;
  CpuKernels kernels;
};

DenseKernels dense_bfloat16() {
#if defined(OLIFT_AVX512BF16)
  if (__builtin_cpu_supports("avx512bf16")) {
    return {token_block_avx512bf16, pack_weight_avx512bf16, dense_forward_avx512bf16, dense_backward_avx512bf16};
  }
#endif
  return {};
}

const Level& level() {
  static const Level chosen = [] {
    const Level levels[] = {
#if defined(OLIFT_X86)
        {"avx512",
         __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"),
         {banded_forward_avx512, banded_backward_avx512, banded_step_avx512, procrustes_avx512, rff_forward_avx512,
          rff_backward_avx512, joint_forward_avx512, joint_backward_avx512,
          {token_block_avx512, pack_weight_avx512, dense_forward_avx512, dense_backward_avx512},
          dense_bfloat16()}},
        {"avx2",
         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
         {banded_forward_avx2, banded_backward_avx2, banded_step_avx2, procrustes_avx2, rff_forward_avx2,
          rff_backward_avx2, joint_forward_avx2, joint_backward_avx2,
          {token_block_avx2, pack_weight_avx2, dense_forward_avx2, dense_backward_avx2}, {}}},
#endif
        {"baseline",
         true,
         {banded_forward_baseline, banded_backward_baseline, banded_step_baseline, procrustes_baseline,
          rff_forward_baseline, rff_backward_baseline, joint_forward_baseline, joint_backward_baseline,
          {token_block_baseline, pack_weight_baseline, dense_forward_baseline, dense_backward_baseline}, {}}},
    };
    const char* limit = std::getenv("OLIFT_SIMD");
    bool limited = false;
    for (const Level& candidate : levels) limited = limited || (limit && !std::strcmp(limit, candidate.name));
    bool reached = !limited;
    for (const Level& candidate : levels) {
      reached = reached || !std::strcmp(limit, candidate.name);
      if (reached && candidate.runs) return candidate;
    }
    return levels[sizeof(levels) / sizeof(levels[0]) - 1];
  }();
  return chosen;
}

}  // namespace

const CpuKernels& cpu_kernels() { return level().kernels; }

const char* simd_level() { return level().name; }

}  // namespace olift
