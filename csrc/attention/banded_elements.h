// Rows of memory in and out: float32 or bfloat16 there, float vectors with a row in each lane here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "common/bfloat16.h"
#include "common/simd.h"
#include "common/tensor.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

using olift::Dtype;

inline int64_t size_of(Dtype dtype) { return dtype == Dtype::kFloat32 ? 4 : 2; }

// Lanes 4i … 4i + 3 of the result are parts[i].
template <int L>
OLIFT_INLINE Vec<L> join_quads(const Vec<4> (&parts)[L / 4]) {
#if defined(__AVX512F__)
  if constexpr (L == 16) {
    const __m512 low = _mm512_insertf32x4(_mm512_castps128_ps512(parts[0]), parts[1], 1);
    return _mm512_insertf32x4(_mm512_insertf32x4(low, parts[2], 2), parts[3], 3);
  }
#endif
#if defined(__AVX2__)
  if constexpr (L == 8) return _mm256_insertf128_ps(_mm256_castps128_ps256(parts[0]), parts[1], 1);
#endif
  Vec<L> joined;
  std::memcpy(&joined, &parts, sizeof(joined));
  return joined;
}

template <int L>
OLIFT_INLINE void split_quads(Vec<L> joined, Vec<4> (&parts)[L / 4]) {
#if defined(__AVX512F__)
  if constexpr (L == 16) {
    parts[0] = _mm512_maskz_extractf32x4_ps(0xf, joined, 0);  // the plain forms make GCC 12 warn of its own header
    parts[1] = _mm512_maskz_extractf32x4_ps(0xf, joined, 1);
    parts[2] = _mm512_maskz_extractf32x4_ps(0xf, joined, 2);
    parts[3] = _mm512_maskz_extractf32x4_ps(0xf, joined, 3);
    return;
  }
#endif
#if defined(__AVX2__)
  if constexpr (L == 8) {
    parts[0] = _mm256_castps256_ps128(joined);
    parts[1] = _mm256_extractf128_ps(joined, 1);
    return;
  }
#endif
  std::memcpy(&parts, &joined, sizeof(joined));
}

// In each run of four lanes: lanes first, first + 1 of a and of b, in turn (Pairs: as they lie, a's before b's).
template <int First, bool Pairs, class V, class Int, int... I>
OLIFT_INLINE V mix_quads(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int L = sizeof...(I);
#define OLIFT_FROM ((I & ~3) + First + (Pairs ? (I & 1) : (I & 2) / 2) + ((Pairs ? (I & 2) : (I & 1)) ? L : 0))
#if defined(__clang__)
  return __builtin_shufflevector(a, b, OLIFT_FROM...);
#else
  return __builtin_shuffle(a, b, Int{OLIFT_FROM...});
#endif
#undef OLIFT_FROM
}

// Four by four, in each run of four lanes: lane i of vector c becomes lane c of vector i. It undoes itself.
template <int L>
OLIFT_INLINE void transpose_quads(Vec<L> (&x)[4]) {
  using V = Vec<L>;
  using Int = IntVec<L>;
  const auto lanes = std::make_integer_sequence<int, L>{};
  const V a = mix_quads<0, false, V, Int>(x[0], x[1], lanes);
  const V b = mix_quads<0, false, V, Int>(x[2], x[3], lanes);
  const V c = mix_quads<2, false, V, Int>(x[0], x[1], lanes);
  const V d = mix_quads<2, false, V, Int>(x[2], x[3], lanes);
  x[0] = mix_quads<0, true, V, Int>(a, b, lanes);
  x[1] = mix_quads<2, true, V, Int>(a, b, lanes);
  x[2] = mix_quads<0, true, V, Int>(c, d, lanes);
  x[3] = mix_quads<2, true, V, Int>(c, d, lanes);
}

// Where L rows start: anywhere …
template <int L>
struct Scattered {
  const char* at(int lane) const { return row[lane]; }
  const char* row[L];
};

// … or four by four at one distance, which a few registers hold.
template <int L>
struct Even {
  const char* at(int lane) const { return run[lane / 4] + lane % 4 * gap; }
  const char* run[L / 4];
  int64_t gap;
};

// Channels first … first + 3 of L rows, a vector a channel; 0 from `count` on.
template <int L, class Element, class Places>
OLIFT_INLINE void load_channels(const Places& rows, int64_t first, int count, Vec<L> (&channels)[4]) {
  for (int i = 0; i < 4; ++i) {
    Vec<4> parts[L / 4];
    for (int part = 0; part < L / 4; ++part) {
      parts[part] = load_up_to<4>(reinterpret_cast<const Element*>(rows.at(4 * part + i)) + first, count);
    }
    channels[i] = join_quads<L>(parts);
  }
  transpose_quads<L>(channels);
}

template <int L, class Element, class Places>
OLIFT_INLINE void store_channels(const Places& rows, int64_t first, int count, Vec<L> (&channels)[4]) {
  transpose_quads<L>(channels);
  for (int i = 0; i < 4; ++i) {
    Vec<4> parts[L / 4];
    split_quads<L>(channels[i], parts);
    for (int part = 0; part < L / 4; ++part) {
      char* row = const_cast<char*>(rows.at(4 * part + i));
      store_up_to<4>(reinterpret_cast<Element*>(row) + first, parts[part], count);
    }
  }
}

// Writes channels first … first + 3 of L rows that are `width` wide.
template <int L, class Places>
OLIFT_INLINE void put_channels(const Places& rows, Dtype dtype, int64_t first, int64_t width, Vec<L> (&channels)[4]) {
  const int count = static_cast<int>(std::min<int64_t>(4, width - first));
  if (dtype == Dtype::kBFloat16) store_channels<L, BFloat16>(rows, first, count, channels);
  else if (count == 4) store_channels<L, float>(rows, first, 4, channels);
  else store_channels<L, float>(rows, first, count, channels);
}

}  // namespace
