// The rotation that best turns one set of vectors into another, from their 3×3 covariance, without an SVD.
//
// As a quaternion it is the eigenvector with the largest eigenvalue of the symmetric 4×4 matrix that Davenport (1968)
// and Horn (1987) build from the covariance. A fixed number of cyclic Jacobi sweeps finds it, without branches, and
// gives a proper rotation for any input. The host, the device and vectors of problems share this source: `Real` is
// float, double, or a vector of either for which `Ops` is specialized.
#pragma once

#include <cmath>

#include "common/hd.h"

namespace olift {

// kAmbiguous: a rotation with a conditioning up to this counts as ambiguous, and has no gradient.
// kSweeps: for a million random matrices, the largest entry off the diagonal, relative to the matrix, was 5e-9 after 4
// sweeps and 2e-16 after 5.
// kNothing: smaller entries count as 0.
template <class Real>
struct Ops;

template <>
struct Ops<float> {
  static constexpr float kEpsilon = 1.1920929e-7f;
  static constexpr int kSweeps = 4;
  static constexpr float kNothing = 1e-15f;
  static constexpr float kAmbiguous = 1e-6f;
  OLIFT_HD static float select(bool c, float a, float b) { return c ? a : b; }
  OLIFT_HD static bool any(bool c) { return c; }
  OLIFT_HD static float root(float x) { return sqrtf(x); }
};

template <>
struct Ops<double> {
  static constexpr double kEpsilon = 2.220446049250313e-16;
  static constexpr int kSweeps = 6;
  static constexpr double kNothing = 1e-100;
  static constexpr double kAmbiguous = 1e-13;
  OLIFT_HD static double select(bool c, double a, double b) { return c ? a : b; }
  OLIFT_HD static bool any(bool c) { return c; }
  OLIFT_HD static double root(double x) { return sqrt(x); }
};

template <class Real>
struct Symmetric4 {
  Real m[4][4];  // only the upper triangle is used
  template <int I, int J>
  OLIFT_HD Real& at() {
    return m[I < J ? I : J][I < J ? J : I];
  }
};

template <class Real>
OLIFT_HD Real magnitude(Real x) {
  return Ops<Real>::select(x < Real{}, -x, x);
}

// The quotient. On a device the last bits of a float may be wrong, which saves instructions. A Jacobi rotation's angle
// may have such an error, as long as c² + s² = 1.
template <class Real>
OLIFT_HD Real near_quotient(Real a, Real b) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(Real) == sizeof(float)) return __fdividef(a, b);
#endif
  return a / b;
}

template <class Real>
OLIFT_HD Real near_root(Real x) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(Real) == sizeof(float)) return x * rsqrtf(x < 1e-36f ? 1e-36f : x);
#endif
  return Ops<Real>::root(x);
}

template <class Real>
OLIFT_HD Real inverse_root(Real x) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(Real) == sizeof(float)) {
    const float y = rsqrtf(x);
    return y * (1.5f - 0.5f * x * y * y);
  }
#endif
  return 1 / Ops<Real>::root(x);
}

template <class Real>
OLIFT_HD void turn(Real& x, Real& y, Real c, Real s) {
  const Real old = x;
  x = c * old - s * y;
  y = s * old + c * y;
}

// One Jacobi rotation: it makes a[P][Q] 0, and is applied to the rows P and Q of `vectors`, too.
template <int P, int Q, class Real>
OLIFT_HD void annihilate(Symmetric4<Real>& a, Real (&vectors)[4][4]) {
  constexpr int R = P != 0 ? 0 : (Q != 1 ? 1 : 2);
  constexpr int S = 6 - P - Q - R;
  // Entries that are negligible in a matrix of size 1 become 0, because their squares would be denormal numbers, which
  // are slow.
  const Real left = a.template at<P, Q>();
  const Real zero{};
  const Real off = Ops<Real>::select(magnitude(left) < zero + Ops<Real>::kNothing, zero, left);
  const Real gap = a.template at<Q, Q>() - a.template at<P, P>();
  const Real below = magnitude(gap) + near_root(gap * gap + 4 * (off * off));
  const Real one = zero + 1;
  const Real tangent =
      near_quotient(Ops<Real>::select(gap < zero, -2 * off, 2 * off), Ops<Real>::select(below == zero, one, below));
  const Real c = inverse_root(tangent * tangent + 1);
  const Real s = tangent * c;
  a.template at<P, P>() -= tangent * off;
  a.template at<Q, Q>() += tangent * off;
  a.template at<P, Q>() = zero;
  turn(a.template at<P, R>(), a.template at<Q, R>(), c, s);
  turn(a.template at<P, S>(), a.template at<Q, S>(), c, s);
  turn(vectors[P][0], vectors[Q][0], c, s);
  turn(vectors[P][1], vectors[Q][1], c, s);
  turn(vectors[P][2], vectors[Q][2], c, s);
  turn(vectors[P][3], vectors[Q][3], c, s);
}

// The largest and the second largest of four values, and the row of `vectors` of the largest.
template <class Real>
OLIFT_HD void largest(const Real (&values)[4], const Real (&vectors)[4][4], Real& first, Real& second, Real (&row)[4]) {
  using O = Ops<Real>;
  first = values[0];
  second = values[0] - 4 * (magnitude(values[0]) + 1);
  for (int j = 0; j < 4; ++j) row[j] = vectors[0][j];
  for (int i = 1; i < 4; ++i) {
    const auto above = values[i] > first;
    second = O::select(above, first, O::select(values[i] > second, values[i], second));
    first = O::select(above, values[i], first);
    for (int j = 0; j < 4; ++j) row[j] = O::select(above, vectors[i][j], row[j]);
  }
}

template <class Real>
OLIFT_HD void rotation_matrix(const Real (&q)[4], Real (&r)[9]) {
  const Real w = q[0], x = q[1], y = q[2], z = q[3];
  r[0] = 1 - 2 * (y * y + z * z);
  r[1] = 2 * (x * y - w * z);
  r[2] = 2 * (x * z + w * y);
  r[3] = 2 * (x * y + w * z);
  r[4] = 1 - 2 * (x * x + z * z);
  r[5] = 2 * (y * z - w * x);
  r[6] = 2 * (x * z - w * y);
  r[7] = 2 * (y * z + w * x);
  r[8] = 1 - 2 * (x * x + y * y);
}

// The rotation R that maximizes Σ w · target · R source = Σ_ij h[i, j] R[j, i], and the maximum, `top`.
// conditioning = (λ1 - λ2) / (2 λ1) of the two largest eigenvalues says how well R is determined: 0 if it is ambiguous.
template <class Real>
OLIFT_HD void best_rotation(const Real (&h)[9], bool reflection, Real (&rotation)[9], Real& top, Real& conditioning) {
  using O = Ops<Real>;
  const Real zero{};
  const Real one = zero + 1;

  Symmetric4<Real> a;
  Real size = zero;
  for (int i = 0; i < 9; ++i) size = size + magnitude(h[i]);
  const auto none = size == zero;  // NaN is not none
  const Real unit = 1 / O::select(none, one, size);
  const Real xx = h[0] * unit, xy = h[1] * unit, xz = h[2] * unit;
  const Real yx = h[3] * unit, yy = h[4] * unit, yz = h[5] * unit;
  const Real zx = h[6] * unit, zy = h[7] * unit, zz = h[8] * unit;
  a.m[0][0] = xx + yy + zz;
  a.m[1][1] = xx - yy - zz;
  a.m[2][2] = yy - xx - zz;
  a.m[3][3] = zz - xx - yy;
  a.m[0][1] = yz - zy;
  a.m[0][2] = zx - xz;
  a.m[0][3] = xy - yx;
  a.m[1][2] = xy + yx;
  a.m[1][3] = zx + xz;
  a.m[2][3] = yz + zy;

  Real vectors[4][4];
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) vectors[i][j] = i == j ? one : zero;
  }
  for (int sweep = 0; sweep < O::kSweeps; ++sweep) {
    // Each pair of lines touches different rows, so the processor can work on both at once.
    annihilate<0, 1>(a, vectors);
    annihilate<2, 3>(a, vectors);
    annihilate<0, 2>(a, vectors);
    annihilate<1, 3>(a, vectors);
    annihilate<0, 3>(a, vectors);
    annihilate<1, 2>(a, vectors);
  }

  Real values[4], first, second, q[4];
  for (int i = 0; i < 4; ++i) values[i] = a.m[i][i];
  largest(values, vectors, first, second, q);
  Real sign = one;
  if (reflection) {
    Real opposite[4], turned_first, turned_second, turned_q[4];
    for (int i = 0; i < 4; ++i) opposite[i] = -values[i];
    largest(opposite, vectors, turned_first, turned_second, turned_q);
    const auto turned = turned_first > first * (1 + 16 * O::kEpsilon);  // a flat set fits both ways: proper
    first = O::select(turned, turned_first, first);
    second = O::select(turned, turned_second, second);
    for (int j = 0; j < 4; ++j) q[j] = O::select(turned, turned_q[j], q[j]);
    sign = O::select(turned, -one, one);
  }

  Real length = zero;
  for (int j = 0; j < 4; ++j) length = length + q[j] * q[j];
  const Real inverse = 1 / O::root(length);
  for (int j = 0; j < 4; ++j) q[j] = q[j] * inverse;
  rotation_matrix(q, rotation);
  for (int i = 0; i < 9; ++i) rotation[i] = rotation[i] * sign;
  top = first * size;
  const Real share = (first - second) / O::select(none, one, 2 * first);
  conditioning = O::select(share <= zero + 16 * O::kEpsilon, zero, share);
}

}  // namespace olift
