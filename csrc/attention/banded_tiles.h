// The two products of banded attention, in tiles whose sums stay in registers.
//
// A core does two multiply-adds and two loads a cycle. So each loaded vector must enter more than one multiply-add for
// the multiply-adds to be the limit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/simd.h"

namespace {

// dots[a · across + g · L] = Σ_c x[a][c] · y[a + g][c] for a < Q and g < G: Q queries, each against the keys at G
// offsets. With `More` the sums are added to dots. Frames are `Step` floats apart, in x and in y. Registers: the Q · G
// sums, the Q vectors of x and one of y.
template <int L, int64_t Step, int Q, bool More, int G>
OLIFT_INLINE void dots_tile(const float* x, const float* y, int64_t channels, float* dots, int64_t across) {
  Vec<L> sums[Q][G] = {};
  for (int a = 0; More && a < Q; ++a) {
    for (int g = 0; g < G; ++g) sums[a][g] = load<L>(dots + a * across + g * L);
  }
  for (int64_t c = 0; c < channels; ++c) {
    Vec<L> own[Q];
    for (int a = 0; a < Q; ++a) own[a] = load<L>(x + a * Step + c * L);
#pragma GCC unroll 16
    for (int m = 0; m < Q + G - 1; ++m) {
      const Vec<L> other = in_register(load<L>(y + m * Step + c * L));
#pragma GCC unroll 4
      for (int a = 0; a < Q; ++a) {
        if (m >= a && m - a < G) sums[a][m - a] += own[a] * other;
      }
    }
  }
  for (int a = 0; a < Q; ++a) {
    for (int g = 0; g < G; ++g) store<L>(dots + a * across + g * L, sums[a][g]);
  }
}

// The same for any number of offsets: six at a time, then the rest. Two queries and six offsets have twelve sums and
// nine loads for each channel, and fit in sixteen registers.
template <int L, int64_t Step, int Q, bool More>
OLIFT_INLINE void dots_of(const float* x, const float* y, int64_t channels, int64_t offsets, float* dots,
                          int64_t across) {
  for (; offsets >= 6; offsets -= 6, y += 6 * Step, dots += 6 * L) {
    dots_tile<L, Step, Q, More, 6>(x, y, channels, dots, across);
  }
  switch (offsets) {
    case 5: return dots_tile<L, Step, Q, More, 5>(x, y, channels, dots, across);
    case 4: return dots_tile<L, Step, Q, More, 4>(x, y, channels, dots, across);
    case 3: return dots_tile<L, Step, Q, More, 3>(x, y, channels, dots, across);
    case 2: return dots_tile<L, Step, Q, More, 2>(x, y, channels, dots, across);
    case 1: return dots_tile<L, Step, Q, More, 1>(x, y, channels, dots, across);
    default: return;
  }
}

// The two cases are compiled separately. If one code had to start its sums from memory or from 0, the compiler would
// move all of them through the stack.
template <int L, int64_t Step, int Q>
OLIFT_INLINE void band_dots(const float* x, const float* y, int64_t channels, bool more, int64_t offsets, float* dots,
                            int64_t across) {
  if (more) dots_of<L, Step, Q, true>(x, y, channels, offsets, dots, across);
  else dots_of<L, Step, Q, false>(x, y, channels, offsets, dots, across);
}

// A run of frames, from `begin` up to `end`.
struct Span {
  int64_t begin, end;
};

// sums[a][c] = Σ_m weights[a · across + m · along] · rows[m][c] for c < 4 and m in spans[a].
// Both ends of spans[a] increase with a, and all spans overlap. Rows in the common middle enter all sums; rows at the
// ends enter only the sums whose span has them.
template <int L, int64_t Step, int Q>
OLIFT_INLINE void band_sums(const float* weights, int64_t across, int64_t along, const float* rows,
                            const Span (&spans)[Q], Vec<L> (&sums)[Q][4]) {
  for (int a = 0; a < Q; ++a) {
    for (int c = 0; c < 4; ++c) sums[a][c] = Vec<L>{};
  }
  const auto edge = [&](int64_t m) {
#pragma GCC unroll 4
    for (int a = 0; a < Q; ++a) {
      if (m < spans[a].begin || m >= spans[a].end) continue;
      const Vec<L> weight = load<L>(weights + a * across + m * along);
      for (int c = 0; c < 4; ++c) sums[a][c] += weight * load<L>(rows + m * Step + c * L);
    }
  };
  int64_t m = spans[0].begin;
  for (; m < spans[Q - 1].begin; ++m) edge(m);
  const float* row = rows + m * Step;
  const float* weight = weights + m * along;
  for (; m < spans[0].end; ++m, row += Step, weight += along) {
    Vec<L> own[Q];
    for (int a = 0; a < Q; ++a) own[a] = load<L>(weight + a * across);
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const Vec<L> other = in_register(load<L>(row + c * L));
#pragma GCC unroll 4
      for (int a = 0; a < Q; ++a) sums[a][c] += own[a] * other;
    }
  }
  for (; m < spans[Q - 1].end; ++m) edge(m);
}

}  // namespace
