// The weak-perspective camera under which a point set fits its picture best, from their moments: rotation and scale,
// and their gradients. `Real` is as in rotation.h.
//
// About the centroids, with spread A = Σ w s sᵀ and cross C = Σ w s tᵀ, the squared error is
//   scale² (A~11 + A~22) - 2 scale (C~11 + C~22) + Σ w |t|²,  A~ = R A Rᵀ and C~ = R C.
// The start is the rotation nearest to the best affine map. Two kinds of steps lower the error. One completes the
// target with the depth of the current fit, and fits to the completed target (Horn 1987); it always works, but may
// converge slowly. The other is a Newton step of (ω, σ), R → exp([ω]×) R and scale → (1 + σ) scale; it is taken if the
// second derivative is positive definite and the step is short.
#pragma once

#include "geometry/alignment.h"

namespace olift {

constexpr int kMomentSums = 12;
constexpr int kCompletions = 4;   // before the first Newton step
constexpr int kCameraSteps = 64;  // of both kinds
constexpr float kShortStep = 0.2f;

// spread: A[i][j] for i <= j, row by row. C[i][j] = cross[2 i + j].
template <class Real>
struct Moments {
  Real spread[6], cross[6];
};

// Adds the terms of a point, which is relative to the centroids.
template <class Real>
OLIFT_HD void add_to_moments(const Point<Real>& x, Real (&sums)[kMomentSums]) {
  int k = 0;
  for (int i = 0; i < 3; ++i) {
    const Real weighted = x.weight * x.source[i];
    for (int j = 0; j < 2; ++j) sums[6 + 2 * i + j] = sums[6 + 2 * i + j] + weighted * x.target[j];
    for (int j = i; j < 3; ++j, ++k) sums[k] = sums[k] + weighted * x.source[j];
  }
}

template <class Real>
OLIFT_HD Moments<Real> moments_from(const Real (&sums)[kMomentSums]) {
  Moments<Real> moments;
  for (int k = 0; k < 6; ++k) {
    moments.spread[k] = sums[k];
    moments.cross[k] = sums[6 + k];
  }
  return moments;
}

// R A, row by row.
template <class Real>
OLIFT_HD void turn_spread(const Real (&rotation)[9], const Real (&a)[6], Real (&turned)[9]) {
  for (int i = 0; i < 3; ++i) {
    const Real x = rotation[3 * i], y = rotation[3 * i + 1], z = rotation[3 * i + 2];
    turned[3 * i] = x * a[0] + y * a[1] + z * a[2];
    turned[3 * i + 1] = x * a[1] + y * a[3] + z * a[4];
    turned[3 * i + 2] = x * a[2] + y * a[4] + z * a[5];
  }
}

template <class Real>
OLIFT_HD Moments<Real> turn_moments(const Real (&rotation)[9], const Moments<Real>& moments) {
  Moments<Real> turned;
  Real half[9];
  turn_spread(rotation, moments.spread, half);
  int k = 0;
  for (int i = 0; i < 3; ++i) {
    for (int j = i; j < 3; ++j, ++k) {
      turned.spread[k] =
          half[3 * i] * rotation[3 * j] + half[3 * i + 1] * rotation[3 * j + 1] + half[3 * i + 2] * rotation[3 * j + 2];
    }
    for (int j = 0; j < 2; ++j) {
      turned.cross[2 * i + j] = rotation[3 * i] * moments.cross[j] + rotation[3 * i + 1] * moments.cross[2 + j] +
                                rotation[3 * i + 2] * moments.cross[4 + j];
    }
  }
  return turned;
}

// Half the gradient and half the second derivative of the error / scale² by (ω, σ), from A~ and C~ / scale.
template <class Real>
struct Curve {
  Real slope[4], bend[4][4];  // only the upper triangle is used
};

template <class Real>
OLIFT_HD Curve<Real> curve_of(const Moments<Real>& turned) {
  const auto& a = turned.spread;
  const auto& c = turned.cross;
  Curve<Real> curve;
  const Real across = c[2] - c[1];  // C~21 - C~12
  curve.slope[0] = c[5] - a[4];
  curve.slope[1] = a[2] - c[4];
  curve.slope[2] = across;
  curve.slope[3] = a[0] + a[3] - c[0] - c[3];
  curve.bend[0][0] = a[5] - a[3] + c[3];
  curve.bend[1][1] = a[5] - a[0] + c[0];
  curve.bend[2][2] = c[0] + c[3];
  curve.bend[3][3] = a[0] + a[3];
  const Real half = Real{} + 0.5f;
  curve.bend[0][1] = a[1] - half * (c[1] + c[2]);
  curve.bend[0][2] = Real{} - half * (a[2] + c[4]);
  curve.bend[1][2] = Real{} - half * (a[4] + c[5]);
  curve.bend[0][3] = c[5] - 2 * a[4];
  curve.bend[1][3] = 2 * a[2] - c[4];
  curve.bend[2][3] = across;
  return curve;
}

// Solves bend · x = right, and returns the smallest pivot; x is valid if that is above 0.
template <class Real>
OLIFT_HD Real solve_bend(const Real (&bend)[4][4], const Real (&right)[4], Real (&x)[4]) {
  using O = Ops<Real>;
  const Real zero{};
  const Real one = zero + 1;
  Real rows[4][4], inverse[4], least = zero;
  for (int i = 0; i < 4; ++i) {
    x[i] = right[i];
    for (int j = i; j < 4; ++j) rows[i][j] = bend[i][j];
  }
  for (int i = 0; i < 4; ++i) {
    const Real pivot = rows[i][i];
    const auto usable = pivot > zero;
    least = i == 0 ? pivot : O::select(pivot < least, pivot, least);
    inverse[i] = O::select(usable, one / O::select(usable, pivot, one), zero);
    for (int j = i + 1; j < 4; ++j) {
      const Real factor = rows[i][j] * inverse[i];
      for (int k = j; k < 4; ++k) rows[j][k] = rows[j][k] - factor * rows[i][k];
      x[j] = x[j] - factor * x[i];
    }
  }
  for (int i = 3; i >= 0; --i) {
    for (int j = i + 1; j < 4; ++j) x[i] = x[i] - rows[i][j] * x[j];
    x[i] = x[i] * inverse[i];
  }
  return least;
}

template <class Real>
struct Camera {
  Real rotation[9], scale;
};

// The rotation nearest to the best affine map from the source to the target, and the mean of the map's two singular
// values as the scale.
template <class Real>
OLIFT_HD Camera<Real> first_camera(const Moments<Real>& moments) {
  using O = Ops<Real>;
  const Real zero{};
  const Real one = zero + 1;
  Symmetric4<Real> a;
  Real vectors[4][4];
  int k = 0;
  for (int i = 0; i < 4; ++i) {
    for (int j = i; j < 4; ++j) a.m[i][j] = j < 3 ? moments.spread[k++] : zero;
    for (int j = 0; j < 4; ++j) vectors[i][j] = i == j ? one : zero;
  }
  for (int sweep = 0; sweep < O::kSweeps; ++sweep) {
    annihilate<0, 1>(a, vectors);
    annihilate<0, 2>(a, vectors);
    annihilate<1, 2>(a, vectors);
  }
  Real largest = zero, affine[9] = {};
  for (int i = 0; i < 3; ++i) largest = O::select(a.m[i][i] > largest, a.m[i][i], largest);
  for (int i = 0; i < 3; ++i) {
    const auto wide = a.m[i][i] > largest * Real(zero + 1e-6f);
    const Real inverse = O::select(wide, one / O::select(wide, a.m[i][i], one), zero);
    for (int j = 0; j < 2; ++j) {
      const Real along = vectors[i][0] * moments.cross[j] + vectors[i][1] * moments.cross[2 + j] +
                         vectors[i][2] * moments.cross[4 + j];
      for (int c = 0; c < 3; ++c) affine[3 * c + j] = affine[3 * c + j] + vectors[i][c] * (along * inverse);
    }
  }
  Camera<Real> camera;
  Real top, conditioning;
  best_rotation(affine, false, camera.rotation, top, conditioning);
  camera.scale = top * Real(zero + 0.5f);
  return camera;
}

// Fits the source to the target completed with the depth under `camera`, for moments whose spread has trace 1.
template <class Real>
OLIFT_HD Camera<Real> complete(const Moments<Real>& moments, const Camera<Real>& camera) {
  const auto& a = moments.spread;
  const Real x = camera.rotation[6], y = camera.rotation[7], z = camera.rotation[8];
  const Real depth[3] = {x * a[0] + y * a[1] + z * a[2], x * a[1] + y * a[3] + z * a[4],
                         x * a[2] + y * a[4] + z * a[5]};
  Real covariance[9];
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 2; ++j) covariance[3 * i + j] = moments.cross[2 * i + j];
    covariance[3 * i + 2] = camera.scale * depth[i];
  }
  Camera<Real> next;
  Real conditioning;
  best_rotation(covariance, false, next.rotation, next.scale, conditioning);
  return next;
}

// R becomes exp([ω]×) R up to the second order in ω; the result is a rotation up to rounding.
template <class Real>
OLIFT_HD void turn_on(const Real (&step)[4], Real (&rotation)[9]) {
  Real q[4] = {Real{} + 1, step[0] * Real(Real{} + 0.5f), step[1] * Real(Real{} + 0.5f), step[2] * Real(Real{} + 0.5f)};
  const Real length = q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3];
  const Real inverse = 1 / Ops<Real>::root(length);
  for (int i = 0; i < 4; ++i) q[i] = q[i] * inverse;
  Real turn[9], turned[9];
  rotation_matrix(q, turn);
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      turned[3 * i + j] =
          turn[3 * i] * rotation[j] + turn[3 * i + 1] * rotation[3 + j] + turn[3 * i + 2] * rotation[6 + j];
    }
  }
  for (int k = 0; k < 9; ++k) rotation[k] = turned[k];
}

// The best camera for these moments; if all of them are 0, the identity and scale 0.
template <class Real>
OLIFT_HD Camera<Real> camera_from(const Moments<Real>& given) {
  using O = Ops<Real>;
  const Real zero{};
  const Real one = zero + 1;
  // Moments of size 1: the spread has trace 1, and the magnitudes of the cross add up to 1.
  const Real spread = given.spread[0] + given.spread[3] + given.spread[5];
  Real cross = zero;
  for (int k = 0; k < 6; ++k) cross = cross + magnitude(given.cross[k]);
  const Real per_spread = one / O::select(spread == zero, one, spread);
  const Real per_cross = one / O::select(cross == zero, one, cross);
  Moments<Real> moments;
  for (int k = 0; k < 6; ++k) {
    moments.spread[k] = given.spread[k] * per_spread;
    moments.cross[k] = given.cross[k] * per_cross;
  }

  Camera<Real> camera = first_camera(moments);
  // A problem that has converged does not change while others in the same vector still do.
  auto moving = spread == spread;  // not NaN
  for (int step = 0; step < kCameraSteps && O::any(moving); ++step) {
    auto completed = moving;
    if (step >= kCompletions) {
      const auto seen = camera.scale > zero;
      const Real per_scale = one / O::select(seen, camera.scale, one);
      Moments<Real> turned = turn_moments(camera.rotation, moments);
      for (Real& c : turned.cross) c = c * per_scale;
      const Curve<Real> curve = curve_of(turned);
      Real move[4];
      const Real least = solve_bend(curve.bend, curve.slope, move);
      Real turn = zero;
      for (int i = 0; i < 4; ++i) {
        move[i] = Real{} - move[i];
        turn = turn + move[i] * move[i];
      }
      const auto stepped = moving & seen & (least > zero + 64 * O::kEpsilon) & (turn < zero + kShortStep * kShortStep);
      for (int i = 0; i < 4; ++i) move[i] = O::select(stepped, move[i], zero);
      turn_on(move, camera.rotation);
      camera.scale = camera.scale * (one + move[3]);
      completed = moving ^ stepped;
      moving = moving ^ (stepped & (turn < zero + 16 * O::kEpsilon * O::kEpsilon));
    }
    if (O::any(completed)) {
      const Camera<Real> next = complete(moments, camera);
      for (int k = 0; k < 9; ++k) camera.rotation[k] = O::select(completed, next.rotation[k], camera.rotation[k]);
      camera.scale = O::select(completed, next.scale, camera.scale);
    }
  }
  camera.scale = O::select(spread == zero, zero, camera.scale * cross * per_spread);
  return camera;
}

// The part of the gradients that all points of a problem share. With s and t about the centroids,
//   dL/ds = w (2 E s + G t + a),  dL/dt = w (Gᵀ s + b),  dL/dw = sᵀ E s + sᵀ G t + a·s + b·t.
template <class Real>
struct CameraSlope {
  Real spread[6], cross[6], source[3], target[2];  // E, G, a, b
};

// From the gradients of rotation, scale and translation. At the optimum the derivative of the error by (ω, σ) is 0,
// also after a change of the moments, so the second derivative says how ω and σ follow the change (implicit function
// theorem). If it is singular, the camera is ambiguous, and rotation and scale have no gradient.
template <class Real>
OLIFT_HD CameraSlope<Real> slope_of_camera(const Moments<Real>& moments, const Real& total,
                                           const Real (&source_center)[3], const Camera<Real>& camera,
                                           Camera<Real> gradient, const Real (&grad_translation)[2]) {
  using O = Ops<Real>;
  const Real zero{};
  const Real one = zero + 1;
  const auto& R = camera.rotation;
  for (int i = 0; i < 2; ++i) {  // the translation is target_center - scale · (rotation · source_center)_xy
    const Real turned = R[3 * i] * source_center[0] + R[3 * i + 1] * source_center[1] + R[3 * i + 2] * source_center[2];
    gradient.scale = gradient.scale - grad_translation[i] * turned;
    for (int j = 0; j < 3; ++j) {
      gradient.rotation[3 * i + j] =
          gradient.rotation[3 * i + j] - camera.scale * grad_translation[i] * source_center[j];
    }
  }

  Real Z[3][3];
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      Z[i][j] = gradient.rotation[3 * i] * R[3 * j] + gradient.rotation[3 * i + 1] * R[3 * j + 1] +
                gradient.rotation[3 * i + 2] * R[3 * j + 2];
    }
  }
  const Real right[4] = {Z[2][1] - Z[1][2], Z[0][2] - Z[2][0], Z[1][0] - Z[0][1], gradient.scale * camera.scale};
  const Real spread = moments.spread[0] + moments.spread[3] + moments.spread[5];
  const auto sees = spread > zero;
  const Real per_spread = one / O::select(sees, spread, one);
  const auto grows = camera.scale > zero;
  const Real per_scale = one / O::select(grows, camera.scale, one);
  Moments<Real> turned = turn_moments(R, moments);
  for (int k = 0; k < 6; ++k) {
    turned.spread[k] = turned.spread[k] * per_spread;
    turned.cross[k] = turned.cross[k] * per_spread * per_scale;
  }
  const Curve<Real> curve = curve_of(turned);
  Real l[4];
  const Real least = solve_bend(curve.bend, right, l);
  const auto clear = sees & grows & (least > zero + O::kAmbiguous);
  for (int i = 0; i < 4; ++i) l[i] = O::select(clear, l[i] * per_spread, zero);

  // E~ and G~ of the turned moments, then E = Rᵀ E~ R and G = Rᵀ G~.
  const Real half = Real{} + 0.5f;
  const Real e02 = Real{} - half * l[1], e12 = half * l[0], e = Real{} - l[3];
  const Real g[6] = {per_scale * l[3], per_scale * l[2], Real{} - per_scale * l[2],
                     per_scale * l[3], per_scale * l[1], Real{} - per_scale * l[0]};
  CameraSlope<Real> slope{};
  int k = 0;
  for (int i = 0; i < 3; ++i) {
    const Real x = R[i], y = R[3 + i], z = R[6 + i];
    const Real ex = x * e + z * e02, ey = y * e + z * e12, ez = x * e02 + y * e12;  // row i of Rᵀ E~
    for (int j = i; j < 3; ++j, ++k) slope.spread[k] = ex * R[j] + ey * R[3 + j] + ez * R[6 + j];
    for (int j = 0; j < 2; ++j) slope.cross[2 * i + j] = x * g[j] + y * g[2 + j] + z * g[4 + j];
  }
  const Real per_weight = one / O::select(total == zero, one, total);
  for (int i = 0; i < 2; ++i) slope.target[i] = grad_translation[i] * per_weight;
  for (int i = 0; i < 3; ++i) {
    slope.source[i] = Real{} - camera.scale * (R[i] * slope.target[0] + R[3 + i] * slope.target[1]);
  }
  return slope;
}

template <class Real, class Number>
OLIFT_HD PointGradient<Real> point_gradient(const Point<Real>& x, const CameraSlope<Number>& slope) {
  PointGradient<Real> g;
  const auto& s = x.source;
  const auto& E = slope.spread;
  const Real along[3] = {s[0] * E[0] + s[1] * E[1] + s[2] * E[2], s[0] * E[1] + s[1] * E[3] + s[2] * E[4],
                         s[0] * E[2] + s[1] * E[4] + s[2] * E[5]};
  Real weighted = x.target[0] * slope.target[0] + x.target[1] * slope.target[1];
  for (int i = 0; i < 3; ++i) {
    const Real by_source =
        along[i] + x.target[0] * slope.cross[2 * i] + x.target[1] * slope.cross[2 * i + 1] + slope.source[i];
    weighted = weighted + by_source * s[i];
    g.source[i] = x.weight * (by_source + along[i]);
  }
  for (int j = 0; j < 2; ++j) {
    const Real by_target = s[0] * slope.cross[j] + s[1] * slope.cross[2 + j] + s[2] * slope.cross[4 + j];
    g.target[j] = x.weight * (by_target + slope.target[j]);
  }
  g.target[2] = Real{};
  g.weight = Ops<Real>::select(x.weight == Real{}, Real{}, weighted);
  return g;
}

}  // namespace olift
