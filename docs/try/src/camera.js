// The rotation and the scale that bring joints nearest to their keypoints: orthographic Procrustes, as
// olift_fast.reference.orthographic_procrustes computes it, from the sums of products alone.

import { cross, eigenSymmetric, product, symmetricFunction, transposed } from "./linear_algebra.js";

const ITERATIONS = 64;

/**
 * { rotation (3 × 3), scale } from the moments (5 × 5) of joints x, y, z and keypoints x, y, each relative to its mean.
 *
 * The scale is 1 where the moments tell none.
 */
export function fitCamera(moments) {
  const spread = moments.slice(0, 3).map((row) => row.slice(0, 3));
  const crossed = moments.slice(0, 3).map((row) => row.slice(3, 5));
  const total = spread[0][0] + spread[1][1] + spread[2][2];
  const inverse = symmetricFunction(spread, (value, largest) => (value > 1e-6 * largest ? 1 / value : 0));
  const affine = transposed(product(inverse, crossed));
  let { rows, scale } = nearestRows(affine);
  let rotation = [...rows, cross(...rows)];
  for (let step = 0; step < ITERATIONS; step++) {
    const depth = product(spread, [[rotation[2][0]], [rotation[2][1]], [rotation[2][2]]]).map(([value]) => scale * value);
    const covariance = crossed.map((row, i) => [...row, depth[i]]);
    rotation = bestRotation(covariance);
    const turned = product(rotation, covariance);
    scale = (turned[0][0] + turned[1][1] + turned[2][2]) / (total > 0 ? total : 1);
  }
  return { rotation, scale: scale > 0 ? scale : 1 };
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
  const [w, x, y, z] = vectors.map((row) => row[3]);
  return [
    [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
  ];
}
