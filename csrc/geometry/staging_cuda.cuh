// Points of a CUDA kernel in shared memory, and the group of lanes that share a problem.
//
// Source, target and weights are copied at the same time (cp.async), 16 bytes for each lane if they are contiguous and
// aligned. Gradients are copied back in the same way. Internal linkage: included once.
#pragma once

#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>

#include "geometry/alignment.h"
#include "geometry/procrustes.h"

namespace {

using namespace olift;

constexpr int kWarp = 32;
constexpr unsigned kAll = 0xffffffffu;
constexpr int kStage = 256;  // points of a warp in shared memory

template <class Real>
constexpr int kWarps = sizeof(Real) == 4 ? 4 : 2;  // of a block, which has 28 KiB of shared memory

template <class Real>
constexpr int kThreads = kWarps<Real> * kWarp;

template <class Real>
struct alignas(16) Stage {
  Real source[3 * kStage], target[3 * kStage], weights[kStage];
};

__device__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }

template <class Real>
__device__ bool in_vectors(const Real* memory) {
  return reinterpret_cast<uintptr_t>(memory) % sizeof(uint4) == 0;
}

// The dynamic shared memory of the launch.
__device__ void* shared_memory() {
#if defined(OLIFT_SHARED_MEMORY)
  return OLIFT_SHARED_MEMORY;
#else
  extern __shared__ uint4 memory[];
  return memory;
#endif
}

// Starts to copy `count` contiguous numbers to the start of a stage's array; the lanes of a warp share this.
template <class Real>
__device__ void fetch_run(const Real* from, Real* to, int count) {
  constexpr int kEach = static_cast<int>(sizeof(uint4) / sizeof(Real));
  const int whole = in_vectors(from) ? count / kEach : 0;
  for (int i = lane_index(); i < whole; i += kWarp) {
    __pipeline_memcpy_async(to + i * kEach, from + i * kEach, sizeof(uint4));
  }
  for (int i = whole * kEach + lane_index(); i < count; i += kWarp) {
    __pipeline_memcpy_async(to + i, from + i, sizeof(Real));
  }
}

// Copies `count` numbers from the start of a stage's array to contiguous memory; the lanes of a warp share this.
template <class Real>
__device__ void copy_run(const Real* from, Real* to, int count, bool vectors) {
  const int whole = vectors ? count / static_cast<int>(sizeof(uint4) / sizeof(Real)) : 0;
  for (int i = lane_index(); i < whole; i += kWarp) {
    reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  for (int i = whole * static_cast<int>(sizeof(uint4) / sizeof(Real)) + lane_index(); i < count; i += kWarp) {
    to[i] = from[i];
  }
}

// Starts to copy `width` numbers of each of `points` points of each of `problems` problems.
template <class Real>
__device__ void stage_array(const void* base, const Strides2& strides, int width, int64_t n, int64_t first,
                            int problems, int points, Real* to) {
  const Real* from = static_cast<const Real*>(base) + n * strides.problem + first * strides.point;
  const int row = width * points, count = problems * row;
  if ((strides.point == width || points == 1) && (strides.problem == row || problems == 1)) {
    fetch_run(from, to, count);
    return;
  }
  for (int i = lane_index(); i < count; i += kWarp) {
    const int problem = i / row, point = i % row / width;
    __pipeline_memcpy_async(to + i, from + problem * strides.problem + point * strides.point + i % width, sizeof(Real));
  }
}

template <class Real>
__device__ void stage_points(const Procrustes& p, int64_t n, int64_t first, int problems, int points, Stage<Real>& to) {
  __syncwarp();  // all lanes have read the points that were here before
  stage_array(p.source, p.source_strides, 3, n, first, problems, points, to.source);
  stage_array(p.target, p.target_strides, 3, n, first, problems, points, to.target);
  if (p.weights) stage_array(p.weights, p.weights_strides, 1, n, first, problems, points, to.weights);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncwarp();
}

// Writes the gradients in the stage to memory; `at` is the index of the first point among all points.
template <class Real>
__device__ void unstage_gradients(const Procrustes& p, int64_t at, int count, const Stage<Real>& from) {
  __syncwarp();
  Real* const outputs[3] = {static_cast<Real*>(p.grad_source), static_cast<Real*>(p.grad_target),
                            static_cast<Real*>(p.grad_weights)};
  if (outputs[0]) copy_run(from.source, outputs[0] + 3 * at, 3 * count, in_vectors(outputs[0] + 3 * at));
  if (outputs[1]) copy_run(from.target, outputs[1] + 3 * at, 3 * count, in_vectors(outputs[1] + 3 * at));
  if (outputs[2]) copy_run(from.weights, outputs[2] + at, count, in_vectors(outputs[2] + at));
}

template <int Width, class Real>
__device__ Real sum_over_lanes(Real x) {
  for (int step = Width / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAll, x, step);
  return x;
}

// `Width` lanes and the staged points that they share; `points` is 0 if there is no problem for them.
template <class Real, int Width>
struct Group {
  Real *source, *target, *weights;
  int points;
  Real source_shift[3], target_shift[3];

  __device__ Group(Stage<Real>& stage, bool weighted, int index, int stride, int points_)
      : source(stage.source + 3 * index * stride),
        target(stage.target + 3 * index * stride),
        weights(weighted ? stage.weights + index * stride : nullptr),
        points(points_),
        source_shift{},
        target_shift{} {}

  __device__ int lane() const { return lane_index() % Width; }

  // Makes points relative to the first one with a weight.
  __device__ void shift_to_first_that_counts() {
    int first = 0;
    if (weights) {
      first = lane();
      while (first < points && weights[first] == 0) first += Width;
      for (int step = Width / 2; step > 0; step /= 2) first = min(first, __shfl_xor_sync(kAll, first, step));
    }
    if (first >= points) return;
    for (int c = 0; c < 3; ++c) {
      source_shift[c] = source[3 * first + c];
      target_shift[c] = target[3 * first + c];
    }
  }

  __device__ Point<Real> point(int i) const {
    Point<Real> x{};
    x.weight = weights ? weights[i] : Real{1};
    if (x.weight == 0) return x;
    for (int c = 0; c < 3; ++c) {
      x.source[c] = source[3 * i + c] - source_shift[c];
      x.target[c] = target[3 * i + c] - target_shift[c];
    }
    return x;
  }

  // The sums of this lane's points.
  template <int Count, class Terms>
  __device__ void add_up(const Terms& terms, Real (&sums)[Count]) const {
    for (int k = 0; k < Count; ++k) sums[k] = 0;
    for (int i = lane(); i < points; i += Width) terms(point(i), sums);
  }

  // The sums of all points, in every lane.
  template <int Count, class Terms>
  __device__ void sum(const Terms& terms, Real (&sums)[Count]) const {
    add_up(terms, sums);
    for (int k = 0; k < Count; ++k) sums[k] = sum_over_lanes<Width>(sums[k]);
  }

  // Replaces each point by its gradient.
  template <class Gradient>
  __device__ void write(const Gradient& gradient) const {
    for (int i = lane(); i < points; i += Width) {
      const PointGradient<Real> g = gradient(point(i));
      for (int c = 0; c < 3; ++c) {
        source[3 * i + c] = g.source[c];
        target[3 * i + c] = g.target[c];
      }
      if (weights) weights[i] = g.weight;
    }
  }
};

template <class Real>
struct AddToCenter {
  __device__ void operator()(const Point<Real>& x, Real (&sums)[kCenterSums]) const { add_to_center(x, sums); }
};

template <class Real>
struct AddToCovariance {
  const Center<Real>& center;
  __device__ void operator()(const Point<Real>& x, Real (&sums)[kCovarianceSums]) const {
    add_to_covariance(about(x, center), sums);
  }
};

template <class Real>
struct AddSquare {
  const Center<Real>& center;
  const Real (&rotation)[9];
  const Real& scale;
  __device__ void operator()(const Point<Real>& x, Real (&sums)[1]) const {
    add_square(about(x, center), rotation, scale, sums);
  }
};

template <class Real, class Slope>
struct GradientOf {
  const Center<Real>& center;
  const Slope& slope;
  __device__ PointGradient<Real> operator()(const Point<Real>& x) const {
    return point_gradient(about(x, center), slope);
  }
};

template <class Real>
__device__ Real read(const void* base, int64_t i) {
  return static_cast<const Real*>(base)[i];
}

template <class Real>
__device__ ErrorSlope<Real> error_slope(const Procrustes& p, int64_t n, const Center<Real>& center) {
  ErrorSlope<Real> slope;
  for (int k = 0; k < 9; ++k) slope.rotation[k] = read<Real>(p.rotation, 9 * n + k);
  slope.scale = read<Real>(p.scale, n);
  slope.error = read<Real>(p.error, n);
  slope.factor = error_factor(read<Real>(p.grad_error, n), center.total);
  return slope;
}

template <class Real>
__device__ Slope<Real> fit_slope(const Procrustes& p, int64_t n, const Center<Real>& center,
                                 const Real (&sums)[kCovarianceSums], const Real (&shift)[3]) {
  Fit<Real> fit{}, gradient{};
  for (int k = 0; k < 9; ++k) fit.rotation[k] = read<Real>(p.rotation, 9 * n + k);
  fit.scale = read<Real>(p.scale, n);
  fit.conditioning = read<Real>(p.conditioning, n);
  for (int k = 0; k < 9; ++k) gradient.rotation[k] = read<Real>(p.grad_rotation, 9 * n + k);
  gradient.scale = read<Real>(p.grad_scale, n);
  for (int c = 0; c < 3; ++c) gradient.translation[c] = read<Real>(p.grad_translation, 3 * n + c);
  const Real source_center[3] = {center.source[0] + shift[0], center.source[1] + shift[1], center.source[2] + shift[2]};
  return slope_of_fit(sums, center.total, source_center, fit, gradient, p.kind);
}

}  // namespace
