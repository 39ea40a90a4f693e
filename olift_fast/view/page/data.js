// The data of the page: facts, and the points of each drawn frame.

const $ = (id) => document.getElementById(id);
const info = JSON.parse($("info").textContent);
const N = info.tracks.length, J = info.joints.length, F = info.frames;
const rate = (info.rate || 30) / info.stride;
const options = new URLSearchParams(location.hash.slice(1));
const inWorld = info.frame === "world";
const shown = info.tracks.map(() => true);
const state = {
  frame: 0, playing: false, drawing: null, wanted: null,
  // The views follow no track (null), all shown tracks (0), or track n (n + 1).
  follow: null,
  uncertainty: false, trails: inWorld, hovered: null, pinned: new Set(), side: "side",
};
const SEEN = 1, ON_FLOOR = 2;
let data;

async function unpack(id) {
  const bytes = Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
  $(id).remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function split(buffer) {
  let at = 0;
  const take = (type, count) => {
    const bytes = count * type.BYTES_PER_ELEMENT;
    const array = new type(buffer.slice(at, at + bytes));
    at += bytes;
    return array;
  };
  return {
    numbers: take(Int32Array, F),
    joints: take(Int16Array, F * N * J * 3),
    keypoints: take(Int16Array, F * N * J * 2),
    deviations: info.deviation ? take(Int16Array, F * N * J) : null,
    confidence: take(Uint8Array, F * N * J),
    marks: take(Uint8Array, F * N * J),
  };
}

function joint(f, n, j) { return point(data.joints, info.joint, ((f * N + n) * J + j) * 3, 3); }
function keypoint(f, n, j) { return point(data.keypoints, info.keypoint, ((f * N + n) * J + j) * 2, 2); }
function isSeen(f, n, j) { return (data.marks[(f * N + n) * J + j] & SEEN) !== 0; }
function isOnFloor(f, n, j) { return (data.marks[(f * N + n) * J + j] & ON_FLOOR) !== 0; }

/** The standard deviation of a joint's depth; undefined if unknown. */
function deviation(f, n, j) {
  return info.deviation && (point(data.deviations, info.deviation, (f * N + n) * J + j, 1) || [])[0];
}

function point(codes, scale, at, size) {
  const values = [];
  for (let k = at; k < at + size; k++) {
    if (codes[k] === info.missing) return null;
    values.push(scale.offset + scale.step * codes[k]);
  }
  return values;
}

/** A joint in the drawn axes: to the right, away from the camera, up. */
function upright(p) { return inWorld ? p : [p[0], p[2], -p[1]]; }

/** The direction of depth in the drawn axes; bars of uncertainty have it. */
const depthAxis = (() => {
  const pitch = inWorld ? ((info.pitch || 0) * Math.PI) / 180 : 0;
  return [0, Math.cos(pitch), -Math.sin(pitch)];
})();

function firstFrame() {
  const at = data.marks.findIndex((mark) => mark & SEEN);
  return at < 0 ? 0 : Math.floor(at / (N * J));
}

/** The mean of the points of some tracks in each frame, [F][k], smoothed over half a second, with gaps filled. */
const paths = new Map();
function path(which, read, size) {
  const tracks = which > 0 ? [which - 1] : info.tracks.map((_, n) => n).filter((n) => shown[n]);
  const key = `${size}:${tracks}`;
  if (!paths.has(key)) paths.set(key, smoothed(filled(middles(tracks, read, size), size), Math.round(rate / 4), size));
  return paths.get(key);
}

function middles(tracks, read, size) {
  return Array.from({ length: F }, (_, f) => {
    const sum = new Array(size).fill(0);
    let count = 0;
    for (const n of tracks) for (let j = 0; j < J; j++) {
      const p = read(f, n, j);
      if (p) { count++; for (let k = 0; k < size; k++) sum[k] += p[k]; }
    }
    return count ? sum.map((s) => s / count) : null;
  });
}

function filled(points, size) {
  const known = points.flatMap((p, f) => (p ? [f] : []));
  if (!known.length) return points.map(() => new Array(size).fill(0));
  let next = 0;
  return points.map((p, f) => {
    if (p) return p;
    while (next < known.length && known[next] < f) next++;
    const after = known[Math.min(next, known.length - 1)], before = known[Math.max(0, next - 1)];
    const share = after === before ? 0 : (f - before) / (after - before);
    return points[before].map((v, k) => v + Math.max(0, Math.min(1, share)) * (points[after][k] - v));
  });
}

function smoothed(points, half, size) {
  const sums = [new Array(size).fill(0)];
  for (const p of points) sums.push(p.map((v, k) => v + sums[sums.length - 1][k]));
  return points.map((_, f) => {
    const first = Math.max(0, f - half), last = Math.min(F, f + half + 1);
    return sums[last].map((v, k) => (v - sums[first][k]) / (last - first));
  });
}

function uprightJoint(f, n, j) { const p = joint(f, n, j); return p && upright(p); }
function seenKeypoint(f, n, j) { return isSeen(f, n, j) ? keypoint(f, n, j) : null; }
/** The centers of the 3D view and of the 2D panel when they follow. */
function center(f) { return state.follow === null ? [0, 0, 0] : path(state.follow, uprightJoint, 3)[f]; }
function center2D(f) { return path(state.follow || 0, seenKeypoint, 2)[f]; }
