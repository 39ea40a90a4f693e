// Copies point sets between memory, where a point's coordinates are next to each other, and vectors with one coordinate
// of several sets.
//
// With L lanes in a vector, blocks of L numbers of L rows are transposed in registers. Rows of fewer than L numbers are
// copied one by one. Internal linkage: see simd.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "common/simd.h"

#if defined(__clang__)
#define OLIFT_UNROLL _Pragma("unroll")
#else
#define OLIFT_UNROLL _Pragma("GCC unroll 16")
#endif

namespace {

template <class Real>
constexpr int kLanes =
    kNativeLanes * 4 / static_cast<int>(sizeof(Real)) < 2 ? 2 : kNativeLanes * 4 / static_cast<int>(sizeof(Real));

template <class Real>
using Lanes = typename VecOf<Real, kLanes<Real>>::Type;

template <class Real>
using LaneMask = typename VecOf<std::conditional_t<sizeof(Real) == 4, int32_t, int64_t>, kLanes<Real>>::Type;

template <class Int, int... From, class V>
OLIFT_INLINE V pick(V a, V b) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, From...);
#else
  return __builtin_shuffle(a, b, Int{From...});
#endif
}

// One stage of a transpose: exchanges the lanes of a whose index has the bit `Half` with the lanes of b whose index
// does not have it.
template <class Real, int Half, int... I>
OLIFT_INLINE void exchange(Lanes<Real>& a, Lanes<Real>& b, std::integer_sequence<int, I...>) {
  constexpr int L = kLanes<Real>;
  using Int = LaneMask<Real>;
  const Lanes<Real> low = pick<Int, ((I & Half) ? L + I - Half : I)...>(a, b);
  b = pick<Int, ((I & Half) ? L + I : I + Half)...>(a, b);
  a = low;
}

template <class Real, int Half = kLanes<Real> / 2>
OLIFT_INLINE void transpose(Lanes<Real> (&rows)[kLanes<Real>]) {
  constexpr int L = kLanes<Real>;
  OLIFT_UNROLL
  for (int i = 0; i < L; ++i) {
    if (!(i & Half)) exchange<Real, Half>(rows[i], rows[i + Half], std::make_integer_sequence<int, L>{});
  }
  if constexpr (Half > 1) transpose<Real, Half / 2>(rows);
}

// Lane i of out[k] becomes rows[i][k], for k in 0 … count - 1. Also prefetches the elements `ahead` further on.
template <class Real>
OLIFT_INLINE void load_rows(const Real* const (&rows)[kLanes<Real>], int count, int64_t ahead, Lanes<Real>* out) {
  constexpr int L = kLanes<Real>;
  if (count < L) {
    for (int k = 0; k < count; ++k) {
      for (int i = 0; i < L; ++i) out[k][i] = rows[i][k];
    }
    return;
  }
  for (int k = 0; k < count; k += L) {
    k = std::min(k, count - L);  // the last block starts earlier, and overlaps the one before
    Lanes<Real> block[L];
    OLIFT_UNROLL
    for (int i = 0; i < L; ++i) {
      std::memcpy(&block[i], rows[i] + k, sizeof(block[i]));
      if (ahead) __builtin_prefetch(rows[i] + k + ahead);
    }
    transpose<Real>(block);
    OLIFT_UNROLL
    for (int i = 0; i < L; ++i) out[k + i] = block[i];
  }
}

// Writes lane i of in[k] to rows[i][k], for the first `present` rows.
template <class Real>
OLIFT_INLINE void store_rows(Real* const (&rows)[kLanes<Real>], int present, int count, const Lanes<Real>* in) {
  constexpr int L = kLanes<Real>;
  if (count < L) {
    for (int k = 0; k < count; ++k) {
      for (int i = 0; i < present; ++i) rows[i][k] = in[k][i];
    }
    return;
  }
  for (int k = 0; k < count; k += L) {
    k = std::min(k, count - L);
    Lanes<Real> block[L];
    OLIFT_UNROLL
    for (int i = 0; i < L; ++i) block[i] = in[k + i];
    transpose<Real>(block);
    for (int i = 0; i < present; ++i) std::memcpy(rows[i] + k, &block[i], sizeof(block[i]));
  }
}

}  // namespace
