// What the forward and the backward of the Fourier features share: a row of features.
#pragma once

#include <cmath>
#include <vector>

#include "common/products.h"
#include "common/simd.h"
#include "encoding/rff.h"

namespace {

using olift::RffShape;

// The frequencies, padded with zeros to whole vectors. In a row of features the cosines fill the first `padded` places,
// the sines the next; the places of the padding meet zeros in every product.
template <int L>
struct Frequencies {
  Frequencies(const float* freqs, const RffShape& shape)
      : count(shape.frequencies),
        padded(round_up(count, L)),
        coordinates(shape.coordinates),
        values(coordinates * padded),
        wide(static_cast<size_t>(coordinates * padded)) {
    for (int64_t c = 0; c < coordinates; ++c) {
      for (int64_t f = 0; f < count; ++f) {
        *values.at(c * padded + f) = freqs[c * count + f];
        wide[static_cast<size_t>(c * padded + f)] = static_cast<double>(freqs[c * count + f]);
      }
    }
  }
  int64_t count, padded, coordinates;
  Floats values;
  std::vector<double> wide;
};

// turns[f] = x·B less the nearest whole number, in [-1/2, 1/2], for every padded frequency.
// In double: a product of two floats is exact there, so that a phase of 10^4 turns is as good as a small one.
template <int L>
OLIFT_INLINE void reduced_turns(const Frequencies<L>& freqs, const float* x, float* turns) {
  constexpr int Half = L / 2;
  using Wide = typename VecOf<double, Half>::Type;
  using Narrow = Vec<Half>;
  const double magic = 6755399441055744.0;  // 1.5 · 2^52: adding it rounds to an integer
  for (int64_t f = 0; f < freqs.padded; f += Half) {
    Wide sum{};
    for (int64_t c = 0; c < freqs.coordinates; ++c) {
      Wide b;
      std::memcpy(&b, &freqs.wide[static_cast<size_t>(c * freqs.padded + f)], sizeof(b));
      sum += static_cast<double>(x[c]) * b;
    }
    const Wide rest = sum - ((sum + magic) - magic);
    // So large a float phase is a whole number of turns; NaN and infinity give NaN.
    const Wide reduced = ((sum < 1e15) & (sum > -1e15)) ? rest : sum - sum;
    const Narrow narrow = __builtin_convertvector(reduced, Narrow);
    std::memcpy(turns + f, &narrow, sizeof(narrow));
  }
}

// cos(2πr) and sin(2πr) for |r| <= 1/2, absolute error under 2e-7: a half turn changes both signs, and the rest, in
// [-1/4, 1/4], goes through minimax polynomials of its square.
template <int L>
OLIFT_INLINE void cos_sin_turns(Vec<L> r, Vec<L>& cosine, Vec<L>& sine) {
  const float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, left in the low bits
  const Vec<L> shifted = r * 2.0f + magic;
  const Vec<L> s = r - (shifted - magic) * 0.5f;
  const Vec<L> z = s * s;
  Vec<L> p = splat<L>(39.76161658f);
  p = p * z - 76.58139636f;
  p = p * z + 81.60248511f;
  p = p * z - 41.34168072f;
  p = p * z + 6.28318528f;
  p = p * s;
  Vec<L> q = splat<L>(-24.98223759f);
  q = q * z + 60.14401506f;
  q = q * z - 85.45357162f;
  q = q * z + 64.93934663f;
  q = q * z - 19.73920855f;
  q = q * z + 1.0f;
  IntVec<L> half, bits;
  std::memcpy(&half, &shifted, sizeof(half));
  half <<= 31;
  std::memcpy(&bits, &p, sizeof(bits));
  bits ^= half;
  std::memcpy(&sine, &bits, sizeof(bits));
  std::memcpy(&bits, &q, sizeof(bits));
  bits ^= half;
  std::memcpy(&cosine, &bits, sizeof(bits));
}

// The features of one point: to[0 … padded-1] the cosines, to[padded …] the sines; `turns` is room for `padded` floats.
template <int L>
OLIFT_INLINE void features_of(const Frequencies<L>& freqs, const float* x, float* turns, float* to) {
  reduced_turns<L>(freqs, x, turns);
  for (int64_t f = 0; f < freqs.padded; f += L) {
    Vec<L> cosine, sine;
    cos_sin_turns<L>(load<L>(turns + f), cosine, sine);
    store<L>(to + f, cosine);
    store<L>(to + freqs.padded + f, sine);
  }
}

}  // namespace
