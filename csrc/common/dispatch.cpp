#include "common/dispatch.h"

#include <cstdlib>
#include <cstring>

namespace olift {
namespace {

struct Level {
  const char* name;
  bool runs;
  CpuKernels (*kernels)();
};

Level find_level() {
  const Level levels[] = {
#if defined(OLIFT_X86)
      {"avx512",
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw"),
       kernels_avx512},
      {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), kernels_avx2},
#endif
      {"baseline", true, kernels_baseline},
  };
  const char* limit = std::getenv("OLIFT_SIMD");
  const auto is_limit = [&](const Level& level) { return limit && !std::strcmp(limit, level.name); };
  bool reached = true;  // any other value limits nothing
  for (const Level& level : levels) reached = reached && !is_limit(level);
  for (const Level& level : levels) {
    reached = reached || is_limit(level);
    if (reached && level.runs) return level;
  }
  return levels[sizeof(levels) / sizeof(levels[0]) - 1];
}

const Level& level() {
  static const Level chosen = find_level();
  return chosen;
}

}  // namespace

const CpuKernels& cpu_kernels() {
  static const CpuKernels kernels = level().kernels();
  return kernels;
}

const char* simd_level() { return level().name; }

const LayerKernels* bfloat16_kernels() {
#if defined(OLIFT_AVX512BF16)
  // Asked first: what fills the list is compiled for that instruction set, too.
  static const bool runs = !std::strcmp(simd_level(), "avx512") && __builtin_cpu_supports("avx512bf16");
  if (runs) {
    static const LayerKernels kernels = layer_kernels_avx512bf16();
    return &kernels;
  }
#endif
  return nullptr;
}

const IntegerKernels& integer_kernels() {
  static const IntegerKernels kernels = [] {
#if defined(OLIFT_AVX512VNNI)
    if (!std::strcmp(simd_level(), "avx512") && __builtin_cpu_supports("avx512vnni")) {
      return integer_kernels_avx512vnni();
    }
#endif
#if defined(OLIFT_AVXVNNI)
    if (!std::strcmp(simd_level(), "avx2") && __builtin_cpu_supports("avxvnni")) return integer_kernels_avxvnni();
#endif
    return cpu_kernels().integers;
  }();
  return kernels;
}

bool has_integer_products() {
#if defined(__SSE2__)
  return true;
#else
  return false;
#endif
}

}  // namespace olift
