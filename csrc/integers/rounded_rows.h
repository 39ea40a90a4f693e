// Rows and weights rounded to 16-bit integers. Sums of up to 256 of their products are exact.
//
//   x · w  ≈  scale(x) · scale(w) · Σ q(x) q(w)      q(x) = round(x / scale(x)), scale(x) = max |x| / 8191
//
// A row has one scale, and so has each output of a weight: the smallest with which no sum of 256 products can overflow.
// One instruction multiplies two pairs of 16-bit integers in each lane and adds both products; a multiply-add of floats
// does one.
#pragma once

#include "layers/rows.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

constexpr float kLargestOfRow = 8191.0f, kLargestOfWeight = 32767.0f;
constexpr int64_t kPair = 2;
constexpr int64_t kSummed = 256;            // number of products that are added up as integers
constexpr float kLargestTotal = 262000.0f;  // of the magnitudes of kSummed weights; times 8191 it is below 2^31
constexpr float kTiny = 1e-30f;             // smaller values count as 0

// Rows whose distance is a power of two would share a few cache sets, so a cache line is added to each.
constexpr int64_t integer_stride(int64_t width) { return round_up(width, 32) + 32; }

// A panel of a packed weight has the scales of 2L outputs as floats, each in the space of two integers. The integers
// follow: for each pair of inputs, the two integers of each output.
template <int L>
constexpr int64_t kScales = 2 * L * 2;

template <int L>
constexpr int64_t integer_panel(int64_t in) {
  return kScales<L> + 2 * L * round_up(in, kPair);
}

// In each lane of 32 bits: sum + low(a) · low(b) + high(a) · high(b), of the lower and the upper 16 bits.
template <int L>
OLIFT_INLINE IntVec<L> add_pair(IntVec<L> sum, IntVec<L> a, IntVec<L> b) {
#if defined(__AVX512VNNI__)
  static_assert(L == 16, "AVX-512");
  return reinterpret_cast<IntVec<L>>(
      _mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX512BW__)
  static_assert(L == 16, "AVX-512");
  return sum +
         reinterpret_cast<IntVec<L>>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVXVNNI__)
  static_assert(L == 8, "AVX2");
  return reinterpret_cast<IntVec<L>>(_mm256_dpwssd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__AVX2__)
  static_assert(L == 8, "AVX2");
  return sum +
         reinterpret_cast<IntVec<L>>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
  static_assert(L == 4, "SSE2");
  return sum + reinterpret_cast<IntVec<L>>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  return sum + (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
#endif
}

template <int L>
OLIFT_INLINE IntVec<L> load_pairs(const int16_t* from) {
  IntVec<L> pairs;
  std::memcpy(&pairs, from, sizeof(pairs));
  return pairs;
}

// sums += R rows of `a` times the integers of a panel. `whole` has the exact sums in registers.
template <int L, int R>
OLIFT_INLINE void multiply_integers(const int16_t* a, int64_t a_row, const int16_t* panel, int64_t in,
                                    Vec<L> (&sums)[R][2]) {
  for (int64_t first = 0; first < in; first += kSummed) {
    const int64_t end = std::min(in, first + kSummed);
    IntVec<L> whole[R][2] = {};
    for (int64_t k = first; k < end; k += kPair, panel += 2 * L * kPair) {
      const IntVec<L> b0 = load_pairs<L>(panel), b1 = load_pairs<L>(panel + L * kPair);
#pragma GCC unroll 12
      for (int i = 0; i < R; ++i) {
        int32_t pair;
        std::memcpy(&pair, a + i * a_row + k, sizeof(pair));
        const IntVec<L> both = pair - IntVec<L>{};
        whole[i][0] = add_pair<L>(whole[i][0], both, b0);
        whole[i][1] = add_pair<L>(whole[i][1], both, b1);
      }
    }
    for (int i = 0; i < R; ++i) {
      for (int half = 0; half < 2; ++half) {
        sums[i][half] += __builtin_convertvector(whole[i][half], Vec<L>);
      }
    }
  }
}

// Rounds `width` values, times `factor`, to integers.
template <int L>
OLIFT_INLINE void round_values(const float* from, int64_t width, float factor, int16_t* to) {
  typedef typename VecOf<int16_t, L>::Type Shorts;
  const float magic = 12582912.0f;  // 1.5 · 2^23; after adding it, the low bits are the rounded integer
  for (int64_t d = 0; d < width; d += L) {
    const Vec<L> shifted = load_up_to<L>(from + d, width - d) * factor + magic;
    IntVec<L> bits;
    std::memcpy(&bits, &shifted, sizeof(bits));
    const Shorts integers = __builtin_convertvector(bits, Shorts);
    std::memcpy(to + d, &integers, sizeof(int16_t) * static_cast<size_t>(std::min<int64_t>(L, width - d)));
  }
}

// Rounds a row to integers up to kLargestOfRow, and returns its scale: NaN if a value is not finite.
template <int L>
OLIFT_INLINE float round_row(const float* from, int64_t width, int16_t* to) {
  Vec<L> largest{}, spoilt{};
  for (int64_t d = 0; d < width; d += L) {
    const Vec<L> x = load_up_to<L>(from + d, width - d);
    largest = larger<L>(larger<L>(x, -x), largest);
    spoilt += x * 0.0f;
  }
  const float most = largest_lane<L>(largest), nothing = sum_of_lanes<L>(spoilt);
  if (nothing != 0.0f || most < kTiny) {
    std::fill(to, to + width, int16_t{0});
    return nothing;
  }
  round_values<L>(from, width, kLargestOfRow / most, to);
  return most / kLargestOfRow;
}

// Rows that are written as floats and multiplied as integers.
template <int L>
class RoundedRows {
 public:
  typedef float Value;
  RoundedRows(int64_t rows, int64_t width)
      : stride_(row_stride(width)),
        integer_stride_(integer_stride(width)),
        values_(rows * stride_),
        integers_(rows * integer_stride_),
        scales_(rows) {}
  Value* row(int64_t i) { return values_.at(i * stride_); }
  int64_t stride() const { return stride_; }

  // To be called when the first `count` rows have `width` values: rounds them.
  OLIFT_APART void written(int64_t count, int64_t width) {
    for (int64_t i = 0; i < count; ++i) {
      *scales_.at(i) = round_row<L>(row(i), width, integers_.at(i * integer_stride_));
    }
  }

  // As `apply` of rows.h, of the rounded rows.
  template <class Finish>
  void apply(const Linear& layer, int64_t count, const Finish& finish) const {
    const int16_t* panel = static_cast<const int16_t*>(layer.weight);
    for (int64_t first = 0; first < layer.out; first += 2 * L, panel += integer_panel<L>(layer.in)) {
      Vec<L> scales[2], biases[2] = {};
      std::memcpy(scales, panel, sizeof(scales));
      const int64_t rest = layer.out - first;
      biases[0] = load_up_to<L>(layer.bias + first, rest);
      if (rest > L) biases[1] = load_up_to<L>(layer.bias + first + L, rest - L);
      for_tiles(count, [&](int64_t row, auto rows) OLIFT_INLINED {
        Vec<L> sums[rows][2] = {};
        multiply_integers<L>(integers_.at(row * integer_stride_), integer_stride_, panel + kScales<L>, layer.in, sums);
        for (int i = 0; i < rows && row + i < count; ++i) {
          const float scale = *scales_.at(row + i);
          finish(row + i, first, sums[i][0] * (scale * scales[0]) + biases[0], rest);
          if (rest > L) finish(row + i, first + L, sums[i][1] * (scale * scales[1]) + biases[1], rest - L);
        }
      });
    }
  }

 private:
  int64_t stride_, integer_stride_;
  Lines<float> values_;
  Lines<int16_t> integers_;
  Floats scales_;
};

// 1 / scale of the weights of an output, as large as allowed: NaN if a weight is not finite.
OLIFT_INLINE float finest_factor(const float* weight, int64_t in) {
  float largest = kTiny, most = kTiny;
  for (int64_t first = 0; first < in; first += kSummed) {
    float total = 0.0f;
    for (int64_t k = first; k < std::min(in, first + kSummed); ++k) {
      const float size = std::fabs(weight[k]);
      if (!std::isfinite(size)) return NAN;
      total += size;
      largest = std::max(largest, size);
    }
    most = std::max(most, total);
  }
  return std::min(kLargestOfWeight / largest, kLargestTotal / most);
}

// Packs a weight for `RoundedRows`, unless `packed` is null, and returns the number of int16 that this takes.
template <int L>
int64_t pack_integers(const olift::Packing& p) {
  constexpr int wide = 2 * L;
  const int64_t each = integer_panel<L>(p.in), size = round_up(p.out, wide) / wide * each;
  if (!p.packed) return size;
  int16_t* packed = static_cast<int16_t*>(p.packed);
  std::fill(packed, packed + size, int16_t{0});
  Lines<int16_t> row(p.in);
  for (int64_t d = 0; d < p.out; ++d) {
    const float* weight = p.weight + d * p.in;
    const float factor = finest_factor(weight, p.in), scale = 1.0f / factor;
    int16_t* panel = packed + d / wide * each;
    std::memcpy(panel + d % wide * 2, &scale, sizeof(scale));
    if (!(factor == factor)) continue;
    round_values<L>(weight, p.in, factor, row.at(0));
    int16_t* to = panel + kScales<L> + d % wide * kPair;
    for (int64_t k = 0; k < p.in; ++k) to[k / kPair * kPair * wide + k % kPair] = *row.at(k);
  }
  return size;
}

}  // namespace
