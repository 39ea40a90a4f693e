// What Python does around the model, in the same steps as olift_fast/model/inference.py: prepare, run in chunks, place.

import { fitCamera } from "./camera.js";
import { InputError } from "./errors.js";
import { handOf } from "./hands.js";
import { graphOf, subset } from "./skeleton.js";

/** Frames that the model lifts at a time, beside those around them: its memory grows with their square. */
const CHUNK = 192;

/**
 * Lifts tracks: { joints (N·T·J·3) in pixels, visible (N·T·J), scale (N), centers (N·T·2), rotation (N·9) }.
 *
 * `tracks` is what `read` returns. `model` is { run(inputs) → Float32Array (T·J·3), hops, before, after }: its result
 * for a frame depends on so many frames before and after. `progress` is called with the share that is done.
 */
export async function liftTracks(model, tracks, { minConfidence = 0.3, progress = () => {} } = {}) {
  const { N, T, J, keypoints, confidence, skeleton } = tracks;
  const visible = new Uint8Array(N * T * J);
  for (let at = 0; at < visible.length; at++) {
    visible[at] = +(isFinite(keypoints[2 * at]) && isFinite(keypoints[2 * at + 1]) && confidence[at] >= minConfidence);
  }
  if (!visible.includes(1)) throw new InputError(`no keypoint is visible at a confidence of ${minConfidence}`);
  const result = {
    joints: new Float32Array(N * T * J * 3).fill(NaN), visible, scale: new Float32Array(N),
    centers: new Float32Array(N * T * 2), rotation: new Float32Array(N * 9),
  };
  const has = jointsOfTracks(tracks);
  for (let track = 0; track < N; track++) {
    const own = ownJoints(has, track), offset = track * T * J;
    const prepared = prepare(take(keypoints, offset, T, J, own, 2), take(visible, offset, T, J, own, 1), T, own.length);
    const told = { ...prepared, skeleton: subset(handOf(skeleton, tracks.tracks[track]), own) };
    const joints = await run(model, told, (share) => progress((track + share) / N));
    const { rotation, scale } = place(joints, prepared);
    for (let frame = 0; frame < T; frame++) own.forEach((joint, index) => {
      const from = 3 * (frame * own.length + index), to = 3 * (offset + frame * J + joint);
      for (let axis = 0; axis < 3; axis++) result.joints[to + axis] = joints[from + axis];
    });
    result.scale[track] = scale;
    result.centers.set(prepared.centers, track * T * 2);
    result.rotation.set(rotation.flat(), track * 9);
  }
  return result;
}

/** For each track, which joints (J) it ever has. */
export function jointsOfTracks({ N, T, J, keypoints, confidence }, minConfidence = 0) {
  return Array.from({ length: N }, (_, track) => Array.from({ length: J }, (_, joint) => {
    for (let frame = 0; frame < T; frame++) {
      const at = (track * T + frame) * J + joint;
      const there = minConfidence > 0 ? confidence[at] >= minConfidence : confidence[at] > 0;
      if (there && isFinite(keypoints[2 * at]) && isFinite(keypoints[2 * at + 1])) return true;
    }
    return false;
  }));
}

/** The joints of a track, without those that only others have: they are another animal's. */
function ownJoints(has, track) {
  const all = has[track].map((_, joint) => joint);
  if (!has[track].includes(true)) return all;
  return all.filter((joint) => has[track][joint] || !has.some((other) => other[joint]));
}

/** Values (T, J', size) of some joints of a track whose values (T, J, size) begin at an offset. */
function take(values, offset, T, J, joints, size) {
  const taken = new values.constructor(T * joints.length * size);
  for (let frame = 0, to = 0; frame < T; frame++) for (const joint of joints) {
    const from = (offset + frame * J + joint) * size;
    for (let k = 0; k < size; k++) taken[to++] = values[from + k];
  }
  return taken;
}

/** Centered and scaled keypoints of a track as the model takes them; `centers` are NaN where a frame shows nothing. */
export function prepare(keypoints, visible, T, J) {
  const centers = new Float32Array(2 * T), normalized = new Float32Array(2 * T * J);
  let squares = 0, count = 0;
  for (let frame = 0; frame < T; frame++) {
    let x = 0, y = 0, seen = 0;
    for (let at = frame * J; at < (frame + 1) * J; at++) if (visible[at]) {
      x += keypoints[2 * at];
      y += keypoints[2 * at + 1];
      seen++;
    }
    centers[2 * frame] = seen ? x / seen : NaN;
    centers[2 * frame + 1] = seen ? y / seen : NaN;
    for (let at = frame * J; at < (frame + 1) * J; at++) if (visible[at]) for (let axis = 0; axis < 2; axis++) {
      const away = Math.fround(keypoints[2 * at + axis] - centers[2 * frame + axis]);
      normalized[2 * at + axis] = away;
      // A frame with one visible keypoint has no spread and says nothing about the scale.
      if (seen > 1) squares += away * away;
    }
    if (seen > 1) count += seen;
  }
  const root = count ? Math.sqrt(squares / count) : 0, scale = isFinite(root) && root > 0 ? root : 1;
  for (let at = 0; at < normalized.length; at++) normalized[at] /= Math.fround(scale);
  return { keypoints: normalized, visible, centers, scale, T, J };
}

/** Joints (T·J·3) in model units, centered on each frame's joints; NaN in frames that nothing is seen near. */
async function run(model, { keypoints, visible, skeleton, T, J }, progress) {
  const joints = new Float32Array(3 * T * J).fill(NaN);
  const graph = graphOf(skeleton, model.hops), sides = Float32Array.from(skeleton.sides);
  const stretches = stretchesOf(visible, T, J, model);
  for (const [done, { start, stop, first, last }] of stretches.entries()) {
    const lifted = await model.run({
      T: last - first, J, graph, sides,
      keypoints: keypoints.subarray(2 * first * J, 2 * last * J), visible: visible.subarray(first * J, last * J),
    });
    joints.set(lifted.subarray(3 * (start - first) * J, 3 * (stop - first) * J), 3 * start * J);
    progress((done + 1) / stretches.length);
  }
  for (let frame = 0; frame < T; frame++) for (let axis = 0; axis < 3; axis++) {
    let mean = 0;
    for (let joint = 0; joint < J; joint++) mean += joints[3 * (frame * J + joint) + axis] / J;
    for (let joint = 0; joint < J; joint++) joints[3 * (frame * J + joint) + axis] -= mean;
  }
  return joints;
}

/** Runs of frames near which something is seen, in stretches with the frames around them that they depend on. */
export function stretchesOf(visible, T, J, { before, after }, chunk = CHUNK) {
  const near = new Uint8Array(T);
  for (let frame = 0; frame < T; frame++) {
    if (visible.subarray(frame * J, (frame + 1) * J).includes(1)) near.fill(1, Math.max(0, frame - after), frame + before + 1);
  }
  const stretches = [];
  for (let start = near.indexOf(1); start >= 0 && start < T; start = near.indexOf(1, start)) {
    const gap = near.indexOf(0, start), end = gap < 0 ? T : gap;
    for (; start < end; start += chunk) {
      const stop = Math.min(start + chunk, end);
      stretches.push({ start, stop, first: Math.max(start - before, 0), last: Math.min(stop + after, T) });
    }
    start = end;
  }
  return stretches;
}

/** Turns, scales and moves joints onto the keypoints in the picture, in place; returns the rotation and the scale. */
function place(joints, { keypoints, visible, centers, scale: unit, T, J }) {
  if (!visible.includes(1)) return { rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], scale: unit };
  const moments = Array.from({ length: 5 }, () => Array(5).fill(0)), means = new Float64Array(3 * T), point = Array(5);
  for (let frame = 0; frame < T; frame++) {
    const seen = [];
    for (let at = frame * J; at < (frame + 1) * J; at++) if (visible[at]) seen.push(at);
    for (let axis = 0; axis < 3; axis++) {
      means[3 * frame + axis] = seen.reduce((sum, at) => sum + joints[3 * at + axis], 0) / Math.max(seen.length, 1);
    }
    for (const at of seen) {
      for (let axis = 0; axis < 3; axis++) point[axis] = joints[3 * at + axis] - means[3 * frame + axis];
      for (let axis = 0; axis < 2; axis++) point[3 + axis] = keypoints[2 * at + axis];
      for (let i = 0; i < 5; i++) for (let j = 0; j < 5; j++) moments[i][j] += point[i] * point[j];
    }
  }
  const { rotation, scale: stretch } = fitCamera(moments), scale = unit * stretch;
  const turned = (x, y, z, axis) => scale * (rotation[axis][0] * x + rotation[axis][1] * y + rotation[axis][2] * z);
  const offsets = [0, 1].map((axis) => carried(Array.from({ length: T }, (_, frame) =>
    centers[2 * frame + axis] - turned(...means.subarray(3 * frame, 3 * frame + 3), axis))));
  for (let frame = 0; frame < T; frame++) for (let at = frame * J; at < (frame + 1) * J; at++) {
    const [x, y, z] = joints.subarray(3 * at, 3 * at + 3);
    for (let axis = 0; axis < 3; axis++) joints[3 * at + axis] = turned(x, y, z, axis) + (axis < 2 ? offsets[axis][frame] : 0);
  }
  return { rotation, scale };
}

/** Values with NaN filled in: linearly, at the ends by the nearest known one. One must be known. */
export function carried(values) {
  const known = values.flatMap((value, index) => (isFinite(value) ? [index] : []));
  let next = 0;
  return values.map((value, index) => {
    if (isFinite(value)) return value;
    while (next < known.length && known[next] < index) next++;
    const after = known[Math.min(next, known.length - 1)], before = known[Math.max(next - 1, 0)];
    if (after <= index || before >= index) return values[before >= index ? before : after];
    return values[before] + ((index - before) / (after - before)) * (values[after] - values[before]);
  });
}
