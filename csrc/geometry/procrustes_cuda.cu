// Procrustes alignment, forward, on a CUDA device: the same mathematics as on the CPU, from procrustes.h.
//
// Small sets: a warp takes up to 32 problems. Its lanes share the points of one problem after the other and add the
// moments up by shuffles; lane i keeps those of problem i, and then every lane solves for its own rotation. Each problem
// is read twice, the second time from the cache: 24 bytes a point in float32 (28 with weights) and 68 bytes written.
// Large sets: a block takes one problem, and sums over many points go through double.
// Sums have a fixed order, so results are the same from run to run; nothing here waits for the device.

#include <cuda_runtime.h>

#include "geometry/procrustes.h"

namespace {

using olift::Alignment;
using olift::Moments;
using olift::ProcrustesForward;

constexpr int kWarp = 32;
constexpr unsigned kAll = 0xffffffffu;
constexpr int kSmallThreads = 128;
constexpr int kLargeThreads = 512;
constexpr int64_t kSmallPoints = 256;
constexpr int kFlush = 64;

template <class Real>
struct Problem {
  const Real *source, *target, *weights;
  int64_t source_stride, target_stride, weights_stride;
  Real source_shift[3], target_shift[3];

  __device__ Problem(const ProcrustesForward& p, int64_t n)
      : source(static_cast<const Real*>(p.source) + n * p.source_strides.problem),
        target(static_cast<const Real*>(p.target) + n * p.target_strides.problem),
        weights(p.weights ? static_cast<const Real*>(p.weights) + n * p.weights_strides.problem : nullptr),
        source_stride(p.source_strides.point),
        target_stride(p.target_strides.point),
        weights_stride(p.weights_strides.point),
        source_shift{},
        target_shift{} {}

  __device__ Real weight(int64_t i) const { return weights ? weights[i * weights_stride] : Real{1}; }

  __device__ void shift_to(int64_t i) {
    for (int c = 0; c < 3; ++c) {
      source_shift[c] = source[i * source_stride + c];
      target_shift[c] = target[i * target_stride + c];
    }
  }

  __device__ bool point(int64_t i, Real& w, Real (&s)[3], Real (&t)[3]) const {
    w = weight(i);
    if (w == 0) return false;
    for (int c = 0; c < 3; ++c) {
      s[c] = source[i * source_stride + c] - source_shift[c];
      t[c] = target[i * target_stride + c] - target_shift[c];
    }
    return true;
  }
};

// The first point of nonzero weight, found by one warp; `points` where there is none.
template <class Real>
__device__ int64_t first_that_counts(const Problem<Real>& problem, int64_t points, int lane) {
  if (!problem.weights) return 0;
  for (int64_t base = 0; base < points; base += kWarp) {
    const bool counts = base + lane < points && problem.weight(base + lane) != 0;
    const unsigned found = __ballot_sync(kAll, counts);
    if (found) return base + __ffs(static_cast<int>(found)) - 1;
  }
  return points;
}

template <class Real>
struct CentreTerms {
  static constexpr int kCount = 7;
  const Problem<Real>& problem;
  __device__ void add(int64_t i, Real (&sums)[kCount]) const {
    Real w, s[3], t[3];
    if (!problem.point(i, w, s, t)) return;
    sums[0] += w;
    for (int c = 0; c < 3; ++c) {
      sums[1 + c] += w * s[c];
      sums[4 + c] += w * t[c];
    }
  }
};

template <class Real>
struct CovarianceTerms {
  static constexpr int kCount = 10;
  const Problem<Real>& problem;
  const Moments<Real>& m;
  __device__ void add(int64_t i, Real (&sums)[kCount]) const {
    Real w, s[3], t[3];
    if (!problem.point(i, w, s, t)) return;
    for (int a = 0; a < 3; ++a) s[a] -= m.source_centre[a];
    for (int b = 0; b < 3; ++b) t[b] -= m.target_centre[b];
    for (int a = 0; a < 3; ++a) {
      sums[9] += w * s[a] * s[a];
      for (int b = 0; b < 3; ++b) sums[3 * a + b] += w * s[a] * t[b];
    }
  }
};

template <class Real>
__device__ Real sum_over_warp(Real x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAll, x, step);
  return x;
}

// Adds up the terms of every point; the result is in every thread.
template <class Real>
struct WarpSum {
  int64_t points;
  int lane;

  template <class Terms>
  __device__ void operator()(const Terms& terms, Real (&sums)[Terms::kCount]) const {
    for (int k = 0; k < Terms::kCount; ++k) sums[k] = 0;
    for (int64_t i = lane; i < points; i += kWarp) terms.add(i, sums);
    for (int k = 0; k < Terms::kCount; ++k) sums[k] = sum_over_warp(sums[k]);
  }
};

template <class Real>
struct BlockSum {
  int64_t points;
  double (*shared)[kLargeThreads / kWarp];  // one row a sum

  template <class Terms>
  __device__ void operator()(const Terms& terms, Real (&sums)[Terms::kCount]) const {
    double totals[Terms::kCount] = {};
    for (int64_t i = threadIdx.x; i < points;) {
      for (int k = 0; k < Terms::kCount; ++k) sums[k] = 0;
      for (int held = 0; held < kFlush && i < points; ++held, i += kLargeThreads) terms.add(i, sums);
      for (int k = 0; k < Terms::kCount; ++k) totals[k] += static_cast<double>(sums[k]);
    }
    __syncthreads();  // the previous sums have been read
    for (int k = 0; k < Terms::kCount; ++k) {
      const double total = sum_over_warp(totals[k]);
      if (threadIdx.x % kWarp == 0) shared[k][threadIdx.x / kWarp] = total;
    }
    __syncthreads();
    for (int k = 0; k < Terms::kCount; ++k) {
      double total = 0;
      for (int w = 0; w < kLargeThreads / kWarp; ++w) total += shared[k][w];
      sums[k] = static_cast<Real>(total);
    }
  }
};

template <class Real, class Sum>
__device__ Moments<Real> moments(const Problem<Real>& problem, Alignment kind, const Sum& sum) {
  Moments<Real> m{};
  if (kind != Alignment::kRotation) {
    Real centre[7];
    sum(CentreTerms<Real>{problem}, centre);
    const Real inverse = centre[0] == 0 ? Real{0} : 1 / centre[0];
    for (int c = 0; c < 3; ++c) {
      m.source_centre[c] = centre[1 + c] * inverse;
      m.target_centre[c] = centre[4 + c] * inverse;
    }
  }
  Real covariance[10];
  sum(CovarianceTerms<Real>{problem, m}, covariance);
  for (int k = 0; k < 9; ++k) m.h[k] = covariance[k];
  m.variance = covariance[9];
  for (int c = 0; c < 3; ++c) {
    m.source_centre[c] += problem.source_shift[c];
    m.target_centre[c] += problem.target_shift[c];
  }
  return m;
}

template <class Real>
__device__ void solve_and_store(const ProcrustesForward& p, const Moments<Real>& m, int64_t n) {
  const olift::Fit<Real> fit = olift::fit(m, p.kind, p.reflection);
  for (int k = 0; k < 9; ++k) static_cast<Real*>(p.rotation)[9 * n + k] = fit.rotation[k];
  for (int c = 0; c < 3; ++c) static_cast<Real*>(p.translation)[3 * n + c] = fit.translation[c];
  static_cast<Real*>(p.scale)[n] = fit.scale;
  static_cast<Real*>(p.conditioning)[n] = fit.conditioning;
}

// Grid: a warp for each `each` consecutive problems, `each` <= 32.
template <class Real>
__global__ void __launch_bounds__(kSmallThreads) small_sets(ProcrustesForward p, int each) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * kSmallThreads + threadIdx.x) / kWarp;
  const int64_t base = warp * each;
  Moments<Real> mine{};
  for (int i = 0; i < each && base + i < p.count; ++i) {
    Problem<Real> problem(p, base + i);
    if (p.kind != Alignment::kRotation) {
      const int64_t first = first_that_counts(problem, p.points, lane);
      if (first < p.points) problem.shift_to(first);
    }
    const Moments<Real> m = moments(problem, p.kind, WarpSum<Real>{p.points, lane});
    if (lane == i) mine = m;
  }
  if (lane < each && base + lane < p.count) solve_and_store(p, mine, base + lane);
}

// Grid: a block for each problem.
template <class Real>
__global__ void __launch_bounds__(kLargeThreads) large_sets(ProcrustesForward p) {
  __shared__ double shared[10][kLargeThreads / kWarp];
  const int64_t n = blockIdx.x;
  Problem<Real> problem(p, n);
  if (p.kind != Alignment::kRotation) {
    const int64_t first = first_that_counts(problem, p.points, static_cast<int>(threadIdx.x) % kWarp);
    if (first < p.points) problem.shift_to(first);
  }
  const Moments<Real> m = moments(problem, p.kind, BlockSum<Real>{p.points, shared});
  if (threadIdx.x == 0) solve_and_store(p, m, n);
}

template <class Real>
void launch(const ProcrustesForward& p, cudaStream_t stream) {
  if (p.points > kSmallPoints) {
    large_sets<Real><<<static_cast<unsigned>(p.count), kLargeThreads, 0, stream>>>(p);
    return;
  }
  // Few problems: spread them over warps; many: let every lane solve one.
  const int each = p.count >= (1 << 16) ? 32 : p.count >= (1 << 13) ? 8 : 1;
  const int64_t warps = (p.count + each - 1) / each;
  const int64_t blocks = (warps * kWarp + kSmallThreads - 1) / kSmallThreads;
  small_sets<Real><<<static_cast<unsigned>(blocks), kSmallThreads, 0, stream>>>(p, each);
}

}  // namespace

namespace olift {

const char* procrustes_forward_cuda(const ProcrustesForward& p, void* stream) {
  if (p.wide) launch<double>(p, static_cast<cudaStream_t>(stream));
  else launch<float>(p, static_cast<cudaStream_t>(stream));
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace olift
