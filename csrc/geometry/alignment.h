// The mathematics of aligning weighted point sets, for each point and for each problem, on the host and the device.
//
// A problem has two passes of sums: one for its centroids, over points relative to one of the points, and one for the
// covariance about the centroids. So a set far from the origin loses no accuracy. The numbers of points are of type
// `Real`, those of a problem of type `Number`. These are the same, or `Real` is a vector of several points of one
// problem.
#pragma once

#include "common/hd.h"
#include "geometry/procrustes.h"
#include "geometry/rotation.h"

namespace olift {

template <class Real>
struct Point {
  Real weight, source[3], target[3];
};

// A point; its source again, which here is also set if the weight is 0; and the gradient of the moved source.
template <class Real>
struct Pulled {
  Point<Real> point;
  Real source[3], pull[3];
};

constexpr int kCenterSums = 7;
constexpr int kCovarianceSums = 10;
constexpr int kPullSums = 12;

template <class Real>
OLIFT_HD void add_to_center(const Point<Real>& x, Real (&sums)[kCenterSums]) {
  sums[0] = sums[0] + x.weight;
  for (int c = 0; c < 3; ++c) {
    sums[1 + c] = sums[1 + c] + x.weight * x.source[c];
    sums[4 + c] = sums[4 + c] + x.weight * x.target[c];
  }
}

// The total weight, and the centroids relative to the shift of the points.
template <class Real>
struct Center {
  Real total, source[3], target[3];
};

template <class Real>
OLIFT_HD Center<Real> center_from(const Real (&sums)[kCenterSums], Alignment kind) {
  Center<Real> center{};
  center.total = sums[0];
  if (kind == Alignment::kRotation) return center;
  const Real zero{};
  const Real one = zero + 1;
  const Real inverse = one / Ops<Real>::select(sums[0] == zero, one, sums[0]);
  for (int c = 0; c < 3; ++c) {
    center.source[c] = sums[1 + c] * inverse;
    center.target[c] = sums[4 + c] * inverse;
  }
  return center;
}

template <class Real, class Number>
OLIFT_HD Point<Real> about(const Point<Real>& x, const Center<Number>& center) {
  Point<Real> moved;
  moved.weight = x.weight;
  for (int c = 0; c < 3; ++c) {
    moved.source[c] = x.source[c] - center.source[c];
    moved.target[c] = x.target[c] - center.target[c];
  }
  return moved;
}

// A source whose pull is 0 counts as 0, because it may be NaN.
template <class Real, class Number>
OLIFT_HD Pulled<Real> about(const Pulled<Real>& x, const Center<Number>& center) {
  Pulled<Real> moved;
  moved.point = about(x.point, center);
  const Real zero{};
  const Real reach = magnitude(x.pull[0]) + magnitude(x.pull[1]) + magnitude(x.pull[2]);
  for (int c = 0; c < 3; ++c) {
    moved.source[c] = Ops<Real>::select(reach == zero, zero, x.source[c] - center.source[c]);
    moved.pull[c] = x.pull[c];
  }
  return moved;
}

template <class Real>
OLIFT_HD Real dot(const Real (&a)[3], const Real (&b)[3]) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

// Adds a point about the centroids: w · source_i · target_j to sums[3 i + j], and w · |source|² to sums[9].
template <class Real>
OLIFT_HD void add_to_covariance(const Point<Real>& x, Real (&sums)[kCovarianceSums]) {
  for (int i = 0; i < 3; ++i) {
    const Real weighted = x.weight * x.source[i];
    for (int j = 0; j < 3; ++j) sums[3 * i + j] = sums[3 * i + j] + weighted * x.target[j];
  }
  sums[9] = sums[9] + x.weight * dot(x.source, x.source);
}

// Rotation, scale, translation, and conditioning (rotation.h).
template <class Real>
struct Fit {
  Real rotation[9], scale, translation[3], conditioning;
};

template <class Real>
OLIFT_HD void rotate(const Real (&rotation)[9], const Real (&x)[3], Real (&y)[3]) {
  for (int i = 0; i < 3; ++i) {
    y[i] = rotation[3 * i] * x[0] + rotation[3 * i + 1] * x[1] + rotation[3 * i + 2] * x[2];
  }
}

// `source_center` and `target_center` are relative to the origin.
template <class Real>
OLIFT_HD Fit<Real> fit_from(const Real (&sums)[kCovarianceSums], const Real (&source_center)[3],
                            const Real (&target_center)[3], Alignment kind, bool reflection) {
  using O = Ops<Real>;
  Fit<Real> fit;
  Real top, h[9];
  for (int k = 0; k < 9; ++k) h[k] = sums[k];
  best_rotation(h, reflection, fit.rotation, top, fit.conditioning);
  const Real zero{};
  const Real one = zero + 1;
  const auto point = sums[9] == zero;
  fit.scale = kind == Alignment::kSimilarity ? O::select(point, one, top / O::select(point, one, sums[9])) : one;
  Real turned[3];
  rotate(fit.rotation, source_center, turned);
  for (int c = 0; c < 3; ++c) fit.translation[c] = target_center[c] - fit.scale * turned[c];
  return fit;
}

// The source after the fit. It is given relative to the shift of the points; `target_center` is relative to the origin.
template <class Real, class Number>
OLIFT_HD void move(const Real (&source)[3], const Center<Number>& center, const Number (&target_center)[3],
                   const Fit<Number>& fit, Real (&moved)[3]) {
  Real x[3];
  for (int c = 0; c < 3; ++c) x[c] = source[c] - center.source[c];
  for (int i = 0; i < 3; ++i) {
    const Real turned = x[0] * fit.rotation[3 * i] + x[1] * fit.rotation[3 * i + 1] + x[2] * fit.rotation[3 * i + 2];
    moved[i] = turned * fit.scale + target_center[i];
  }
}

// Adds a point about the centroids: pull_i · source_j to sums[3 i + j], and pull_i to sums[9 + i].
template <class Real>
OLIFT_HD void add_to_pull(const Pulled<Real>& x, Real (&sums)[kPullSums]) {
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) sums[3 * i + j] = sums[3 * i + j] + x.pull[i] * x.source[j];
    sums[9 + i] = sums[9 + i] + x.pull[i];
  }
}

// The gradient of the fit, from the gradients of the moved points; about the centroids.
template <class Real>
OLIFT_HD Fit<Real> gradient_of_moved(const Real (&pulls)[kPullSums], const Fit<Real>& fit) {
  Fit<Real> gradient{};
  for (int k = 0; k < 9; ++k) {
    gradient.rotation[k] = fit.scale * pulls[k];
    gradient.scale = gradient.scale + fit.rotation[k] * pulls[k];
  }
  for (int c = 0; c < 3; ++c) gradient.translation[c] = pulls[9 + c];
  return gradient;
}

// The residual of a point about the centroids, scale · rotation · source - target.
template <class Real, class Number>
OLIFT_HD void residual(const Point<Real>& x, const Number (&rotation)[9], const Number& scale, Real (&r)[3]) {
  for (int i = 0; i < 3; ++i) {
    const Real turned =
        x.source[0] * rotation[3 * i] + x.source[1] * rotation[3 * i + 1] + x.source[2] * rotation[3 * i + 2];
    r[i] = turned * scale - x.target[i];
  }
}

template <class Real, class Number>
OLIFT_HD void add_square(const Point<Real>& x, const Number (&rotation)[9], const Number& scale, Real (&sums)[1]) {
  Real r[3];
  residual(x, rotation, scale, r);
  sums[0] = sums[0] + x.weight * dot(r, r);
}

template <class Real>
OLIFT_HD Real mean_square(const Real& squares, const Real& total) {
  return squares / Ops<Real>::select(total == Real{}, Real{} + 1, total);
}

template <class Real>
struct PointGradient {
  Real weight, source[3], target[3];
};

// The part of the gradients that all points of a problem share. With s and t about the centroids, M = Σ w t sᵀ and
// G = dL/dM:
//   dL/ds = w (Gᵀ t - 2 e s + a),  dL/dt = w (G s + b),  dL/dw = tᵀ G s - e |s|² + a·s + b·t.
template <class Real>
struct Slope {
  Real moment[9], spread, source[3], target[3];
};

// From the gradients of the fit's rotation, scale and translation. A change dM changes R by dR = R [ω]×, where
// (tr(S) I - S) ω = vee(Rᵀ dM - dMᵀ R) with the symmetric S = Rᵀ M. So G = R [b]× with
// (tr(S) I - S) b = vee(Rᵀ dL/dR). This is one 3×3 solve, singular only if the rotation is ambiguous; b is then 0.
template <class Real>
OLIFT_HD Slope<Real> slope_of_fit(const Real (&sums)[kCovarianceSums], const Real& total,
                                  const Real (&source_center)[3], const Fit<Real>& fit, Fit<Real> gradient,
                                  Alignment kind) {
  using O = Ops<Real>;
  const Real zero{};
  const Real one = zero + 1;
  const bool moves = kind != Alignment::kRotation;
  const auto& R = fit.rotation;
  Real(&G)[9] = gradient.rotation;
  if (moves) {  // the translation is target_center - scale · rotation · source_center
    for (int i = 0; i < 3; ++i) {
      const Real turned =
          R[3 * i] * source_center[0] + R[3 * i + 1] * source_center[1] + R[3 * i + 2] * source_center[2];
      gradient.scale = gradient.scale - gradient.translation[i] * turned;
      for (int j = 0; j < 3; ++j) {
        G[3 * i + j] = G[3 * i + j] - fit.scale * gradient.translation[i] * source_center[j];
      }
    }
  }

  // K = tr(S) I - S, S[i, j] = Σ_k R[k, i] M[k, j] and M[k, j] = sums[3 j + k].
  Real K[3][3], right[3], size = zero;
  for (int i = 0; i < 3; ++i) {
    for (int j = i; j < 3; ++j) {
      const Real above = R[i] * sums[3 * j] + R[3 + i] * sums[3 * j + 1] + R[6 + i] * sums[3 * j + 2];
      const Real below = R[j] * sums[3 * i] + R[3 + j] * sums[3 * i + 1] + R[6 + j] * sums[3 * i + 2];
      K[i][j] = (above + below) * Real(zero - 0.5f);
    }
  }
  const Real trace = K[0][0] + K[1][1] + K[2][2];
  for (int i = 0; i < 3; ++i) K[i][i] = K[i][i] - trace;
  for (int i = 0; i < 3; ++i) {
    for (int j = i; j < 3; ++j) size = O::select(magnitude(K[i][j]) > size, magnitude(K[i][j]), size);
  }
  for (int i = 0; i < 3; ++i) {
    const int j = (i + 1) % 3, k = (i + 2) % 3;
    right[i] = zero;
    for (int r = 0; r < 3; ++r) right[i] = right[i] + R[3 * r + k] * G[3 * r + j] - R[3 * r + j] * G[3 * r + k];
  }
  const Real unit = one / O::select(size == zero, one, size);
  const Real xx = K[0][0] * unit, xy = K[0][1] * unit, xz = K[0][2] * unit;
  const Real yy = K[1][1] * unit, yz = K[1][2] * unit, zz = K[2][2] * unit;
  const Real cxx = yy * zz - yz * yz, cxy = xz * yz - xy * zz, cxz = xy * yz - xz * yy;
  const Real cyy = xx * zz - xz * xz, cyz = xy * xz - xx * yz, czz = xx * yy - xy * xy;
  const Real determinant = xx * cxx + xy * cxy + xz * cxz;
  const auto singular = determinant <= zero;  // by rounding, near an ambiguous rotation
  const Real inverse = O::select(fit.conditioning <= zero + O::kAmbiguous, zero,
                                 O::select(singular, zero, unit / O::select(singular, one, determinant)));
  const Real b[3] = {(cxx * right[0] + cxy * right[1] + cxz * right[2]) * inverse,
                     (cxy * right[0] + cyy * right[1] + cyz * right[2]) * inverse,
                     (cxz * right[0] + cyz * right[1] + czz * right[2]) * inverse};

  Slope<Real> slope{};
  for (int i = 0; i < 3; ++i) {
    slope.moment[3 * i] = R[3 * i + 1] * b[2] - R[3 * i + 2] * b[1];
    slope.moment[3 * i + 1] = R[3 * i + 2] * b[0] - R[3 * i] * b[2];
    slope.moment[3 * i + 2] = R[3 * i] * b[1] - R[3 * i + 1] * b[0];
  }
  if (kind == Alignment::kSimilarity) {
    const auto point = sums[9] == zero;
    const Real share = O::select(point, zero, gradient.scale / O::select(point, one, sums[9]));
    for (int k = 0; k < 9; ++k) slope.moment[k] = slope.moment[k] + share * R[k];
    slope.spread = share * fit.scale;
  }
  if (moves) {
    const Real per_weight = one / O::select(total == zero, one, total);
    for (int i = 0; i < 3; ++i) slope.target[i] = gradient.translation[i] * per_weight;
    for (int i = 0; i < 3; ++i) {
      const Real turned = R[i] * slope.target[0] + R[3 + i] * slope.target[1] + R[6 + i] * slope.target[2];
      slope.source[i] = zero - fit.scale * turned;
    }
  }
  return slope;
}

template <class Real, class Number>
OLIFT_HD PointGradient<Real> point_gradient(const Point<Real>& x, const Slope<Number>& slope) {
  PointGradient<Real> g;
  const auto& G = slope.moment;
  Real by_source[3], by_target[3];
  for (int i = 0; i < 3; ++i) {
    by_source[i] = x.target[0] * G[i] + x.target[1] * G[3 + i] + x.target[2] * G[6 + i] + slope.source[i];
    by_source[i] = by_source[i] - x.source[i] * slope.spread;
    by_target[i] = x.source[0] * G[3 * i] + x.source[1] * G[3 * i + 1] + x.source[2] * G[3 * i + 2] + slope.target[i];
    g.target[i] = x.weight * by_target[i];
    g.source[i] = x.weight * (by_source[i] - x.source[i] * slope.spread);
  }
  const Real weighted = dot(by_source, x.source) + x.target[0] * slope.target[0] + x.target[1] * slope.target[1] +
                        x.target[2] * slope.target[2];
  g.weight = Ops<Real>::select(x.weight == Real{}, Real{}, weighted);
  return g;
}

// The gradient of a moved point: through the fit, and directly.
template <class Real, class Number>
OLIFT_HD PointGradient<Real> point_gradient(const Pulled<Real>& x, const Slope<Number>& slope, const Fit<Number>& fit) {
  PointGradient<Real> g = point_gradient(x.point, slope);
  for (int i = 0; i < 3; ++i) {
    const Real turned = x.pull[0] * fit.rotation[i] + x.pull[1] * fit.rotation[3 + i] + x.pull[2] * fit.rotation[6 + i];
    g.source[i] = g.source[i] + turned * fit.scale;
  }
  return g;
}

// The same for the gradient of the error. At the optimum the error does not change with rotation, scale and translation
// (envelope theorem), so these are held constant. With the residual r,
//   dL/ds = c w scale Rᵀ r,  dL/dt = -c w r,  dL/dw = c (|r|² - error) / 2.
template <class Real>
struct ErrorSlope {
  Real rotation[9], scale, error, factor;
};

template <class Real>
OLIFT_HD Real error_factor(const Real& gradient, const Real& total) {
  const Real zero{};
  return Ops<Real>::select(total == zero, zero, 2 * gradient / Ops<Real>::select(total == zero, zero + 1, total));
}

template <class Real, class Number>
OLIFT_HD PointGradient<Real> point_gradient(const Point<Real>& x, const ErrorSlope<Number>& slope) {
  PointGradient<Real> g;
  Real r[3];
  residual(x, slope.rotation, slope.scale, r);
  const Real weighted = x.weight * slope.factor;
  const Real half = (dot(r, r) - slope.error) * slope.factor * Number(Number{} + 0.5f);
  g.weight = Ops<Real>::select(x.weight == Real{}, Real{}, half);
  for (int i = 0; i < 3; ++i) {
    const Real turned = r[0] * slope.rotation[i] + r[1] * slope.rotation[3 + i] + r[2] * slope.rotation[6 + i];
    g.source[i] = weighted * slope.scale * turned;
    g.target[i] = Real{} - weighted * r[i];
  }
  return g;
}

}  // namespace olift
