// Poses with frame numbers become tracks: by the file's ids, or else by nearness, as olift_fast/io/detections.py does it.

import { InputError, plural } from "./errors.js";
import { checkSize } from "./settle.js";

/** A pose continues a track when their joints lie closer, on average, than this share of the pose's size. */
const REACH = 0.5;
/** A track that has not been seen for this many frames has ended. */
const PATIENCE = 30;

/** Poses as a file lists them, in any order. */
export class Detections {
  constructor(J) {
    this.J = J;
    this.poses = [];
  }

  /**
   * Adds a pose of points (2·J) and scores (J) of the animal `id`, or null; false if the pose has no keypoint.
   * A keypoint with a score of NaN has none, and counts as certain.
   */
  add(frame, id, points, scores) {
    if (scores.length !== this.J) throw new InputError(`a pose in frame ${frame} has ${scores.length} keypoints, wanted ${this.J}`);
    const certain = scores.map((score) => (Number.isNaN(score) ? 1 : score));
    const there = certain.map((score, joint) => isFinite(points[2 * joint]) && isFinite(points[2 * joint + 1]) && score > 0);
    if (!there.includes(true)) return false;
    const kept = points.map((value, at) => (there[at >> 1] ? value : NaN));
    this.poses.push({ frame, id, owner: -1, points: kept, scores: certain.map((score, joint) => (there[joint] ? score : 0)), size: 0 });
    return true;
  }
}

/** A file's id of an animal as text; null where it gives none: null, nothing, -1, or a list of these. */
export function identity(value) {
  while (Array.isArray(value) && value.length) [value] = value;
  if (value === undefined || value === null || value === "" || value === "-1" || typeof value === "boolean") return null;
  if (typeof value === "object") return null;
  if (typeof value === "number") return value >= 0 && isFinite(value) ? String(value) : null;
  return String(value);
}

/** The number of each frame in a list: those given, or the places in the list if one is null; throws if one comes twice. */
export function numbered(given) {
  if (given.includes(null)) return given.map((_, place) => place);
  refuseRepeatedFrames(given);
  return given;
}

function refuseRepeatedFrames(numbers) {
  const seen = new Set();
  for (const number of numbers) {
    if (seen.has(number)) throw new InputError(`frame ${number} comes twice`);
    seen.add(number);
  }
}

/** Numbers from the first to the last of some frames; throws where so many are missing that they can't be frames. */
export function framesBetween(numbers) {
  const first = numbers.reduce((a, b) => Math.min(a, b), Infinity), last = numbers.reduce((a, b) => Math.max(a, b), -Infinity);
  const there = new Set(numbers).size;
  if (last - first >= 1000 * (there + 10)) throw new InputError(`frame numbers run from ${first} to ${last} but only ${there} are there`);
  return Array.from({ length: last - first + 1 }, (_, place) => first + place);
}

/**
 * What a reader returns, of poses: each at its track and frame. `allFrames` are those that the file has; with `fill`,
 * the frames between them are there, too, and hidden.
 */
export function asTracks({ J, poses }, { prefix = "track", allFrames = [], fill = true } = {}) {
  if (!poses.length) throw new InputError(`no keypoint is visible in ${plural(new Set(allFrames).size, "frame")}, wanted at least one animal`);
  const numbers = [...allFrames, ...poses.map((pose) => pose.frame)], notes = [], warnings = [];
  const frames = fill ? framesBetween(numbers) : [...new Set(numbers)].sort((a, b) => a - b);
  const placeOf = new Map(frames.map((frame, place) => [frame, place]));
  const used = new Set(poses.map((pose) => pose.frame)).size;
  let ids = poses.map((pose) => pose.id);
  if (new Set(ids).size === 1 && ids[0] !== null && 10 * (poses.length - used) >= used) {
    notes.push(`all poses have the id ${ids[0]}, which tells no animals apart`);
    ids = ids.map(() => null);
  }
  const named = [...new Set(ids.filter((id) => id !== null))];
  poses.forEach((pose, index) => { pose.owner = ids[index] === null ? -1 : named.indexOf(ids[index]); });
  setSizes(poses);
  const without = poses.filter((pose) => pose.owner < 0).length;
  adopt(poses, used);
  const loose = poses.filter((pose) => pose.owner < 0), adopted = without - loose.length;
  if (adopted) notes.push(`${adopted} of ${poses.length} poses have no id: each joins the nearest track without a pose there`);
  const alone = new Set(loose.map((pose) => pose.frame)).size === loose.length;
  const made = loose.length ? join(loose, named.length, alone) : 0;
  if (!alone) notes.push(`poses without an id are joined by nearness, into ${plural(made, "track")}`);
  while (Array.from({ length: made }, (_, number) => `${prefix}_${number}`).some((name) => named.includes(name))) prefix += "_";
  const tracks = [...named, ...Array.from({ length: made }, (_, number) => `${prefix}_${number}`)];
  const lost = poses.length - new Set(poses.map((pose) => `${pose.owner}/${pose.frame}`)).size;
  if (lost) warnings.push(`${lost} of ${poses.length} poses left out: their frame has another pose of the same id, more confident`);
  const N = tracks.length, T = frames.length;
  checkSize(N, T, J);
  const keypoints = new Float32Array(N * T * J * 2).fill(NaN), confidence = new Float32Array(N * T * J);
  const total = (pose) => pose.scores.reduce((sum, score) => sum + score, 0);
  for (const pose of [...poses].sort((a, b) => total(a) - total(b))) {
    const at = (pose.owner * T + placeOf.get(pose.frame)) * J;
    keypoints.set(pose.points, 2 * at);
    confidence.set(pose.scores, at);
  }
  return { N, T, J, keypoints, confidence, names: null, tracks, frames, notes, warnings };
}

/** Each pose as a track of one frame: pictures that have nothing to do with each other. */
export function asStills({ J, poses }, labels) {
  if (!poses.length) throw new InputError("no keypoint is visible, wanted at least one animal");
  return {
    N: poses.length, T: 1, J, keypoints: Float32Array.from(poses.flatMap((pose) => [...pose.points])),
    confidence: Float32Array.from(poses.flatMap((pose) => [...pose.scores])), names: null,
    tracks: distinctNames(labels), frames: [0], notes: [], warnings: [],
  };
}

/** The names, with the place in the list appended to repeated ones. */
export function distinctNames(names) {
  const count = new Map();
  names.forEach((name) => count.set(name, (count.get(name) ?? 0) + 1));
  return names.map((name, place) => (count.get(name) === 1 ? name : `${name}_${place}`));
}

/** The diagonal of each pose's box; a twentieth of the field of view where a pose is a point. */
function setSizes(poses) {
  const diagonal = (values) => {
    const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
    values.forEach((value, at) => {
      if (!isFinite(value)) return;
      low[at & 1] = Math.min(low[at & 1], value);
      high[at & 1] = Math.max(high[at & 1], value);
    });
    return { low, high, size: Math.hypot(high[0] - low[0], high[1] - low[1]) };
  };
  const boxes = poses.map((pose) => diagonal(pose.points));
  const all = diagonal(boxes.flatMap(({ low, high }) => [...low, ...high])).size;
  poses.forEach((pose, index) => { pose.size = boxes[index].size > 0 ? boxes[index].size : Math.max(all / 20, 1); });
}

/** Gives poses without an id to tracks with one where that is safe: the file has one animal, or the track lacks one. */
function adopt(poses, usedFrames) {
  const owners = new Set(poses.map((pose) => pose.owner));
  if (!owners.has(-1) || owners.size === 1) return;
  if (owners.size === 2 && usedFrames === poses.length) {
    poses.forEach((pose) => { pose.owner = Math.max(...owners); });
    return;
  }
  // Forward first; then backward, for poses before their track begins: trackers give an id late.
  for (const groups of [byFrame(poses), byFrame(poses).reverse()]) {
    const live = new Map();
    for (const group of groups) {
      const now = group[0].frame, there = new Set(group.map((pose) => pose.owner).filter((owner) => owner >= 0));
      for (const pose of group) if (pose.owner >= 0) live.set(pose.owner, { now, points: pose.points });
      const loose = group.filter((pose) => pose.owner < 0);
      if (!loose.length) continue;
      forget(live, now);
      const settled = new Set();
      for (const [pose, track] of nearPairs(loose, live)) {
        // A pose whose nearest track has another one in this frame is left: it may be of any animal.
        if (!settled.has(pose) && !there.has(track)) {
          continueTrack(pose, track, live);
          there.add(track);
        }
        settled.add(pose);
      }
    }
  }
}

/** Joins poses to tracks numbered from `first`, frame by frame, the nearest pair first; the number of these tracks. */
function join(poses, first, alone) {
  if (alone) {
    poses.forEach((pose) => { pose.owner = first; });
    return 1;
  }
  const live = new Map();
  let count = 0;
  for (const group of byFrame(poses)) {
    const now = group[0].frame;
    forget(live, now);
    for (const [pose, track] of nearPairs(group, live)) {
      if (pose.owner < 0 && live.get(track).now < now) continueTrack(pose, track, live);
    }
    for (const pose of group) {
      if (pose.owner >= 0) continue;
      pose.owner = first + count++;
      live.set(pose.owner, { now, points: pose.points });
    }
  }
  return count;
}

function byFrame(poses) {
  const groups = new Map();
  for (const pose of [...poses].sort((a, b) => a.frame - b.frame)) {
    if (!groups.has(pose.frame)) groups.set(pose.frame, []);
    groups.get(pose.frame).push(pose);
  }
  return [...groups.values()];
}

function forget(live, now) {
  for (const [track, seen] of live) if (Math.abs(now - seen.now) > PATIENCE) live.delete(track);
}

/** A track goes on with a pose; the joints that the pose lacks stay where they were last seen. */
function continueTrack(pose, track, live) {
  const old = live.get(track).points;
  pose.owner = track;
  live.set(track, { now: pose.frame, points: pose.points.map((value, at) => (isFinite(value) ? value : old[at])) });
}

/** Pairs of a pose and a live track within reach, the nearest first. */
function nearPairs(poses, live) {
  const pairs = [];
  for (const pose of poses) for (const [track, { points }] of live) {
    let sum = 0, shared = 0;
    for (let at = 0; at < points.length; at += 2) {
      const distance = Math.hypot(pose.points[at] - points[at], pose.points[at + 1] - points[at + 1]);
      if (isFinite(distance)) [sum, shared] = [sum + distance, shared + 1];
    }
    const cost = shared ? sum / shared / pose.size : Infinity;
    if (cost <= REACH) pairs.push([pose, track, cost]);
  }
  return pairs.sort((a, b) => a[2] - b[2]);
}
