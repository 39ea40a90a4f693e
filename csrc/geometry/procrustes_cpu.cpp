// Procrustes alignment, forward, on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// Two steps: the moments of each problem, a point a lane; then the rotations of as many problems as a vector has lanes.
// Points are taken relative to the first one that counts, and the covariance about the centroid in a second pass over
// the points (which are in the cache by then), so that a set far from the origin loses no accuracy.

#include "geometry/procrustes.h"

#include <algorithm>

#include "common/isa.h"
#include "common/parallel.h"
#include "common/simd.h"

namespace {

using olift::Alignment;
using olift::Moments;
using olift::ProcrustesForward;

template <class Real>
constexpr int kLanes = kNativeLanes * 4 / static_cast<int>(sizeof(Real)) < 2
    ? 2 : kNativeLanes * 4 / static_cast<int>(sizeof(Real));

template <class Real>
using Lanes = typename VecOf<Real, kLanes<Real>>::Type;

// One vector of points of one problem, by coordinates, relative to a shift; absent points have weight and place 0.
template <class Real>
struct Chunk {
  Lanes<Real> weight, source[3], target[3];
};

template <class Real>
struct Problem {
  const Real *source, *target, *weights;
  int64_t points, source_stride, target_stride, weights_stride;
  Real source_shift[3], target_shift[3];

  Problem(const ProcrustesForward& p, int64_t n)
      : source(static_cast<const Real*>(p.source) + n * p.source_strides.problem),
        target(static_cast<const Real*>(p.target) + n * p.target_strides.problem),
        weights(p.weights ? static_cast<const Real*>(p.weights) + n * p.weights_strides.problem : nullptr),
        points(p.points),
        source_stride(p.source_strides.point),
        target_stride(p.target_strides.point),
        weights_stride(p.weights_strides.point),
        source_shift{},
        target_shift{} {}

  Real weight(int64_t i) const { return weights ? weights[i * weights_stride] : Real{1}; }

  void shift_to_first_that_counts() {
    int64_t i = 0;
    while (i < points && weight(i) == 0) ++i;
    if (i == points) return;
    for (int c = 0; c < 3; ++c) {
      source_shift[c] = source[i * source_stride + c];
      target_shift[c] = target[i * target_stride + c];
    }
  }

  Chunk<Real> chunk(int64_t first) const {
    constexpr int L = kLanes<Real>;
    Real w[L] = {}, s[3][L] = {}, t[3][L] = {};
    const int present = static_cast<int>(std::min<int64_t>(L, points - first));
    for (int i = 0; i < present; ++i) {
      const Real* a = source + (first + i) * source_stride;
      const Real* b = target + (first + i) * target_stride;
      w[i] = weight(first + i);
      const bool counts = w[i] != 0;
      for (int c = 0; c < 3; ++c) {
        s[c][i] = counts ? a[c] - source_shift[c] : Real{0};
        t[c][i] = counts ? b[c] - target_shift[c] : Real{0};
      }
    }
    Chunk<Real> chunk;
    std::memcpy(&chunk.weight, w, sizeof(w));
    for (int c = 0; c < 3; ++c) {
      std::memcpy(&chunk.source[c], s[c], sizeof(s[c]));
      std::memcpy(&chunk.target[c], t[c], sizeof(t[c]));
    }
    return chunk;
  }
};

// Sums over many points: vectors in the input's type for a while, then one double, so that a million points add up.
template <class Real, int Count>
struct Sums {
  static constexpr int kFlush = 64;
  Lanes<Real> partial[Count] = {};
  double total[Count] = {};
  int held = 0;

  void flush() {
    constexpr int L = kLanes<Real>;
    for (int first = 0; first < Count; first += L) {
      const Lanes<Real> sums = sum_rows<L, Real>(
          [&](int i) { return first + i < Count ? partial[first + i < Count ? first + i : 0] : Lanes<Real>{}; });
      for (int i = 0; i < L && first + i < Count; ++i) total[first + i] += static_cast<double>(sums[i]);
    }
    for (Lanes<Real>& sum : partial) sum = Lanes<Real>{};
    held = 0;
  }
  void end_of_chunk() {
    if (++held == kFlush) flush();
  }
};

template <class Real>
Moments<Real> moments(const ProcrustesForward& p, int64_t n) {
  Problem<Real> problem(p, n);
  Moments<Real> m{};
  if (p.kind != Alignment::kRotation) {
    problem.shift_to_first_that_counts();
    Sums<Real, 7> sums;
    for (int64_t first = 0; first < p.points; first += kLanes<Real>) {
      const Chunk<Real> x = problem.chunk(first);
      sums.partial[0] += x.weight;
      for (int c = 0; c < 3; ++c) {
        sums.partial[1 + c] += x.weight * x.source[c];
        sums.partial[4 + c] += x.weight * x.target[c];
      }
      sums.end_of_chunk();
    }
    sums.flush();
    const double inverse = sums.total[0] == 0 ? 0 : 1 / sums.total[0];
    for (int c = 0; c < 3; ++c) {
      m.source_centre[c] = static_cast<Real>(sums.total[1 + c] * inverse);
      m.target_centre[c] = static_cast<Real>(sums.total[4 + c] * inverse);
    }
  }
  Sums<Real, 10> sums;
  for (int64_t first = 0; first < p.points; first += kLanes<Real>) {
    const Chunk<Real> x = problem.chunk(first);
    for (int i = 0; i < 3; ++i) {
      const Lanes<Real> s = x.source[i] - m.source_centre[i];
      sums.partial[9] += x.weight * s * s;
      for (int j = 0; j < 3; ++j) sums.partial[3 * i + j] += x.weight * s * (x.target[j] - m.target_centre[j]);
    }
    sums.end_of_chunk();
  }
  sums.flush();
  for (int k = 0; k < 9; ++k) m.h[k] = static_cast<Real>(sums.total[k]);
  m.variance = static_cast<Real>(sums.total[9]);
  for (int c = 0; c < 3; ++c) {
    m.source_centre[c] += problem.source_shift[c];
    m.target_centre[c] += problem.target_shift[c];
  }
  return m;
}

// By way of an array: the compiler makes one vector instruction of the loop, which it does not of lanes of a vector.
template <class Real>
OLIFT_INLINE Lanes<Real> roots(Lanes<Real> x) {
  Real values[kLanes<Real>];
  std::memcpy(values, &x, sizeof(x));
  for (Real& value : values) value = std::sqrt(value);
  std::memcpy(&x, values, sizeof(x));
  return x;
}

}  // namespace

namespace olift {

template <>
struct Ops<Lanes<float>> : Ops<float> {
  using V = Lanes<float>;
  OLIFT_INLINE V select(VecOf<int32_t, kLanes<float>>::Type c, V a, V b) { return c ? a : b; }
  OLIFT_INLINE V root(V x) { return roots<float>(x); }
};

template <>
struct Ops<Lanes<double>> : Ops<double> {
  using V = Lanes<double>;
  OLIFT_INLINE V select(VecOf<int64_t, kLanes<double>>::Type c, V a, V b) { return c ? a : b; }
  OLIFT_INLINE V root(V x) { return roots<double>(x); }
};

}  // namespace olift

namespace {

template <class Real>
void forward(const ProcrustesForward& p) {
  constexpr int L = kLanes<Real>;
  using V = Lanes<Real>;
  const int64_t groups = (p.count + L - 1) / L;
  const int64_t grain = std::max<int64_t>(1, 2048 / (L * (p.points + 8)));
  olift::parallel_for(groups, grain, p.threads, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const int64_t base = group * L;
      const int present = static_cast<int>(std::min<int64_t>(L, p.count - base));
      Moments<V> many{};
      for (int i = 0; i < present; ++i) {
        const Moments<Real> one = moments<Real>(p, base + i);
        for (int k = 0; k < 9; ++k) many.h[k][i] = one.h[k];
        many.variance[i] = one.variance;
        for (int c = 0; c < 3; ++c) {
          many.source_centre[c][i] = one.source_centre[c];
          many.target_centre[c][i] = one.target_centre[c];
        }
      }
      const olift::Fit<V> fit = olift::fit<V>(many, p.kind, p.reflection);
      for (int i = 0; i < present; ++i) {
        const int64_t n = base + i;
        for (int k = 0; k < 9; ++k) static_cast<Real*>(p.rotation)[9 * n + k] = fit.rotation[k][i];
        for (int c = 0; c < 3; ++c) static_cast<Real*>(p.translation)[3 * n + c] = fit.translation[c][i];
        static_cast<Real*>(p.scale)[n] = fit.scale[i];
        static_cast<Real*>(p.conditioning)[n] = fit.conditioning[i];
      }
    }
  });
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(procrustes_forward)(const ProcrustesForward& p) {
  if (p.wide) forward<double>(p);
  else forward<float>(p);
}

}  // namespace olift
