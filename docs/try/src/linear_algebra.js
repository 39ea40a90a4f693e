// Small symmetric matrices, as lists of rows.

/** Eigenvalues in rising order and their vectors (in columns of `vectors`), by Jacobi's rotations. */
export function eigenSymmetric(matrix) {
  const n = matrix.length, a = matrix.map((row) => [...row]);
  const v = identity(n);
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0, all = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
      all += a[i][j] ** 2;
      if (i !== j) off += a[i][j] ** 2;
    }
    if (off <= 1e-30 * all) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) {
      if (a[p][q] === 0) continue;
      const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
      const c = 1 / Math.sqrt(t * t + 1), s = t * c;
      for (let k = 0; k < n; k++) [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
      for (let k = 0; k < n; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
      for (let k = 0; k < n; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
    }
  }
  const order = a.map((_, i) => i).sort((i, j) => a[i][i] - a[j][j]);
  return { values: order.map((i) => a[i][i]), vectors: v.map((row) => order.map((i) => row[i])) };
}

export function identity(n) {
  return Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => +(i === j)));
}

/** The matrix with f(eigenvalue) in place of each eigenvalue. */
export function symmetricFunction(matrix, f) {
  const { values, vectors } = eigenSymmetric(matrix), mapped = values.map((value) => f(value, values[values.length - 1]));
  return matrix.map((_, i) => matrix.map((_, j) => mapped.reduce((sum, value, k) => sum + value * vectors[i][k] * vectors[j][k], 0)));
}

export function product(a, b) {
  return a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));
}

export function transposed(a) {
  return a[0].map((_, j) => a.map((row) => row[j]));
}

export function cross([a, b, c], [d, e, f]) {
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}
