// Rotations, as olift_fast/io/writers/rotations.py finds them: those that turn directions onto others, and as Euler
// angles and quaternions that do not jump.
//
// Over time, vectors are a Float64Array (T·3) and matrices one (T·9), row by row.

import { cross } from "./linear_algebra.js";

/** What the first direction leaves open the others decide, and what they leave open the base. */
const OTHERS = 1e-3, BASE = 1e-6;
/** The squared sine of the angle to the first direction up to which another is in one line with it. */
const IN_LINE = 0.3;
const PAIRS = [[0, 1], [0, 2], [1, 2]];

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** A matrix times a vector; both may be parts of longer arrays, the matrix from `at` on. */
export function applied(m, at, [x, y, z]) {
  return [0, 3, 6].map((row) => m[at + row] * x + m[at + row + 1] * y + m[at + row + 2] * z);
}

/** out = A B for the matrices that begin at `from` in a, at `of` in b and at `to` in out, which may be one of the two. */
export function multiply(a, from, b, of, out, to) {
  const b0 = b[of], b1 = b[of + 1], b2 = b[of + 2], b3 = b[of + 3], b4 = b[of + 4], b5 = b[of + 5];
  const b6 = b[of + 6], b7 = b[of + 7], b8 = b[of + 8];
  for (let row = 0; row < 9; row += 3) {
    const x = a[from + row], y = a[from + row + 1], z = a[from + row + 2];
    out[to + row] = x * b0 + y * b3 + z * b6;
    out[to + row + 1] = x * b1 + y * b4 + z * b7;
    out[to + row + 2] = x * b2 + y * b5 + z * b8;
  }
}

/** (T·9) Aᵀ B for matrices over time. */
export function between(a, b) {
  const out = new Float64Array(b.length), flipped = new Float64Array(9);
  for (let at = 0; at < b.length; at += 9) {
    for (let row = 0; row < 3; row++) for (let column = 0; column < 3; column++) flipped[3 * row + column] = a[at + 3 * column + row];
    multiply(flipped, 0, b, at, out, at);
  }
  return out;
}

/**
 * (T·9) rotations that turn the first direction onto where it is, to 0.1°, and the others as near as they can.
 *
 * They are best fits with weights (Kabsch, 1976). Of the others, those in one line with the first count for nothing: as
 * they bend to one side or the other, they would roll the joint over. `directions` are K unit vectors, `onto` as many
 * over time; what they leave open is as in the rotations `base`.
 */
export function turning(directions, onto, base) {
  const out = new Float64Array(base.length);
  const weights = directions.map((one, index) => {
    const aside = Math.max(1 - dot(one, directions[0]) ** 2 - IN_LINE, 0);
    return index === 0 ? 1 : (OTHERS * aside) / directions.length;
  });
  for (let at = 0, from = 0; at < out.length; at += 9, from += 3) {
    for (let k = 0; k < 9; k++) out[at + k] = BASE * base[at + k];
    directions.forEach((one, index) => addOuter(out, at, onto[index], from, one, weights[index]));
    makeProper(out, at);
  }
  return out;
}

/** Adds weight · a bᵀ to the matrix at `at`; a begins at `from` of a longer array. */
export function addOuter(m, at, a, from, b, weight) {
  const x = b[0] * weight, y = b[1] * weight, z = b[2] * weight;
  for (let row = 0; row < 3; row++) {
    const value = a[from + row];
    m[at + 3 * row] += value * x;
    m[at + 3 * row + 1] += value * y;
    m[at + 3 * row + 2] += value * z;
  }
}

const columns = new Float64Array(9), turns = new Float64Array(9);

/** Replaces the matrix M at `at` by the rotation R that maximizes trace(Rᵀ M). */
export function makeProper(m, at) {
  // Columns of M V at right angles (Hestenes, 1958): the small ones are as precise as the large ones, other than those
  // of eigenvectors of Mᵀ M, and twist hangs on them.
  for (let row = 0; row < 3; row++) for (let column = 0; column < 3; column++) {
    columns[3 * column + row] = m[at + 3 * row + column];
    turns[3 * column + row] = +(row === column);
  }
  for (let sweep = 0, turned = true; turned && sweep < 40; sweep++) {
    turned = false;
    for (const [p, q] of PAIRS) turned = makeSquare(3 * p, 3 * q) || turned;
  }
  const sizes = [0, 3, 6].map((at) => Math.hypot(columns[at], columns[at + 1], columns[at + 2]));
  const least = sizes.indexOf(Math.min(...sizes)), some = (least + 1) % 3, other = (least + 2) % 3;
  const [first, second] = sizes[some] >= sizes[other] ? [some, other] : [other, some];
  if (!(sizes[first] > 0)) {
    for (let k = 0; k < 9; k++) m[at + k] = +(k % 4 === 0);
    return;
  }
  const u = unit(columns, 3 * first), v = sizes[second] > 0 ? unit(columns, 3 * second) : square(u);
  const a = unit(turns, 3 * first), b = unit(turns, 3 * second);
  // The third ones follow from the right hand: where M mirrors, the smallest part is turned round.
  const w = cross(u, v), c = cross(a, b);
  for (let row = 0; row < 3; row++) for (let column = 0; column < 3; column++) {
    m[at + 3 * row + column] = u[row] * a[column] + v[row] * b[column] + w[row] * c[column];
  }
}

/** Turns two columns until they are at right angles; false where they are. */
function makeSquare(p, q) {
  const u = columns;
  const a = u[p] * u[p] + u[p + 1] * u[p + 1] + u[p + 2] * u[p + 2], b = u[q] * u[q] + u[q + 1] * u[q + 1] + u[q + 2] * u[q + 2];
  const shared = u[p] * u[q] + u[p + 1] * u[q + 1] + u[p + 2] * u[q + 2];
  if (Math.abs(shared) <= 1e-15 * Math.sqrt(a) * Math.sqrt(b)) return false;
  const ratio = (b - a) / (2 * shared), tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.sqrt(1 + ratio * ratio));
  const cosine = 1 / Math.sqrt(1 + tangent * tangent), sine = cosine * tangent;
  for (const matrix of [columns, turns]) for (let row = 0; row < 3; row++) {
    const x = matrix[p + row], y = matrix[q + row];
    matrix[p + row] = cosine * x - sine * y;
    matrix[q + row] = sine * x + cosine * y;
  }
  return true;
}

/** The vector at `at` of a longer array, at unit length. */
function unit(values, at) {
  const size = Math.hypot(values[at], values[at + 1], values[at + 2]);
  return [values[at] / size, values[at + 1] / size, values[at + 2] / size];
}

/** A unit vector at right angles to another one. */
function square(vector) {
  const sizes = vector.map(Math.abs), least = sizes.indexOf(Math.min(...sizes));
  return unit(cross(vector, [0, 1, 2].map((axis) => +(axis === least))), 0);
}

/**
 * Writes the smallest rotation from a unit vector to another into `out` at `at`.
 *
 * Between opposite vectors, the axis is one that is square to both.
 */
export function swing(start, end, out, at) {
  const cosine = dot(start, end);
  if (cosine < -1 + 1e-9) {
    const axis = square(start);
    for (let k = 0; k < 9; k++) out[at + k] = 2 * axis[Math.floor(k / 3)] * axis[k % 3] - +(k % 4 === 0);
    return;
  }
  const [x, y, z] = cross(start, end), rest = 1 / Math.max(1 + cosine, 1e-12);
  out[at] = 1 - rest * (y * y + z * z);
  out[at + 1] = rest * x * y - z;
  out[at + 2] = rest * x * z + y;
  out[at + 3] = rest * x * y + z;
  out[at + 4] = 1 - rest * (x * x + z * z);
  out[at + 5] = rest * y * z - x;
  out[at + 6] = rest * x * z - y;
  out[at + 7] = rest * y * z + x;
  out[at + 8] = 1 - rest * (x * x + y * y);
}

/** The rotation about the y axis by an angle in radians, from z toward x. */
export function aboutY(angle) {
  const cosine = Math.cos(angle), sine = Math.sin(angle);
  return Float64Array.of(cosine, 0, sine, 0, 1, 0, -sine, 0, cosine);
}

const TURN = 2 * Math.PI;
/** An angle between -π and π that differs by full turns. */
const within = (angle) => angle + Math.PI - TURN * Math.floor((angle + Math.PI) / TURN) - Math.PI;
const distance = (a, b) => a.reduce((sum, angle, axis) => sum + within(angle - b[axis]) ** 2, 0);

/**
 * (T·3) angles z, x, y in degrees of rotations Rz Rx Ry, as steady over time as can be.
 *
 * Each set of angles has a twin, (z + 180, 180 - x, y + 180), and equals itself plus full turns; of these the one nearest
 * to the frame before is taken.
 */
export function eulerZxy(rotations) {
  const degrees = new Float64Array(rotations.length / 3), shift = [0, 0, 0];
  let before = null, last = null, changed = false;
  for (let at = 0, to = 0; at < rotations.length; at += 9, to += 3) {
    const [m00, m01, , m10, m11, , m20, m21, m22] = rotations.subarray(at, at + 9), sine = Math.min(Math.max(m21, -1), 1);
    const locked = Math.abs(sine) > 1 - 1e-12;
    const angles = [locked ? Math.atan2(m10, m00) : Math.atan2(-m01, m11), Math.asin(sine), locked ? 0 : Math.atan2(-m20, m22)];
    const twin = [angles[0] + Math.PI, Math.PI - angles[1], angles[2] + Math.PI];
    // Twins are as far apart as the angles themselves, so whether to change over does not depend on the frames before.
    if (before && distance(twin, before) < distance(angles, before)) changed = !changed;
    const chosen = changed ? twin : angles;
    for (let axis = 0; axis < 3; axis++) {
      const step = last ? chosen[axis] - last[axis] : 0;
      if (Math.abs(step) >= Math.PI) {
        const small = within(step);
        shift[axis] += (small === -Math.PI && step > 0 ? Math.PI : small) - step;
      }
      degrees[to + axis] = ((chosen[axis] + shift[axis]) * 180) / Math.PI;
    }
    before = angles;
    last = chosen;
  }
  return degrees;
}

/** (T·4) unit quaternions x, y, z, w of rotations, without changes of sign over time. */
export function quaternions(rotations) {
  const out = new Float32Array((rotations.length / 9) * 4);
  let before = [0, 0, 0, 0], sign = 1;
  for (let at = 0, to = 0; at < rotations.length; at += 9, to += 4) {
    const [m00, m01, m02, m10, m11, m12, m20, m21, m22] = rotations.subarray(at, at + 9), trace = m00 + m11 + m22;
    const squares = [1 + 2 * m00 - trace, 1 + 2 * m11 - trace, 1 + 2 * m22 - trace, 1 + trace];
    const xy = m01 + m10, xz = m02 + m20, yz = m12 + m21, xw = m21 - m12, yw = m02 - m20, zw = m10 - m01;
    // Of four formulas, the one that divides by the largest component.
    const best = squares.indexOf(Math.max(...squares));
    const [x, y, z, w] = [[squares[0], xy, xz, xw], [xy, squares[1], yz, yw], [xz, yz, squares[2], zw], [xw, yw, zw, squares[3]]][best];
    const size = Math.sqrt(x * x + y * y + z * z + w * w), found = [x / size, y / size, z / size, w / size];
    if (found.reduce((sum, value, k) => sum + value * before[k], 0) < 0) sign = -sign;
    for (let k = 0; k < 4; k++) out[to + k] = sign * found[k];
    before = found;
  }
  return out;
}
