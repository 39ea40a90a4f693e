// Passes over weighted point sets on the CPU, for kernels that solve a problem for each set.
//
// A vector has one coordinate of one point of each of L problems. Points are transposed into such vectors in blocks,
// which stay in the cache for all passes (centroids, covariance, residuals or gradients). If there are few problems of
// many points, a problem is cut into slices, and each slice into L stretches of points, one for each lane. Internal
// linkage: see simd.h.
#pragma once

#include <cmath>
#include <type_traits>
#include <vector>

#include "common/parallel.h"
#include "geometry/alignment.h"
#include "geometry/staging.h"

namespace {

using namespace olift;

// Square roots through an array, because the compiler makes one vector instruction of a loop over an array, but not of
// a loop over the lanes of a vector.
template <class Real>
OLIFT_INLINE Lanes<Real> roots(Lanes<Real> x) {
  Real values[kLanes<Real>];
  std::memcpy(values, &x, sizeof(x));
  for (Real& value : values) value = std::sqrt(value);
  std::memcpy(&x, values, sizeof(x));
  return x;
}

// Whether any lane of a comparison holds.
template <class Real>
OLIFT_INLINE bool any_lane(LaneMask<Real> mask) {
  std::conditional_t<sizeof(Real) == 4, int32_t, int64_t> values[kLanes<Real>], found = 0;
  std::memcpy(values, &mask, sizeof(mask));
  for (const auto value : values) found |= value;
  return found != 0;
}

}  // namespace

namespace olift {

template <>
struct Ops<Lanes<float>> : Ops<float> {
  using V = Lanes<float>;
  OLIFT_INLINE V select(LaneMask<float> c, V a, V b) { return c ? a : b; }
  OLIFT_INLINE V root(V x) { return roots<float>(x); }
  OLIFT_INLINE bool any(LaneMask<float> c) { return any_lane<float>(c); }
};

template <>
struct Ops<Lanes<double>> : Ops<double> {
  using V = Lanes<double>;
  OLIFT_INLINE V select(LaneMask<double> c, V a, V b) { return c ? a : b; }
  OLIFT_INLINE V root(V x) { return roots<double>(x); }
  OLIFT_INLINE bool any(LaneMask<double> c) { return any_lane<double>(c); }
};

}  // namespace olift

namespace {

constexpr int kBlock = 160;            // points in the cache at a time; enough for a body with hands and face
constexpr int64_t kSlice = 16384;      // points of a slice of a long problem
constexpr int64_t kLongPoints = 4096;  // with more points, several problems in a vector are not faster

template <class Real>
struct Staged {
  Lanes<Real> source[3 * kBlock], target[3 * kBlock], weight[kBlock], pull[3 * kBlock];
};

// As many point sets as a vector has lanes. If fewer are present, the last one fills the other lanes. The target has
// `Width` coordinates; if these are two, the third is 0.
template <class Real, bool Weighted, int Width>
class Sets {
 public:
  static constexpr bool kMoves = true;
  static constexpr int L = kLanes<Real>;
  using V = Lanes<Real>;

  // Lane i holds points [first + i · step, first + i · step + points) of problem n + i · problem_step.
  Sets(const PointSets& p, Staged<Real>& staged, int64_t n, int64_t problem_step, int64_t first, int64_t step,
       int64_t points, int present)
      : p_(p), staged_(staged), points_(points), present_(present) {
    for (int i = 0; i < L; ++i) {
      const int lane = std::min(i, present - 1);
      const int64_t problem = n + lane * problem_step, point = first + lane * step;
      source_[i] = place(p.source, p.source_strides, problem, point);
      target_[i] = place(p.target, p.target_strides, problem, point);
      if (Weighted) weights_[i] = place(p.weights, p.weights_strides, problem, point);
      start_[i] = problem * p.points + point;
      if (p.grad_moved) pull_[i] = static_cast<const Real*>(p.grad_moved) + 3 * start_[i];
    }
  }

  // Makes points relative to the first point of their problem with a weight; for whole problems, not slices.
  void shift_to_first_that_counts() {
    for (int i = 0; i < L; ++i) {
      int64_t first = 0;
      if (Weighted) {
        while (first < points_ && weights_[i][first * p_.weights_strides.point] == 0) ++first;
        if (first == points_) continue;
      }
      for (int c = 0; c < 3; ++c) source_shift[c][i] = source_[i][first * p_.source_strides.point + c];
      for (int c = 0; c < Width; ++c) target_shift[c][i] = target_[i][first * p_.target_strides.point + c];
    }
  }

  // Calls `terms(Seen<V>, sums)`, which adds to sums, for the points of each lane.
  template <template <class> class Seen = Point, int Count, class Terms>
  OLIFT_HD void sum(const Terms& terms, V (&sums)[Count]) {
    for (V& sum : sums) sum = V{};
    blocks([&](int64_t, int count) {
      V partial[Count] = {};
      for (int i = 0; i < count; ++i) terms(seen<Seen>(i), partial);
      for (int k = 0; k < Count; ++k) sums[k] += partial[k];
    });
  }

  // Writes `gradient(Seen<V>)` for each point. The gradients replace the points in the cache.
  template <template <class> class Seen = Point, class Gradient>
  OLIFT_HD void write(const Gradient& gradient) {
    const bool of_target = p_.grad_target != nullptr;
    blocks([&](int64_t first, int count) {
      for (int i = 0; i < count; ++i) {
        const PointGradient<V> g = gradient(seen<Seen>(i));
        for (int c = 0; c < 3; ++c) staged_.source[3 * i + c] = g.source[c];
        if (of_target) {
          for (int c = 0; c < Width; ++c) staged_.target[Width * i + c] = g.target[c];
        }
        staged_.weight[i] = g.weight;
      }
      unload(p_.grad_source, 3, first, count, staged_.source);
      unload(p_.grad_target, Width, first, count, staged_.target);
      if (Weighted) unload(p_.grad_weights, 1, first, count, staged_.weight);
    });
    loaded_ = -1;
  }

  // Writes the source moved by `move(source, moved)`, for all points, also those of weight 0.
  template <class Move>
  OLIFT_HD void write_moved(const Move& move) {
    blocks([&](int64_t first, int count) {
      for (int i = 0; i < count; ++i) {
        V source[3], moved[3];
        for (int c = 0; c < 3; ++c) source[c] = staged_.source[3 * i + c] - source_shift[c];
        move(source, moved);
        for (int c = 0; c < 3; ++c) staged_.source[3 * i + c] = moved[c];
      }
      unload(p_.moved, 3, first, count, staged_.source);
    });
    loaded_ = -1;
  }

  V source_shift[3] = {}, target_shift[3] = {};

 private:
  static const Real* place(const void* base, Strides2 strides, int64_t problem, int64_t point) {
    return static_cast<const Real*>(base) + problem * strides.problem + point * strides.point;
  }

  template <template <class> class Seen>
  OLIFT_HD Seen<V> seen(int i) const {
    if constexpr (std::is_same_v<Seen<V>, Pulled<V>>) {
      Pulled<V> x;
      x.point = point(i);
      for (int c = 0; c < 3; ++c) {
        x.source[c] = staged_.source[3 * i + c] - source_shift[c];
        x.pull[c] = staged_.pull[3 * i + c];
      }
      return x;
    } else {
      return point(i);
    }
  }

  OLIFT_HD Point<V> point(int i) const {
    Point<V> x;
    x.weight = Weighted ? staged_.weight[i] : V{} + 1;
    for (int c = 0; c < 3; ++c) {
      x.source[c] = staged_.source[3 * i + c] - source_shift[c];
      x.target[c] = c < Width ? staged_.target[Width * i + c] - target_shift[c] : V{};
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
    // Prefetches the next L problems. Their distance in memory is L times that of two problems; the hardware's
    // prefetcher does not find this pattern.
    const auto load_ahead = [&](const Real* const(&bases)[L], int64_t stride, int width, V* out) {
      load(bases, stride, width, first, count, L * (bases[1] - bases[0]), out);
    };
    load_ahead(source_, p_.source_strides.point, 3, staged_.source);
    load_ahead(target_, p_.target_strides.point, Width, staged_.target);
    if (Weighted) load_ahead(weights_, p_.weights_strides.point, 1, staged_.weight);
    if (p_.grad_moved) load_ahead(pull_, 3, 3, staged_.pull);
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

  const PointSets& p_;
  Staged<Real>& staged_;
  const Real *source_[L], *target_[L], *weights_[L], *pull_[L];
  int64_t start_[L];
  int64_t points_, loaded_ = -1;
  int present_;
};

// Loads and stores the numbers of a problem, or of one problem in each lane, beside its points. Rows are contiguous.
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

// One problem of many points. The slices depend only on the number of points, and their sums are added up in double and
// in order. So the result is the same for any number of threads.
template <class Real, bool Weighted, int Width>
struct LongSet {
  static constexpr bool kMoves = true;
  static constexpr int L = kLanes<Real>;
  using V = Lanes<Real>;
  using Stretches = Sets<Real, Weighted, Width>;
  const PointSets& p;
  int64_t n;
  Real source_shift[3] = {}, target_shift[3] = {};

  void shift_to_first_that_counts() {
    int64_t first = 0;
    if (Weighted) {
      const Real* weights = static_cast<const Real*>(p.weights) + n * p.weights_strides.problem;
      while (first < p.points && weights[first * p.weights_strides.point] == 0) ++first;
      if (first == p.points) return;
    }
    const auto* source = static_cast<const Real*>(p.source) + n * p.source_strides.problem;
    const auto* target = static_cast<const Real*>(p.target) + n * p.target_strides.problem;
    for (int c = 0; c < 3; ++c) source_shift[c] = source[first * p.source_strides.point + c];
    for (int c = 0; c < Width; ++c) target_shift[c] = target[first * p.target_strides.point + c];
  }

  // Calls body(slice, sets, present) for the L equal stretches of each slice, and again for the remaining points, one
  // in each lane.
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
    Stretches sets(p, staged, n, 0, first, stretch, stretch, present);
    for (int c = 0; c < 3; ++c) {
      sets.source_shift[c] = V{} + source_shift[c];
      sets.target_shift[c] = V{} + target_shift[c];
    }
    body(slice, sets, present);
  }

  template <template <class> class Seen = Point, int Count, class Terms>
  void sum(const Terms& terms, Real (&sums)[Count]) const {
    std::vector<double> partial(static_cast<size_t>((p.points + kSlice - 1) / kSlice * Count));
    slices([&](int64_t slice, Stretches& sets, int present) {
      V lanes[Count];
      sets.template sum<Seen>(terms, lanes);
      for (int k = 0; k < Count; ++k) {
        for (int i = 0; i < present; ++i) partial[static_cast<size_t>(slice * Count + k)] += double(lanes[k][i]);
      }
    });
    double totals[Count] = {};
    for (size_t at = 0; at < partial.size(); ++at) totals[at % Count] += partial[at];
    for (int k = 0; k < Count; ++k) sums[k] = static_cast<Real>(totals[k]);
  }

  template <template <class> class Seen = Point, class Gradient>
  void write(const Gradient& gradient) const {
    slices([&](int64_t, Stretches& sets, int) { sets.template write<Seen>(gradient); });
  }

  template <class Move>
  void write_moved(const Move& move) const {
    slices([&](int64_t, Stretches& sets, int) { sets.write_moved(move); });
  }
};

template <class T>
struct Of {
  using Type = T;
};

// Calls solve(Of<Number>{}, lane, sets) for each problem, or for each vector of problems. Number is the type of a
// problem's numbers. `sets.sum` and `sets.write` go over the points; if `shifted`, these are relative to the first
// point with a weight.
template <class Real, bool Weighted, int Width, class Solve>
void for_each_problem(const PointSets& p, bool shifted, const Solve& solve) {
  constexpr int L = kLanes<Real>;
  const bool few = p.count < L && p.points >= 8 * L;
  if (few || p.points > kLongPoints) {
    for (int64_t n = 0; n < p.count; ++n) {
      LongSet<Real, Weighted, Width> set{p, n};
      if (shifted) set.shift_to_first_that_counts();
      solve(Of<Real>{}, Lane<Real>{n, 1}, set);
    }
    return;
  }
  const int64_t groups = (p.count + L - 1) / L;
  const int64_t grain = std::max<int64_t>(1, 2048 / (L * (p.points + 8)));
  parallel_for(groups, grain, p.threads, [&](int64_t begin, int64_t end) {
    Staged<Real> staged;
    for (int64_t group = begin; group < end; ++group) {
      const int64_t n = group * L;
      const int present = static_cast<int>(std::min<int64_t>(L, p.count - n));
      Sets<Real, Weighted, Width> sets(p, staged, n, 1, 0, 0, p.points, present);
      if (shifted) sets.shift_to_first_that_counts();
      solve(Of<Lanes<Real>>{}, Lane<Real>{n, present}, sets);
    }
  });
}

}  // namespace
