// Orthographic Procrustes on the CPU; compiled once for each instruction set (OLIFT_ISA names it).

#include "geometry/orthographic.h"

#include "common/isa.h"
#include "geometry/camera.h"
#include "geometry/point_sets.h"

namespace {

using namespace olift;

// The fit or its gradient, for one problem, or for one problem in each lane.
template <class Number, class Real, class Points>
OLIFT_INLINE void solve(const Orthographic& p, const Lane<Real>& lane, Points& sets) {
  Number center_sums[kCenterSums], sums[kMomentSums];
  sets.sum([](const auto& x, auto& to) { add_to_center(x, to); }, center_sums);
  const Center<Number> center = center_from(center_sums, Alignment::kSimilarity);
  sets.sum([&](const auto& x, auto& to) { add_to_moments(about(x, center), to); }, sums);
  const Moments<Number> moments = moments_from(sums);
  Number source_center[3], translation[2];
  for (int c = 0; c < 3; ++c) source_center[c] = center.source[c] + sets.source_shift[c];

  if (p.step == OrthographicStep::kFitGradient) {
    Camera<Number> camera, gradient;
    lane.load(p.rotation, 9, camera.rotation);
    lane.load(p.scale, 1, &camera.scale);
    lane.load(p.grad_rotation, 9, gradient.rotation);
    lane.load(p.grad_scale, 1, &gradient.scale);
    lane.load(p.grad_translation, 2, translation);
    const CameraSlope<Number> slope =
        slope_of_camera(moments, center.total, source_center, camera, gradient, translation);
    sets.write([&](const auto& x) { return point_gradient(about(x, center), slope); });
    return;
  }

  const Camera<Number> camera = camera_from(moments);
  Number turned[3];
  rotate(camera.rotation, source_center, turned);
  for (int c = 0; c < 2; ++c) {
    translation[c] = center.target[c] + sets.target_shift[c] - camera.scale * turned[c];
  }
  lane.store(p.rotation, 9, camera.rotation);
  lane.store(p.scale, 1, &camera.scale);
  lane.store(p.translation, 2, translation);
}

template <class Real, bool Weighted>
void run(const Orthographic& p) {
  for_each_problem<Real, Weighted, 2>(p, true, [&](auto number, const Lane<Real>& lane, auto& sets) {
    solve<typename decltype(number)::Type>(p, lane, sets);
  });
}

template <class Real>
void run_moments(const Orthographic& p) {
  constexpr int L = kLanes<Real>;
  using V = Lanes<Real>;
  parallel_for((p.count + L - 1) / L, 1, p.threads, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const Lane<Real> lane{group * L, static_cast<int>(std::min<int64_t>(L, p.count - group * L))};
      V spread[9], sums[kMomentSums];
      lane.load(p.spread, 9, spread);
      lane.load(p.cross, 6, sums + 6);
      int k = 0;
      for (int i = 0; i < 3; ++i) {
        for (int j = i; j < 3; ++j) sums[k++] = spread[3 * i + j];
      }
      const Camera<V> camera = camera_from(moments_from(sums));
      lane.store(p.rotation, 9, camera.rotation);
      lane.store(p.scale, 1, &camera.scale);
    }
  });
}

template <class Real>
void run(const Orthographic& p) {
  if (p.step == OrthographicStep::kMoments) run_moments<Real>(p);
  else p.weights ? run<Real, true>(p) : run<Real, false>(p);
}

}  // namespace

namespace olift {

void OLIFT_FOR_ISA(orthographic)(const Orthographic& p) {
  if (p.dtype == Dtype::kFloat64) run<double>(p);
  else run<float>(p);
}

}  // namespace olift
