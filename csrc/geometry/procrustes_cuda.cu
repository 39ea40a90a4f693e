// Procrustes alignment on a CUDA device: the same mathematics as on the CPU, from alignment.h.
//
// Many small sets: each lane solves a problem (rows_cuda.cuh). Each point is read once, also for an error and its
// gradient.
// Fewer or larger sets: 8 lanes share a problem of at most 64 points, a warp one of at most 256. Sums cross lanes by
// shuffles. A warp first sums up to 32 problems, and then solves their 4×4 eigenproblems at once, one in each lane.
// Each point is read once, 24 bytes in float32 (28 with weights); the error reads it a second time, after the fit.
// Large sets: a problem is cut into slices of a fixed size, and each block takes a slice. Blocks leave their sums in
// the workspace, and the next kernel adds them up in double.
// Sums have a fixed order, so results are the same from run to run. Nothing here waits for the device or allocates.

#include "geometry/rows_cuda.cuh"
#include "geometry/staging_cuda.cuh"

namespace {

constexpr int64_t kSmallPoints = kStage;
constexpr int64_t kNarrowPoints = kStage * 8 / kWarp;
constexpr int64_t kSlice = 4096;
constexpr int kWorkspace = kCenterSums + kCovarianceSums + 1;  // doubles a slice

// The numbers that a lane keeps in registers for its problem between the passes over the points.
template <class Real>
struct Held {
  Real sums[kCovarianceSums], source_center[3], target_center[3];
};

template <class Real>
__device__ Fit<Real> fit_of(const Procrustes& p, const Held<Real>& held) {
  return fit_from(held.sums, held.source_center, held.target_center, p.kind, p.reflection);
}

// Each warp fits `each` consecutive problems: a multiple of its groups, and at most 32.
template <class Real, int Width>
__global__ void __launch_bounds__(kThreads<Real>, 5) small_fits(Procrustes p, int each) {
  __shared__ Stage<Real> stages[kWarps<Real>];
  constexpr int kGroups = kWarp / Width;
  Stage<Real>& stage = stages[warp_index()];
  const int points = static_cast<int>(p.points), lane = lane_index(), group_index = lane / Width;
  const int64_t base = (static_cast<int64_t>(blockIdx.x) * kWarps<Real> + warp_index()) * each;
  if (base >= p.count) return;
  const int problems = static_cast<int>(min(static_cast<int64_t>(each), p.count - base));

  Held<Real> mine{};
  for (int first = 0; first < problems; first += kGroups) {
    const int here = min(kGroups, problems - first);
    stage_points(p, base + first, 0, here, points, stage);
    Group<Real, Width> group(stage, p.weights, group_index, points, group_index < here ? points : 0);
    if (p.kind != Alignment::kRotation) group.shift_to_first_that_counts();
    Real center_sums[kCenterSums], sums[kCovarianceSums];
    group.sum(AddToCenter<Real>{}, center_sums);
    const Center<Real> center = center_from(center_sums, p.kind);
    group.sum(AddToCovariance<Real>{center}, sums);
    // Lane first + g keeps the sums of group g.
    const int from = (lane - first) * Width;
    const bool takes = lane >= first && lane < first + here;
    for (int k = 0; k < kCovarianceSums; ++k) {
      const Real x = __shfl_sync(kAll, sums[k], from & (kWarp - 1));
      if (takes) mine.sums[k] = x;
    }
    for (int c = 0; c < 3; ++c) {
      const Real x = __shfl_sync(kAll, center.source[c] + group.source_shift[c], from & (kWarp - 1));
      const Real y = __shfl_sync(kAll, center.target[c] + group.target_shift[c], from & (kWarp - 1));
      if (takes) mine.source_center[c] = x;
      if (takes) mine.target_center[c] = y;
    }
  }

  const Fit<Real> fit = fit_of(p, mine);
  __syncwarp();
  if (lane < problems) {
    for (int k = 0; k < 9; ++k) stage.source[9 * lane + k] = fit.rotation[k];
    for (int c = 0; c < 3; ++c) stage.target[3 * lane + c] = fit.translation[c];
    static_cast<Real*>(p.scale)[base + lane] = fit.scale;
    if (p.step == ProcrustesStep::kFit) static_cast<Real*>(p.conditioning)[base + lane] = fit.conditioning;
  }
  __syncwarp();
  Real* const rotations = static_cast<Real*>(p.rotation) + 9 * base;
  copy_run(stage.source, rotations, 9 * problems, in_vectors(rotations));
  if (p.step == ProcrustesStep::kFit) {
    Real* const translations = static_cast<Real*>(p.translation) + 3 * base;
    copy_run(stage.target, translations, 3 * problems, in_vectors(translations));
    return;
  }

  for (int first = 0; first < problems; first += kGroups) {
    const int here = min(kGroups, problems - first);
    stage_points(p, base + first, 0, here, points, stage);
    Group<Real, Width> group(stage, p.weights, group_index, points, group_index < here ? points : 0);
    if (p.kind != Alignment::kRotation) group.shift_to_first_that_counts();
    Real center_sums[kCenterSums], squares[1], rotation[9];
    group.sum(AddToCenter<Real>{}, center_sums);
    const Center<Real> center = center_from(center_sums, p.kind);
    for (int k = 0; k < 9; ++k) rotation[k] = __shfl_sync(kAll, fit.rotation[k], (first + group_index) & (kWarp - 1));
    const Real scale = __shfl_sync(kAll, fit.scale, (first + group_index) & (kWarp - 1));
    group.sum(AddSquare<Real>{center, rotation, scale}, squares);
    if (group_index < here && group.lane() == 0) {
      static_cast<Real*>(p.error)[base + first + group_index] = mean_square(squares[0], center.total);
    }
  }
}

// Each warp takes as many problems as it has groups. Points are read once, and their gradients written once.
template <class Real, int Width>
__global__ void __launch_bounds__(kThreads<Real>, 5) small_gradients(Procrustes p) {
  __shared__ Stage<Real> stages[kWarps<Real>];
  constexpr int kGroups = kWarp / Width;
  Stage<Real>& stage = stages[warp_index()];
  const int points = static_cast<int>(p.points), group_index = lane_index() / Width;
  const int64_t base = (static_cast<int64_t>(blockIdx.x) * kWarps<Real> + warp_index()) * kGroups;
  if (base >= p.count) return;
  const int here = static_cast<int>(min(static_cast<int64_t>(kGroups), p.count - base));

  stage_points(p, base, 0, here, points, stage);
  const int64_t n = base + min(group_index, here - 1);
  Group<Real, Width> group(stage, p.weights, group_index, points, group_index < here ? points : 0);
  if (p.kind != Alignment::kRotation) group.shift_to_first_that_counts();
  Real center_sums[kCenterSums];
  group.sum(AddToCenter<Real>{}, center_sums);
  const Center<Real> center = center_from(center_sums, p.kind);
  if (p.step == ProcrustesStep::kFitGradient) {
    Real sums[kCovarianceSums];
    group.sum(AddToCovariance<Real>{center}, sums);
    const Slope<Real> slope = fit_slope(p, n, center, sums, group.source_shift);
    __syncwarp();  // all lanes have read the point that others are relative to, before gradients replace it
    group.write(GradientOf<Real, Slope<Real>>{center, slope});
  } else {
    const ErrorSlope<Real> slope = error_slope(p, n, center);
    __syncwarp();
    group.write(GradientOf<Real, ErrorSlope<Real>>{center, slope});
  }
  unstage_gradients(p, base * points, here * points, stage);
}

// A block's slice of a large problem: points first … end - 1 of problem n.
template <class Real>
struct Slice {
  int64_t n, first, end;
  Real source_shift[3], target_shift[3];

  __device__ Slice(const Procrustes& p, int64_t slices, int64_t index)
      : n(index / slices),
        first(index % slices * kSlice),
        end(min(first + kSlice, p.points)),
        source_shift{},
        target_shift{} {
    if (p.kind == Alignment::kRotation) return;
    int64_t counts = 0;
    if (p.weights) {
      const Real* weights = static_cast<const Real*>(p.weights) + n * p.weights_strides.problem;
      for (unsigned found = 0; counts < p.points; counts += kWarp) {
        const int64_t mine = counts + lane_index();
        found = __ballot_sync(kAll, mine < p.points && weights[mine * p.weights_strides.point] != 0);
        if (found) {
          counts += __ffs(static_cast<int>(found)) - 1;
          break;
        }
      }
      if (counts >= p.points) return;
    }
    for (int c = 0; c < 3; ++c) {
      source_shift[c] = read<Real>(p.source, n * p.source_strides.problem + counts * p.source_strides.point + c);
      target_shift[c] = read<Real>(p.target, n * p.target_strides.problem + counts * p.target_strides.point + c);
    }
  }

  // Calls body(group, first point, points) for each stage of points of this warp.
  template <class Body>
  __device__ void each_stage(const Procrustes& p, Stage<Real>& stage, Body& body) const {
    for (int64_t at = first + warp_index() * kStage; at < end; at += kWarps<Real> * kStage) {
      const int here = static_cast<int>(min(static_cast<int64_t>(kStage), end - at));
      stage_points(p, n, at, 1, here, stage);
      Group<Real, kWarp> group(stage, p.weights, 0, 0, here);
      for (int c = 0; c < 3; ++c) {
        group.source_shift[c] = source_shift[c];
        group.target_shift[c] = target_shift[c];
      }
      body(group, at, here);
    }
  }
};

// Adds up the sums of all stages in double.
template <class Real, int Count, class Terms>
struct Totals {
  const Terms& terms;
  double totals[Count];
  __device__ void operator()(const Group<Real, kWarp>& group, int64_t, int) {
    Real sums[Count];
    group.add_up(terms, sums);
    for (int k = 0; k < Count; ++k) totals[k] += static_cast<double>(sums[k]);
  }
};

template <class Real, class Gradient>
struct Write {
  const Procrustes& p;
  Stage<Real>& stage;
  const Gradient& gradient;
  int64_t n;
  __device__ void operator()(const Group<Real, kWarp>& group, int64_t at, int count) const {
    group.write(gradient);
    unstage_gradients(p, n * p.points + at, count, stage);
  }
};

// The block's totals over its slice, into partial[0 … Count - 1].
template <class Real, int Count, class Terms>
__device__ void sum_slice(const Procrustes& p, const Slice<Real>& slice, Stage<Real>& stage, const Terms& terms,
                          double* partial) {
  __shared__ double shared[kWarps<Real>][Count];
  Totals<Real, Count, Terms> body{terms, {}};
  slice.each_stage(p, stage, body);
#pragma unroll
  for (int k = 0; k < Count; ++k) {
    const double total = sum_over_lanes<kWarp>(body.totals[k]);
    if (lane_index() == 0) shared[warp_index()][k] = total;
  }
  __syncthreads();
  if (threadIdx.x < Count) {
    double total = 0;
    for (int warp = 0; warp < kWarps<Real>; ++warp) total += shared[warp][threadIdx.x];
    partial[threadIdx.x] = total;
  }
}

// The totals over all slices of a problem, in every thread; each warp computes them.
template <class Real, int Count>
__device__ void sum_partials(const double* partials, int64_t slices, Real (&sums)[Count]) {
#pragma unroll
  for (int k = 0; k < Count; ++k) {
    double total = 0;
    for (int64_t i = lane_index(); i < slices; i += kWarp) total += partials[i * Count + k];
    sums[k] = static_cast<Real>(sum_over_lanes<kWarp>(total));
  }
}

// The places of the partial sums in the workspace.
struct Partials {
  double *center, *covariance, *squares;
  int64_t slices;
  OLIFT_HD Partials(double* workspace, const Procrustes& p) {
    slices = (p.points + kSlice - 1) / kSlice;
    center = workspace;
    covariance = center + p.count * slices * kCenterSums;
    squares = covariance + p.count * slices * kCovarianceSums;
  }
};

template <class Real>
__device__ Center<Real> center_of(const Procrustes& p, const Partials& partials, int64_t n) {
  Real sums[kCenterSums];
  sum_partials(partials.center + n * partials.slices * kCenterSums, partials.slices, sums);
  return center_from(sums, p.kind);
}

// The next four kernels have a block for each slice.
template <class Real>
__global__ void __launch_bounds__(kThreads<Real>, 4) large_centers(Procrustes p, Partials partials) {
  __shared__ Stage<Real> stages[kWarps<Real>];
  const Slice<Real> slice(p, partials.slices, blockIdx.x);
  sum_slice<Real, kCenterSums>(p, slice, stages[warp_index()], AddToCenter<Real>{},
                               partials.center + static_cast<int64_t>(blockIdx.x) * kCenterSums);
}

template <class Real>
__global__ void __launch_bounds__(kThreads<Real>, 4) large_covariances(Procrustes p, Partials partials) {
  __shared__ Stage<Real> stages[kWarps<Real>];
  const Slice<Real> slice(p, partials.slices, blockIdx.x);
  const Center<Real> center = center_of<Real>(p, partials, slice.n);
  sum_slice<Real, kCovarianceSums>(p, slice, stages[warp_index()], AddToCovariance<Real>{center},
                                   partials.covariance + static_cast<int64_t>(blockIdx.x) * kCovarianceSums);
}

template <class Real>
__global__ void __launch_bounds__(kThreads<Real>, 4) large_squares(Procrustes p, Partials partials) {
  __shared__ Stage<Real> stages[kWarps<Real>];
  const Slice<Real> slice(p, partials.slices, blockIdx.x);
  const Center<Real> center = center_of<Real>(p, partials, slice.n);
  Real rotation[9];
  for (int k = 0; k < 9; ++k) rotation[k] = read<Real>(p.rotation, 9 * slice.n + k);
  const Real scale = read<Real>(p.scale, slice.n);
  sum_slice<Real, 1>(p, slice, stages[warp_index()], AddSquare<Real>{center, rotation, scale},
                     partials.squares + blockIdx.x);
}

template <class Real>
__global__ void __launch_bounds__(kThreads<Real>, 4) large_gradients(Procrustes p, Partials partials) {
  __shared__ Stage<Real> stages[kWarps<Real>];
  Stage<Real>& stage = stages[warp_index()];
  const Slice<Real> slice(p, partials.slices, blockIdx.x);
  const Center<Real> center = center_of<Real>(p, partials, slice.n);
  if (p.step == ProcrustesStep::kFitGradient) {
    Real sums[kCovarianceSums];
    sum_partials(partials.covariance + slice.n * partials.slices * kCovarianceSums, partials.slices, sums);
    const Slope<Real> slope = fit_slope(p, slice.n, center, sums, slice.source_shift);
    const GradientOf<Real, Slope<Real>> gradient{center, slope};
    Write<Real, GradientOf<Real, Slope<Real>>> body{p, stage, gradient, slice.n};
    slice.each_stage(p, stage, body);
  } else {
    const ErrorSlope<Real> slope = error_slope(p, slice.n, center);
    const GradientOf<Real, ErrorSlope<Real>> gradient{center, slope};
    Write<Real, GradientOf<Real, ErrorSlope<Real>>> body{p, stage, gradient, slice.n};
    slice.each_stage(p, stage, body);
  }
}

// The last two kernels have a block of one warp for each problem.
template <class Real>
__global__ void __launch_bounds__(kWarp) large_fits(Procrustes p, Partials partials) {
  const int64_t n = blockIdx.x;
  const Slice<Real> slice(p, partials.slices, n * partials.slices);
  const Center<Real> center = center_of<Real>(p, partials, n);
  Held<Real> held;
  sum_partials(partials.covariance + n * partials.slices * kCovarianceSums, partials.slices, held.sums);
  for (int c = 0; c < 3; ++c) {
    held.source_center[c] = center.source[c] + slice.source_shift[c];
    held.target_center[c] = center.target[c] + slice.target_shift[c];
  }
  const Fit<Real> fit = fit_of(p, held);
  if (threadIdx.x != 0) return;
  for (int k = 0; k < 9; ++k) static_cast<Real*>(p.rotation)[9 * n + k] = fit.rotation[k];
  static_cast<Real*>(p.scale)[n] = fit.scale;
  if (p.step != ProcrustesStep::kFit) return;
  for (int c = 0; c < 3; ++c) static_cast<Real*>(p.translation)[3 * n + c] = fit.translation[c];
  static_cast<Real*>(p.conditioning)[n] = fit.conditioning;
}

template <class Real>
__global__ void __launch_bounds__(kWarp) large_errors(Procrustes p, Partials partials) {
  const int64_t n = blockIdx.x;
  const Center<Real> center = center_of<Real>(p, partials, n);
  Real squares[1];
  sum_partials(partials.squares + n * partials.slices, partials.slices, squares);
  if (threadIdx.x == 0) static_cast<Real*>(p.error)[n] = mean_square(squares[0], center.total);
}

// `shared`: bytes of dynamic shared memory.
template <class... Parameters, class... Arguments>
void start_with(int64_t shared, void (*kernel)(Parameters...), int64_t blocks, int threads, cudaStream_t stream,
                const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.dynamicSmemBytes = static_cast<size_t>(shared);
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
}

template <class... Parameters, class... Arguments>
void start(void (*kernel)(Parameters...), int64_t blocks, int threads, cudaStream_t stream,
           const Arguments&... arguments) {
  start_with(0, kernel, blocks, threads, stream, arguments...);
}

template <class Real, int Width>
void run_small(const Procrustes& p, cudaStream_t stream) {
  constexpr int kGroups = kWarp / Width;
  const bool fits = p.step == ProcrustesStep::kFit || p.step == ProcrustesStep::kError;
  // A few problems are spread over warps. With many, every lane solves one.
  const int each = !fits || p.count < (1 << 12) ? kGroups : p.count < (1 << 16) ? 8 : 32;
  const int64_t blocks = (p.count + each * kWarps<Real> - 1) / (each * kWarps<Real>);
  if (fits) start(small_fits<Real, Width>, blocks, kThreads<Real>, stream, p, each);
  else start(small_gradients<Real, Width>, blocks, kThreads<Real>, stream, p);
}

template <class Real>
void run_large(const Procrustes& p, double* workspace, cudaStream_t stream) {
  const Partials partials(workspace, p);
  const int64_t blocks = p.count * partials.slices;
  start(large_centers<Real>, blocks, kThreads<Real>, stream, p, partials);
  if (p.step != ProcrustesStep::kErrorGradient) {
    start(large_covariances<Real>, blocks, kThreads<Real>, stream, p, partials);
  }
  if (p.step == ProcrustesStep::kFitGradient || p.step == ProcrustesStep::kErrorGradient) {
    start(large_gradients<Real>, blocks, kThreads<Real>, stream, p, partials);
    return;
  }
  start(large_fits<Real>, p.count, kWarp, stream, p, partials);
  if (p.step == ProcrustesStep::kFit) return;
  start(large_squares<Real>, blocks, kThreads<Real>, stream, p, partials);
  start(large_errors<Real>, p.count, kWarp, stream, p, partials);
}

template <class Real>
void run(const Procrustes& p, double* workspace, cudaStream_t stream) {
  if (p.count >= kManyProblems && rows_bytes<Real>(p) <= kRowsBytes) {
    const auto kernel = p.weights ? row_problems<Real, true> : row_problems<Real, false>;
    start_with(rows_bytes<Real>(p), kernel, (p.count + kWarp - 1) / kWarp, kWarp, stream, p);
  } else if (p.points <= kNarrowPoints) run_small<Real, 8>(p, stream);
  else if (p.points <= kSmallPoints) run_small<Real, kWarp>(p, stream);
  else run_large<Real>(p, workspace, stream);
}

}  // namespace

namespace olift {

int64_t procrustes_workspace(int64_t count, int64_t points) {
  return points <= kSmallPoints ? 0 : count * ((points + kSlice - 1) / kSlice) * kWorkspace;
}

const char* procrustes_cuda(const Procrustes& p, double* workspace, void* stream) {
  if (p.dtype == Dtype::kFloat64) run<double>(p, workspace, static_cast<cudaStream_t>(stream));
  else run<float>(p, workspace, static_cast<cudaStream_t>(stream));
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace olift
