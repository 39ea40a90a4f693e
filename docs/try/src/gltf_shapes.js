// The shapes that joints and bones are drawn with in glTF, as olift_fast/io/writers/gltf_shapes.py makes them: small
// meshes, in the colors of left, middle and right. A mesh is [corners (V·3), their normals (V·3), triangles (F·3)].

import { cross } from "./linear_algebra.js";
import { dot } from "./rotations.js";

const SIDES_OF_STICK = 6;

/** An icosahedron about the origin. */
export function ball(radius) {
  const golden = (1 + Math.sqrt(5)) / 2, some = [-1, 1].flatMap((a) => [-1, 1].map((b) => [0, a, b * golden]));
  const corners = [0, 1, 2].flatMap((turn) => some.map((corner) => [0, 1, 2].map((axis) => corner[(axis - turn + 3) % 3])));
  const near = (a, b) => Math.abs(Math.hypot(...corners[a].map((value, axis) => value - corners[b][axis])) - 2) < 1e-6;
  const faces = [];
  for (let a = 0; a < 12; a++) for (let b = a + 1; b < 12; b++) for (let c = b + 1; c < 12; c++) {
    if (!near(a, b) || !near(b, c) || !near(a, c)) continue;
    faces.push(...(dot(corners[a], cross(corners[b], corners[c])) > 0 ? [a, b, c] : [a, c, b]));
  }
  const normals = corners.flatMap((corner) => corner.map((value) => value / Math.hypot(...corner)));
  return [Float32Array.from(normals, (value) => value * radius), Float32Array.from(normals), Uint16Array.from(faces)];
}

/** A tapering stick of length 1 from the origin along y; its radius stays as it is when y alone is stretched. */
export function stick(radius) {
  const around = Array.from({ length: SIDES_OF_STICK }, (_, side) => {
    const angle = (side * 2 * Math.PI) / SIDES_OF_STICK;
    return [Math.cos(angle), 0, Math.sin(angle)];
  });
  const ring = (share, y) => around.flatMap(([x, , z]) => [x * radius * share, y, z * radius * share]);
  const faces = around.flatMap((_, a) => {
    const b = (a + 1) % SIDES_OF_STICK;
    return [a, a + SIDES_OF_STICK, b, b, a + SIDES_OF_STICK, b + SIDES_OF_STICK];
  });
  return [Float32Array.from([...ring(1, 0), ...ring(0.5, 1)]), Float32Array.from([...around, ...around].flat()), Uint16Array.from(faces)];
}

/** Red, green, blue, alpha: a hue for each track; left is lighter, right darker. */
export function colorOf(track, side) {
  const hue = (0.58 + 0.618034 * track) % 1, bright = 0.75 + 0.2 * side;
  const channels = [0, 2 / 3, 1 / 3].map((turn) => Math.min(Math.max(Math.abs((((hue + turn) % 1) * 6) - 3) - 1, 0.15), 1));
  return [...channels.map((channel) => Number((bright * channel).toFixed(4))), 1];
}
