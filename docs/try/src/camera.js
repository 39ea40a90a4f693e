// The rotation and the scale that bring joints nearest to their keypoints: orthographic Procrustes, as
// olift_fast.runtime.alignment.orthographic_fit and its kernel, csrc/geometry/camera.h, compute it, from the sums of
// products alone.

import { cross, eigenSymmetric, product, symmetricFunction, transposed } from "./linear_algebra.js";

const COMPLETIONS = 4, STEPS = 64, SHORT = 0.2;

/**
 * { rotation (3 × 3), scale } from the moments (5 × 5) of joints x, y, z and keypoints x, y, each relative to its mean.
 *
 * From the rotation nearest to the best affine map the error is lowered by completing the keypoints with the depth of
 * the present fit and fitting to that (Horn 1987), and by Newton's steps where the error curves upward and the step is
 * short. The scale is 1 where the moments tell none.
 */
export function fitCamera(moments) {
  const total = moments[0][0] + moments[1][1] + moments[2][2], size = total > 0 ? total : 1;
  const spread = moments.slice(0, 3).map((row) => row.slice(0, 3).map((value) => value / size));
  const crossed = moments.slice(0, 3).map((row) => row.slice(3, 5));
  const most = crossed.flat().reduce((sum, value) => sum + Math.abs(value), 0) || 1;
  const seen = crossed.map((row) => row.map((value) => value / most));
  const inverse = symmetricFunction(spread, (value, largest) => (value > 1e-6 * largest ? 1 / value : 0));
  const { rows, scale: stretch } = nearestRows(transposed(product(inverse, seen)));
  let rotation = [...rows, cross(...rows)], scale = stretch;
  for (let step = 0; step < STEPS; step++) {
    const move = step < COMPLETIONS ? null : newtonStep(spread, seen, rotation, scale);
    if (move) {
      rotation = product(turnOf(move), rotation);
      scale *= 1 + move[3];
      if (squares(move) < 16 * Number.EPSILON ** 2) break;
    } else {
      ({ rotation, scale } = completed(spread, seen, rotation, scale));
    }
  }
  scale *= most / size;
  return { rotation, scale: scale > 0 ? scale : 1 };
}

/** The fit to the keypoints completed by the depth that a fit gives the joints, whose spread has trace 1. */
function completed(spread, seen, [, , ahead], scale) {
  const depth = product(spread, ahead.map((value) => [value])), covariance = seen.map((row, i) => [...row, scale * depth[i][0]]);
  const rotation = bestRotation(covariance), turned = product(rotation, covariance);
  return { rotation, scale: turned[0][0] + turned[1][1] + turned[2][2] };
}

/**
 * [ω, σ] by which R → exp([ω]×) R and scale → (1 + σ) scale lower the error most, by its first and second derivatives;
 * null where it doesn't curve upward there, and where the step is long.
 */
function newtonStep(spread, seen, rotation, scale) {
  if (!(scale > 0)) return null;
  const a = product(product(rotation, spread), transposed(rotation));
  const c = product(rotation, seen).map((row) => row.map((value) => value / scale)), across = c[1][0] - c[0][1];
  const slope = [c[2][1] - a[1][2], a[0][2] - c[2][0], across, a[0][0] + a[1][1] - c[0][0] - c[1][1]];
  const tilt = a[0][1] - (c[0][1] + c[1][0]) / 2, roll = -(a[0][2] + c[2][0]) / 2, pitch = -(a[1][2] + c[2][1]) / 2;
  const bend = [
    [a[2][2] - a[1][1] + c[1][1], tilt, roll, c[2][1] - 2 * a[1][2]],
    [tilt, a[2][2] - a[0][0] + c[0][0], pitch, 2 * a[0][2] - c[2][0]],
    [roll, pitch, c[0][0] + c[1][1], across],
    [c[2][1] - 2 * a[1][2], 2 * a[0][2] - c[2][0], across, a[0][0] + a[1][1]],
  ];
  const move = solved(bend, slope.map((value) => -value));
  return move && squares(move) < SHORT ** 2 ? move : null;
}

/** The solution of a symmetric system by elimination; null unless all pivots are above 0. */
function solved(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i]]), n = rows.length;
  for (let i = 0; i < n; i++) {
    if (!(rows[i][i] > 64 * Number.EPSILON)) return null;
    for (let j = i + 1; j < n; j++) {
      const factor = rows[j][i] / rows[i][i];
      for (let k = i; k <= n; k++) rows[j][k] -= factor * rows[i][k];
    }
  }
  const x = Array(n).fill(0);
  for (let i = n - 1; i >= 0; i--) x[i] = rows[i].slice(i + 1, n).reduce((sum, value, k) => sum - value * x[i + 1 + k], rows[i][n]) / rows[i][i];
  return x;
}

/** The rotation by [ω], to its second order. */
function turnOf([x, y, z]) {
  const length = Math.hypot(1, x / 2, y / 2, z / 2);
  return rotationOf(1 / length, x / 2 / length, y / 2 / length, z / 2 / length);
}

function squares(values) {
  return values.reduce((sum, value) => sum + value * value, 0);
}

/** The two orthonormal rows nearest to a 2 × 3 matrix, and the mean of its singular values. */
function nearestRows(matrix) {
  const { values, vectors } = eigenSymmetric(product(matrix, transposed(matrix)));
  const singular = values.map((value) => Math.sqrt(Math.max(value, 0)));
  // Each left singular vector with its right one; where the matrix has none, any that stands on the others.
  const right = [null, null];
  for (const k of [1, 0]) {
    if (singular[k] > 1e-12 * singular[1] && singular[k] > 0) {
      right[k] = [0, 1, 2].map((j) => (vectors[0][k] * matrix[0][j] + vectors[1][k] * matrix[1][j]) / singular[k]);
    } else {
      right[k] = perpendicular(right[1]);
    }
  }
  const rows = [0, 1].map((i) => [0, 1, 2].map((j) => vectors[i][0] * right[0][j] + vectors[i][1] * right[1][j]));
  return { rows, scale: (singular[0] + singular[1]) / 2 };
}

function perpendicular(vector) {
  if (!vector) return [1, 0, 0];
  const away = Math.abs(vector[0]) < 0.6 ? [1, 0, 0] : [0, 1, 0], found = cross(vector, away), size = Math.hypot(...found);
  return found.map((value) => value / size);
}

/** The rotation R with the largest trace of R C: the top eigenvector of Davenport's matrix (Horn 1987). */
function bestRotation(c) {
  const trace = c[0][0] + c[1][1] + c[2][2];
  const vector = [c[1][2] - c[2][1], c[2][0] - c[0][2], c[0][1] - c[1][0]];
  const inner = [0, 1, 2].map((i) => [0, 1, 2].map((j) => c[i][j] + c[j][i] - (i === j ? trace : 0)));
  const { vectors } = eigenSymmetric([[trace, ...vector], ...inner.map((row, i) => [vector[i], ...row])]);
  return rotationOf(...vectors.map((row) => row[3]));
}

function rotationOf(w, x, y, z) {
  return [
    [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
  ];
}
