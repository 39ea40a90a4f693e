// The steps of Procrustes alignment for one problem, or for one problem in each lane, on the host and the device.
//
// `sets` goes over the points, which are relative to `source_shift` and `target_shift`: `sum` adds up terms, `write`
// writes gradients, and `write_moved` (only if `kMoves`) writes the moved source. `lane` loads and stores the numbers
// that a problem has once, such as its rotation.
#pragma once

#include "geometry/alignment.h"

namespace olift {

// Writes the gradients of the points; `center` has the problem's centroids.
template <class Number, class Lane, class Sets>
OLIFT_HD void write_gradients(const Procrustes& p, const Lane& lane, Sets& sets, const Center<Number>& center) {
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

  Number sums[kCovarianceSums], origin[3] = {};
  sets.sum([&](const auto& x, auto& to) { add_to_covariance(about(x, center), to); }, sums);
  Fit<Number> fit, gradient{};
  lane.load(p.rotation, 9, fit.rotation);
  lane.load(p.scale, 1, &fit.scale);
  lane.load(p.conditioning, 1, &fit.conditioning);
  if constexpr (Sets::kMoves) {
    if (p.step == ProcrustesStep::kAlignGradient) {
      Number pulls[kPullSums];
      sets.template sum<Pulled>([&](const auto& x, auto& to) { add_to_pull(about(x, center), to); }, pulls);
      gradient = gradient_of_moved(pulls, fit);
      const Slope<Number> slope = slope_of_fit(sums, center.total, origin, fit, gradient, p.kind);
      sets.template write<Pulled>([&](const auto& x) { return point_gradient(about(x, center), slope, fit); });
      return;
    }
  }
  for (int c = 0; c < 3; ++c) origin[c] = center.source[c] + sets.source_shift[c];
  lane.load(p.grad_rotation, 9, gradient.rotation);
  lane.load(p.grad_scale, 1, &gradient.scale);
  lane.load(p.grad_translation, 3, gradient.translation);
  const Slope<Number> slope = slope_of_fit(sums, center.total, origin, fit, gradient, p.kind);
  sets.write([&](const auto& x) { return point_gradient(about(x, center), slope); });
}

template <class Number, class Lane, class Sets>
OLIFT_HD void solve(const Procrustes& p, const Lane& lane, Sets& sets) {
  Number center_sums[kCenterSums], sums[kCovarianceSums];
  sets.sum([](const auto& x, auto& to) { add_to_center(x, to); }, center_sums);
  const Center<Number> center = center_from(center_sums, p.kind);
  if (p.step != ProcrustesStep::kFit && p.step != ProcrustesStep::kError && p.step != ProcrustesStep::kAlign) {
    write_gradients(p, lane, sets, center);
    return;
  }

  sets.sum([&](const auto& x, auto& to) { add_to_covariance(about(x, center), to); }, sums);
  Number source_center[3], target_center[3];
  for (int c = 0; c < 3; ++c) {
    source_center[c] = center.source[c] + sets.source_shift[c];
    target_center[c] = center.target[c] + sets.target_shift[c];
  }
  const Fit<Number> fit = fit_from(sums, source_center, target_center, p.kind, p.reflection);
  lane.store(p.rotation, 9, fit.rotation);
  lane.store(p.scale, 1, &fit.scale);
  if (p.step == ProcrustesStep::kError) {
    Number squares[1];
    sets.sum([&](const auto& x, auto& to) { add_square(about(x, center), fit.rotation, fit.scale, to); }, squares);
    const Number error = mean_square(squares[0], center.total);
    lane.store(p.error, 1, &error);
    return;
  }
  lane.store(p.conditioning, 1, &fit.conditioning);
  if (p.step == ProcrustesStep::kFit) {
    lane.store(p.translation, 3, fit.translation);
    return;
  }
  if constexpr (Sets::kMoves) {
    sets.write_moved([&](const auto& source, auto& moved) { move(source, center, target_center, fit, moved); });
  }
}

}  // namespace olift
