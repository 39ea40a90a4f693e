// bfloat16: the upper half of a float. Kernels store it in memory and compute in float.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/simd.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace olift {

struct BFloat16 {
  uint16_t bits;
};

}  // namespace olift

namespace {

using olift::BFloat16;

// load_up_to and store_up_to: like those of floats (common/simd.h). Storing rounds to nearest, ties to even; NaN stays
// NaN.
#if defined(__AVX512BF16__)
// The bits of 16 elements, each in the low half of a lane.
OLIFT_INLINE BitVec<16> widen_bits(__m256i elements) {
  typedef uint16_t Halves __attribute__((vector_size(32)));
  return __builtin_convertvector(reinterpret_cast<Halves>(elements), BitVec<16>);
}

template <int L>
OLIFT_INLINE Vec<L> load_up_to(const BFloat16* from, int64_t count) {
  static_assert(L == 16, "AVX-512");
  const __m256i held = count >= L ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))
                                  : _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), from);
  return reinterpret_cast<Vec<L>>(widen_bits(held) << 16);
}

template <int L>
OLIFT_INLINE void store_up_to(BFloat16* to, Vec<L> v, int64_t count) {
  static_assert(L == 16, "AVX-512");
  const __m256i rounded = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(v)));
  if (count >= L) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), rounded);
  else if (count > 0) _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), rounded);
}
#else
template <int L>
using HalfVec = typename VecOf<uint16_t, L>::Type;

template <int L>
OLIFT_INLINE Vec<L> widen(HalfVec<L> halves) {
  const BitVec<L> bits = __builtin_convertvector(halves, BitVec<L>) << 16;
  Vec<L> x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

template <int L>
OLIFT_INLINE HalfVec<L> narrow(Vec<L> x) {
  BitVec<L> bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const BitVec<L> rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return __builtin_convertvector(x == x ? rounded : (bits >> 16) | 0x40, HalfVec<L>);
}

template <int L>
OLIFT_INLINE Vec<L> load_up_to(const BFloat16* from, int64_t count) {
  HalfVec<L> halves{};
  if (count >= L) std::memcpy(&halves, from, sizeof(halves));
  else std::memcpy(&halves, from, static_cast<size_t>(count) * sizeof(BFloat16));
  return widen<L>(halves);
}

template <int L>
OLIFT_INLINE void store_up_to(BFloat16* to, Vec<L> x, int64_t count) {
  const HalfVec<L> halves = narrow<L>(x);
  std::memcpy(to, &halves, count >= L ? sizeof(halves) : static_cast<size_t>(count) * sizeof(BFloat16));
}
#endif

}  // namespace
