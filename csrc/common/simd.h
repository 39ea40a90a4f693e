// Short vectors of floats in GNU C++, so that one source serves AVX-512, AVX2, SSE2 and NEON.
//
// Everything here has internal linkage: the same header is compiled once for each instruction set, and a function
// shared between the builds could be the one that this machine cannot run.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define OLIFT_INLINED __attribute__((always_inline))
#define OLIFT_INLINE static inline OLIFT_INLINED
#define OLIFT_APART __attribute__((noinline))  // keeps its registers to itself

namespace {

#if defined(__AVX512F__)
constexpr int kNativeLanes = 16;
#elif defined(__AVX2__)
constexpr int kNativeLanes = 8;
#else
constexpr int kNativeLanes = 4;
#endif

template <class Real, int L>
struct VecOf {
  typedef Real Type __attribute__((vector_size(sizeof(Real) * L)));
};
template <int L>
using Vec = typename VecOf<float, L>::Type;
template <int L>
using IntVec = typename VecOf<int32_t, L>::Type;
template <int L>
using BitVec = typename VecOf<uint32_t, L>::Type;

template <int L>
OLIFT_INLINE Vec<L> splat(float x) {
  return x - Vec<L>{};
}

template <int L>
OLIFT_INLINE Vec<L> load(const float* p) {
  Vec<L> v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

template <int L>
OLIFT_INLINE Vec<L> load_part(const float* p, int count) {
  Vec<L> v{};
  std::memcpy(&v, p, static_cast<size_t>(count) * sizeof(float));
  return v;
}

template <int L>
OLIFT_INLINE void store(float* p, Vec<L> v) {
  std::memcpy(p, &v, sizeof(v));
}

template <int L>
OLIFT_INLINE void store_part(float* p, Vec<L> v, int count) {
  std::memcpy(p, &v, static_cast<size_t>(count) * sizeof(float));
}

// The first `count` of L floats, 0 in the other lanes; all of them from L on.
template <int L>
OLIFT_INLINE Vec<L> load_up_to(const float* from, int64_t count) {
  return count >= L ? load<L>(from) : load_part<L>(from, static_cast<int>(count));
}

template <int L>
OLIFT_INLINE void store_up_to(float* to, Vec<L> v, int64_t count) {
  if (count >= L) store<L>(to, v);
  else if (count > 0) store_part<L>(to, v, static_cast<int>(count));
}

// The same vector, held in a register: keeps the compiler from loading it again for each use.
template <class V>
OLIFT_INLINE V in_register(V v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__x86_64__)
  asm("" : "+x"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
}

// The larger of the two; b where they do not compare.
template <int L>
OLIFT_INLINE Vec<L> larger(Vec<L> a, Vec<L> b) {
  return a > b ? a : b;
}

// Lanes with bit `Half` of their index set take b, the others a, each plus its neighbor across that bit.
template <class V, class Int, int Half, int... I>
OLIFT_INLINE V merge_lanes(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int L = sizeof...(I);
  const V own = Int{((I & Half) ? -1 : 0)...} ? b : a;
#if defined(__clang__)
  const V other = __builtin_shufflevector(a, b, ((I & Half) ? L + (I ^ Half) : (I ^ Half))...);
#else
  const V other = __builtin_shuffle(a, b, Int{((I & Half) ? L + (I ^ Half) : (I ^ Half))...});
#endif
  return own + other;
}

template <class Real, int L, int Half, int Base, class Row>
OLIFT_INLINE typename VecOf<Real, L>::Type sum_rows_from(const Row& row) {
  if constexpr (Half == L) {
    return row(Base);
  } else {
    using V = typename VecOf<Real, L>::Type;
    using Int = typename VecOf<std::conditional_t<sizeof(Real) == 4, int32_t, int64_t>, L>::Type;
    const V a = sum_rows_from<Real, L, 2 * Half, Base>(row);
    const V b = sum_rows_from<Real, L, 2 * Half, Base + Half>(row);
    return merge_lanes<V, Int, Half>(a, b, std::make_integer_sequence<int, L>{});
  }
}

// Lane i of the result is the sum of all the lanes of row(i), i in 0 … L-1: a transpose and a sum in L-1 merges.
// Rows are asked for in an order that keeps at most log2(L) + 1 partial sums alive.
template <int L, class Real = float, class Row>
OLIFT_INLINE typename VecOf<Real, L>::Type sum_rows(const Row& row) {
  return sum_rows_from<Real, L, 1, 0>(row);
}

template <int L, class Combine, int... I>
OLIFT_INLINE Vec<L> fold_lanes(Vec<L> x, const Combine& combine, std::integer_sequence<int, I...> lanes) {
  for (int half = 1; half < L; half *= 2) {
    const IntVec<L> other = IntVec<L>{I...} ^ half;
#if defined(__clang__)
    Vec<L> moved;
    for (int i = 0; i < L; ++i) moved[i] = x[other[i]];
    x = combine(x, moved);
#else
    x = combine(x, __builtin_shuffle(x, other));
#endif
  }
  (void)lanes;
  return x;
}

template <int L>
OLIFT_INLINE float largest_lane(Vec<L> x) {
  return fold_lanes<L>(x, larger<L>, std::make_integer_sequence<int, L>{})[0];
}

template <int L>
OLIFT_INLINE float sum_of_lanes(Vec<L> x) {
  return fold_lanes<L>(x, [](Vec<L> a, Vec<L> b) { return a + b; }, std::make_integer_sequence<int, L>{})[0];
}

// exp(x) for x <= 0 (NaN stays NaN), relative error under 2e-7: 2^n · exp(r), |r| <= ln(2)/2, after Cephes' expf.
template <int L>
OLIFT_INLINE Vec<L> exp_nonpositive(Vec<L> x) {
  const Vec<L> lowest = splat<L>(-87.0f);
  const Vec<L> clamped = x < lowest ? lowest : x;
  const float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, left in the low bits
  const Vec<L> shifted = clamped * 1.44269504088896341f + magic;
  const Vec<L> n = shifted - magic;
  const Vec<L> r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
  Vec<L> p = splat<L>(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  BitVec<L> bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << 23) + 0x3f800000;
  Vec<L> power;
  std::memcpy(&power, &bits, sizeof(power));
  return x < lowest ? Vec<L>{} : p * power;
}

// 2^x for x <= 0 (NaN stays NaN), relative error under 2e-7, exactly 0 from -126.5 down: 2^n · 2^r, |r| <= 1/2, after
// Cephes' exp2f.
template <int L>
OLIFT_INLINE Vec<L> exp2_or_zero(Vec<L> x) {
  const Vec<L> clamped = larger<L>(splat<L>(-127.0f), x);
  const float magic = 12582912.0f;
  const Vec<L> shifted = clamped + magic;
  const Vec<L> r = clamped - (shifted - magic);
  Vec<L> p = splat<L>(1.535336188e-4f);
  p = p * r + 1.339887440e-3f;
  p = p * r + 9.618437357e-3f;
  p = p * r + 5.550332471e-2f;
  p = p * r + 2.402264791e-1f;
  p = p * r + 6.931472029e-1f;
  p = p * r + 1.0f;
  BitVec<L> bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << 23) + 0x3f800000;  // n = -127 gives 0
  Vec<L> power;
  std::memcpy(&power, &bits, sizeof(power));
  return p * power;
}

// log(x) for normal x > 0 (NaN stays NaN), absolute error under 1e-7 · max(1, |log(x)|), after Cephes' logf.
template <int L>
OLIFT_INLINE Vec<L> log_positive(Vec<L> x) {
  IntVec<L> bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const IntVec<L> exponent = (bits - 0x3f3504f3) >> 23;  // of x / m with m in [sqrt(1/2), sqrt(2))
  bits -= exponent << 23;
  Vec<L> m;
  std::memcpy(&m, &bits, sizeof(m));
  const Vec<L> r = m - 1.0f;
  Vec<L> p = splat<L>(7.0376836292e-2f);
  p = p * r - 1.1514610310e-1f;
  p = p * r + 1.1676998740e-1f;
  p = p * r - 1.2420140846e-1f;
  p = p * r + 1.4249322787e-1f;
  p = p * r - 1.6668057665e-1f;
  p = p * r + 2.0000714765e-1f;
  p = p * r - 2.4999993993e-1f;
  p = p * r + 3.3333331174e-1f;
  const Vec<L> n = __builtin_convertvector(exponent, Vec<L>);
  const Vec<L> log = (p * r - 0.5f) * (r * r) - n * 2.12194440e-4f + r + n * 0.693359375f;
  return x == x ? log : x;
}

}  // namespace
