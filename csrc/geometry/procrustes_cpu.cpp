// Procrustes alignment on the CPU; compiled once for each instruction set (OLIFT_ISA names it).
//
// A vector holds one coordinate of as many problems as it has lanes: points are transposed into such vectors a block at
// a time, and stay in the cache for the passes over them (centroids, covariance, residuals or gradients). A problem of
// many points, where there are few, is cut into slices, and each slice into one stretch of points a lane.

#include "geometry/procrustes.h"

#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "geometry/alignment.h"
#include "geometry/staging.h"

namespace {

using namespace olift;

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
  OLIFT_INLINE V select(LaneMask<float> c, V a, V b) { return c ? a : b; }
  OLIFT_INLINE V root(V x) { return roots<float>(x); }
};

template <>
struct Ops<Lanes<double>> : Ops<double> {
  using V = Lanes<double>;
  OLIFT_INLINE V select(LaneMask<double> c, V a, V b) { return c ? a : b; }
  OLIFT_INLINE V root(V x) { return roots<double>(x); }
};

}  // namespace olift

namespace {

constexpr int kBlock = 160;            // points in the cache at a time: a whole body with hands and face fits
constexpr int64_t kSlice = 16384;      // points of a slice of a long problem
constexpr int64_t kLongPoints = 4096;  // above, there is nothing to gain from several problems in a vector

template <class Real>
struct Staged {
  Lanes<Real> source[3 * kBlock], target[3 * kBlock], weight[kBlock];
};

// As many point sets as a vector has lanes. Where fewer are present, the last one stands in for those that are not.
template <class Real, bool Weighted>
class Sets {
 public:
  static constexpr int L = kLanes<Real>;
  using V = Lanes<Real>;

  // Lane i holds points [first + i · step, first + i · step + points) of problem n + i · problem_step.
  Sets(const Procrustes& p, Staged<Real>& staged, int64_t n, int64_t problem_step, int64_t first, int64_t step,
       int64_t points, int present)
      : p_(p), staged_(staged), points_(points), present_(present) {
    for (int i = 0; i < L; ++i) {
      const int lane = std::min(i, present - 1);
      const int64_t problem = n + lane * problem_step, point = first + lane * step;
      source_[i] = place(p.source, p.source_strides, problem, point);
      target_[i] = place(p.target, p.target_strides, problem, point);
      if (Weighted) weights_[i] = place(p.weights, p.weights_strides, problem, point);
      start_[i] = problem * p.points + point;
    }
  }

  // Points are relative to the first of their problem that counts; found here for whole problems.
  void shift_to_first_that_counts() {
    for (int i = 0; i < L; ++i) {
      int64_t first = 0;
      if (Weighted) {
        while (first < points_ && weights_[i][first * p_.weights_strides.point] == 0) ++first;
        if (first == points_) continue;
      }
      for (int c = 0; c < 3; ++c) {
        source_shift[c][i] = source_[i][first * p_.source_strides.point + c];
        target_shift[c][i] = target_[i][first * p_.target_strides.point + c];
      }
    }
  }

  // Adds up `terms(point, sums)` over the points of each lane.
  template <int Count, class Terms>
  OLIFT_HD void sum(const Terms& terms, V (&sums)[Count]) {
    for (V& sum : sums) sum = V{};
    blocks([&](int, int count) {
      V partial[Count] = {};
      for (int i = 0; i < count; ++i) terms(point(i), partial);
      for (int k = 0; k < Count; ++k) sums[k] += partial[k];
    });
  }

  // Writes `gradient(point)` of each point; it takes the point's place in the cache.
  template <class Gradient>
  OLIFT_HD void write(const Gradient& gradient) {
    const bool of_target = p_.grad_target != nullptr;
    blocks([&](int64_t first, int count) {
      for (int i = 0; i < count; ++i) {
        const PointGradient<V> g = gradient(point(i));
        for (int c = 0; c < 3; ++c) staged_.source[3 * i + c] = g.source[c];
        if (of_target) {
          for (int c = 0; c < 3; ++c) staged_.target[3 * i + c] = g.target[c];
        }
        staged_.weight[i] = g.weight;
      }
      unload(p_.grad_source, 3, first, count, staged_.source);
      unload(p_.grad_target, 3, first, count, staged_.target);
      if (Weighted) unload(p_.grad_weights, 1, first, count, staged_.weight);
    });
    loaded_ = -1;
  }

  V source_shift[3] = {}, target_shift[3] = {};

 private:
  static const Real* place(const void* base, Strides2 strides, int64_t problem, int64_t point) {
    return static_cast<const Real*>(base) + problem * strides.problem + point * strides.point;
  }

  OLIFT_HD Point<V> point(int i) const {
    Point<V> x;
    x.weight = Weighted ? staged_.weight[i] : V{} + 1;
    for (int c = 0; c < 3; ++c) {
      x.source[c] = staged_.source[3 * i + c] - source_shift[c];
      x.target[c] = staged_.target[3 * i + c] - target_shift[c];
      if (Weighted) {
        const auto counts = x.weight != V{};
        x.source[c] = counts ? x.source[c] : V{};
        x.target[c] = counts ? x.target[c] : V{};
      }
    }
    return x;
  }

  template <class Body>
  OLIFT_HD void blocks(const Body& body) {
    for (int64_t first = 0; first < points_; first += kBlock) {
      const int count = static_cast<int>(std::min<int64_t>(kBlock, points_ - first));
      if (loaded_ != first) load(first, count);
      body(first, count);
    }
  }

  void load(int64_t first, int count) {
    // The next problems lie as far on as these lie apart from one another; the processor does not guess that itself.
    const auto load_ahead = [&](const Real* const(&bases)[L], int64_t stride, int width, V* out) {
      load(bases, stride, width, first, count, L * (bases[1] - bases[0]), out);
    };
    load_ahead(source_, p_.source_strides.point, 3, staged_.source);
    load_ahead(target_, p_.target_strides.point, 3, staged_.target);
    if (Weighted) load_ahead(weights_, p_.weights_strides.point, 1, staged_.weight);
    loaded_ = first;
  }

  static void load(const Real* const (&bases)[L], int64_t stride, int width, int64_t first, int count, int64_t ahead,
                   V* out) {
    const Real* rows[L];
    for (int i = 0; i < L; ++i) rows[i] = bases[i] + first * stride;
    if (stride == width) {
      load_rows<Real>(rows, width * count, ahead, out);
      return;
    }
    for (int point = 0; point < count; ++point) {
      for (int c = 0; c < width; ++c) {
        for (int i = 0; i < L; ++i) out[width * point + c][i] = rows[i][point * stride + c];
      }
    }
  }

  void unload(void* base, int width, int64_t first, int count, const V* in) const {
    if (!base) return;
    Real* rows[L];
    for (int i = 0; i < L; ++i) rows[i] = static_cast<Real*>(base) + width * (start_[i] + first);
    store_rows<Real>(rows, present_, width * count, in);
  }

  const Procrustes& p_;
  Staged<Real>& staged_;
  const Real *source_[L], *target_[L], *weights_[L];
  int64_t start_[L];
  int64_t points_, loaded_ = -1;
  int present_;
};

// What a problem, or one problem a lane, reads and writes beside its points; rows are contiguous.
template <class Real>
struct Lane {
  static constexpr int L = kLanes<Real>;
  int64_t n;
  int present;

  void load(const void* base, int count, Lanes<Real>* out) const {
    const Real* rows[L];
    for (int i = 0; i < L; ++i) rows[i] = static_cast<const Real*>(base) + (n + std::min(i, present - 1)) * count;
    load_rows<Real>(rows, count, 0, out);
  }
  void load(const void* base, int count, Real* out) const {
    std::memcpy(out, static_cast<const Real*>(base) + n * count, sizeof(Real) * static_cast<size_t>(count));
  }
  void store(void* base, int count, const Lanes<Real>* in) const {
    Real* rows[L];
    for (int i = 0; i < L; ++i) rows[i] = static_cast<Real*>(base) + (n + i) * count;
    store_rows<Real>(rows, present, count, in);
  }
  void store(void* base, int count, const Real* in) const {
    std::memcpy(static_cast<Real*>(base) + n * count, in, sizeof(Real) * static_cast<size_t>(count));
  }
};

// The steps of one problem, or of one problem a lane. `sets.sum` and `sets.write` go over the points.
template <class Number, class Real, class Points>
OLIFT_INLINE void solve(const Procrustes& p, const Lane<Real>& lane, Points& sets) {
  Number center_sums[kCenterSums], sums[kCovarianceSums];
  sets.sum([](const auto& x, auto& to) { add_to_center(x, to); }, center_sums);
  const Center<Number> center = center_from(center_sums, p.kind);

  if (p.step == ProcrustesStep::kErrorGradient) {
    ErrorSlope<Number> slope;
    Number gradient;
    lane.load(p.rotation, 9, slope.rotation);
    lane.load(p.scale, 1, &slope.scale);
    lane.load(p.error, 1, &slope.error);
    lane.load(p.grad_error, 1, &gradient);
    slope.factor = error_factor(gradient, center.total);
    sets.write([&](const auto& x) { return point_gradient(about(x, center), slope); });
    return;
  }

  sets.sum([&](const auto& x, auto& to) { add_to_covariance(about(x, center), to); }, sums);
  Number source_center[3], target_center[3];
  for (int c = 0; c < 3; ++c) {
    source_center[c] = center.source[c] + sets.source_shift[c];
    target_center[c] = center.target[c] + sets.target_shift[c];
  }
  Fit<Number> fit;
  if (p.step == ProcrustesStep::kFitGradient) {
    Fit<Number> gradient{};
    lane.load(p.rotation, 9, fit.rotation);
    lane.load(p.scale, 1, &fit.scale);
    lane.load(p.conditioning, 1, &fit.conditioning);
    lane.load(p.grad_rotation, 9, gradient.rotation);
    lane.load(p.grad_scale, 1, &gradient.scale);
    lane.load(p.grad_translation, 3, gradient.translation);
    const Slope<Number> slope = slope_of_fit(sums, center.total, source_center, fit, gradient, p.kind);
    sets.write([&](const auto& x) { return point_gradient(about(x, center), slope); });
    return;
  }

  fit = fit_from(sums, source_center, target_center, p.kind, p.reflection);
  lane.store(p.rotation, 9, fit.rotation);
  lane.store(p.scale, 1, &fit.scale);
  if (p.step == ProcrustesStep::kFit) {
    lane.store(p.translation, 3, fit.translation);
    lane.store(p.conditioning, 1, &fit.conditioning);
    return;
  }
  Number squares[1];
  sets.sum([&](const auto& x, auto& to) { add_square(about(x, center), fit.rotation, fit.scale, to); }, squares);
  const Number error = mean_square(squares[0], center.total);
  lane.store(p.error, 1, &error);
}

template <class Real, bool Weighted>
void problem_a_lane(const Procrustes& p) {
  constexpr int L = kLanes<Real>;
  const int64_t groups = (p.count + L - 1) / L;
  const int64_t grain = std::max<int64_t>(1, 2048 / (L * (p.points + 8)));
  parallel_for(groups, grain, p.threads, [&](int64_t begin, int64_t end) {
    Staged<Real> staged;
    for (int64_t group = begin; group < end; ++group) {
      const int64_t n = group * L;
      const int present = static_cast<int>(std::min<int64_t>(L, p.count - n));
      Sets<Real, Weighted> sets(p, staged, n, 1, 0, 0, p.points, present);
      if (p.kind != Alignment::kRotation) sets.shift_to_first_that_counts();
      solve<Lanes<Real>>(p, Lane<Real>{n, present}, sets);
    }
  });
}

// One problem of many points. The slices depend on the number of points alone, and are added up in double in their
// order: the result is the same for any number of threads.
template <class Real, bool Weighted>
struct LongSet {
  static constexpr int L = kLanes<Real>;
  using V = Lanes<Real>;
  const Procrustes& p;
  int64_t n;
  Real source_shift[3] = {}, target_shift[3] = {};

  void shift_to_first_that_counts() {
    int64_t first = 0;
    if (Weighted) {
      const Real* weights = static_cast<const Real*>(p.weights) + n * p.weights_strides.problem;
      while (first < p.points && weights[first * p.weights_strides.point] == 0) ++first;
      if (first == p.points) return;
    }
    for (int c = 0; c < 3; ++c) {
      source_shift[c] =
          static_cast<const Real*>(p.source)[n * p.source_strides.problem + first * p.source_strides.point + c];
      target_shift[c] =
          static_cast<const Real*>(p.target)[n * p.target_strides.problem + first * p.target_strides.point + c];
    }
  }

  // Calls body(slice, sets) for the whole vectors of each slice and again for the points left over, one a lane.
  template <class Body>
  void slices(const Body& body) const {
    parallel_for((p.points + kSlice - 1) / kSlice, 1, p.threads, [&](int64_t begin, int64_t end) {
      Staged<Real> staged;
      for (int64_t slice = begin; slice < end; ++slice) {
        const int64_t first = slice * kSlice, count = std::min(kSlice, p.points - first);
        const int64_t stretch = count / L;
        const int left = static_cast<int>(count % L);
        if (stretch) part(body, slice, first, stretch, L, staged);
        if (left) part(body, slice, first + stretch * L, 1, left, staged);
      }
    });
  }

  template <class Body>
  void part(const Body& body, int64_t slice, int64_t first, int64_t stretch, int present, Staged<Real>& staged) const {
    Sets<Real, Weighted> sets(p, staged, n, 0, first, stretch, stretch, present);
    for (int c = 0; c < 3; ++c) {
      sets.source_shift[c] = V{} + source_shift[c];
      sets.target_shift[c] = V{} + target_shift[c];
    }
    body(slice, sets, present);
  }

  template <int Count, class Terms>
  void sum(const Terms& terms, Real (&sums)[Count]) const {
    std::vector<double> partial(static_cast<size_t>((p.points + kSlice - 1) / kSlice * Count));
    slices([&](int64_t slice, Sets<Real, Weighted>& sets, int present) {
      V lanes[Count];
      sets.sum(terms, lanes);
      for (int k = 0; k < Count; ++k) {
        for (int i = 0; i < present; ++i) partial[static_cast<size_t>(slice * Count + k)] += double(lanes[k][i]);
      }
    });
    double totals[Count] = {};
    for (size_t at = 0; at < partial.size(); ++at) totals[at % Count] += partial[at];
    for (int k = 0; k < Count; ++k) sums[k] = static_cast<Real>(totals[k]);
  }

  template <class Gradient>
  void write(const Gradient& gradient) const {
    slices([&](int64_t, Sets<Real, Weighted>& sets, int) { sets.write(gradient); });
  }
};

template <class Real, bool Weighted>
void run(const Procrustes& p) {
  const bool few = p.count < kLanes<Real> && p.points >= 8 * kLanes<Real>;
  if (!few && p.points <= kLongPoints) {
    problem_a_lane<Real, Weighted>(p);
    return;
  }
  for (int64_t n = 0; n < p.count; ++n) {
    LongSet<Real, Weighted> set{p, n};
    if (p.kind != Alignment::kRotation) set.shift_to_first_that_counts();
    solve<Real>(p, Lane<Real>{n, 1}, set);
  }
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(procrustes)(const Procrustes& p) {
  if (p.dtype == Dtype::kFloat64) p.weights ? run<double, true>(p) : run<double, false>(p);
  else p.weights ? run<float, true>(p) : run<float, false>(p);
}

}  // namespace olift
