// Many small problems on a CUDA device, one in each lane: no sum crosses lanes, and only one lane has a problem's
// numbers in registers.
//
// A block is one warp. It copies the points of its 32 problems into shared memory, 24 bytes a point in float32 (28 with
// weights), all at once (cp.async). Then each lane goes over its own row as often as the step needs. Rows are an odd
// number of words apart, so no two lanes use the same bank. Gradients replace the points, and are copied back row by
// row. Internal linkage: included once.
#pragma once

#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>

#include "geometry/procrustes_steps.h"
#include "geometry/staging_cuda.cuh"

namespace {

constexpr int64_t kManyProblems = 1 << 14;  // from this number on, there are enough warps for all multiprocessors
constexpr int64_t kRowsBytes = 48 << 10;    // of shared memory for a block, at most

__host__ __device__ constexpr int64_t row_words(int64_t points) { return 3 * points | 1; }
__host__ __device__ constexpr int64_t weight_words(int64_t points) { return points | 1; }

template <class Real>
int64_t rows_bytes(const Procrustes& p) {
  const int64_t words = 2 * row_words(p.points) + (p.weights ? weight_words(p.points) : 0);
  return kWarp * words * static_cast<int64_t>(sizeof(Real));
}

// Starts to copy `width` numbers of each of `points` points of each problem into rows of shared memory, `stride` apart.
// The lanes of a warp share this; a lane copies the same places of all rows.
template <class Real>
__device__ void fetch_rows(const void* base, const Strides2& strides, int width, int64_t n, int problems, int points,
                           int stride, Real* to) {
  const Real* from = static_cast<const Real*>(base) + n * strides.problem;
  for (int i = lane_index(); i < width * points; i += kWarp) {
    const Real* place = from + i / width * strides.point + i % width;
    Real* row = to + i;
#pragma unroll 8
    for (int k = 0; k < problems; ++k, place += strides.problem, row += stride) {
      __pipeline_memcpy_async(row, place, sizeof(Real));
    }
  }
}

template <class Real>
__device__ void put_rows(void* base, int width, int64_t n, int problems, int points, int stride, const Real* from) {
  if (!base) return;
  const int words = width * points;
  for (int i = lane_index(); i < words; i += kWarp) {
    Real* place = static_cast<Real*>(base) + n * words + i;
    const Real* row = from + i;
#pragma unroll 8
    for (int k = 0; k < problems; ++k, place += words, row += stride) *place = *row;
  }
}

// The points of a lane's own problem.
template <class Real, bool Weighted>
struct Row {
  static constexpr bool kMoves = false;
  Real *source, *target, *weights;
  int points;
  Real source_shift[3], target_shift[3];

  OLIFT_HD Point<Real> point(int i) const {
    Point<Real> x;
    x.weight = Weighted ? weights[i] : Real{1};
    const bool counts = !Weighted || x.weight != 0;
    for (int c = 0; c < 3; ++c) {
      x.source[c] = counts ? source[3 * i + c] - source_shift[c] : Real{0};
      x.target[c] = counts ? target[3 * i + c] - target_shift[c] : Real{0};
    }
    return x;
  }

  // Makes points relative to the first one with a weight.
  __device__ void shift_to_first_that_counts() {
    int first = 0;
    while (Weighted && first < points && weights[first] == 0) ++first;
    if (first >= points) return;
    for (int c = 0; c < 3; ++c) {
      source_shift[c] = source[3 * first + c];
      target_shift[c] = target[3 * first + c];
    }
  }

  template <int Count, class Terms>
  OLIFT_HD void sum(const Terms& terms, Real (&sums)[Count]) const {
    for (int k = 0; k < Count; ++k) sums[k] = 0;
    for (int i = 0; i < points; ++i) terms(point(i), sums);
  }

  // Replaces each point by its gradient.
  template <class Gradient>
  OLIFT_HD void write(const Gradient& gradient) const {
    for (int i = 0; i < points; ++i) {
      const PointGradient<Real> g = gradient(point(i));
      for (int c = 0; c < 3; ++c) {
        source[3 * i + c] = g.source[c];
        target[3 * i + c] = g.target[c];
      }
      if (Weighted) weights[i] = g.weight;
    }
  }
};

// Loads and stores the numbers that problem n has once. Those of a warp's problems are next to each other, and so in
// the same cache lines.
template <class Real>
struct Own {
  int64_t n;
  bool present;
  OLIFT_HD void load(const void* base, int count, Real* out) const {
    for (int k = 0; k < count; ++k) out[k] = static_cast<const Real*>(base)[n * count + k];
  }
  OLIFT_HD void store(void* base, int count, const Real* in) const {
    for (int k = 0; k < count && present; ++k) static_cast<Real*>(base)[n * count + k] = in[k];
  }
};

// A block is one warp, for 32 consecutive problems, with rows_bytes of shared memory.
template <class Real, bool Weighted>
__global__ void __launch_bounds__(kWarp) row_problems(Procrustes p) {
  const int points = static_cast<int>(p.points), lane = lane_index();
  const int64_t base = static_cast<int64_t>(blockIdx.x) * kWarp;
  const int problems = static_cast<int>(min(static_cast<int64_t>(kWarp), p.count - base));
  const int words = static_cast<int>(row_words(points)), weight = static_cast<int>(weight_words(points));
  Real* const sources = static_cast<Real*>(shared_memory());
  Real* const targets = sources + kWarp * words;
  Real* const weights = targets + kWarp * words;
  fetch_rows(p.source, p.source_strides, 3, base, problems, points, words, sources);
  fetch_rows(p.target, p.target_strides, 3, base, problems, points, words, targets);
  if (Weighted) fetch_rows(p.weights, p.weights_strides, 1, base, problems, points, weight, weights);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncwarp();

  const bool present = lane < problems;  // a lane without a problem has no points, and writes nothing
  const int own = present ? lane : 0;
  Row<Real, Weighted> row{
      sources + own * words, targets + own * words, weights + own * weight, present ? points : 0, {}, {}};
  if (p.kind != Alignment::kRotation) row.shift_to_first_that_counts();
  solve<Real>(p, Own<Real>{base + own, present}, row);
  if (p.step != ProcrustesStep::kFitGradient && p.step != ProcrustesStep::kErrorGradient) return;
  __syncwarp();
  put_rows(p.grad_source, 3, base, problems, points, words, sources);
  put_rows(p.grad_target, 3, base, problems, points, words, targets);
  if (Weighted) put_rows(p.grad_weights, 1, base, problems, points, weight, weights);
}

}  // namespace
