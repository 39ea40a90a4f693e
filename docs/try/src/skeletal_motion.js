// Positions of joints as a motion of bones, as olift_fast/io/writers/skeletal_motion.py finds it: a rest pose, and how
// each joint is turned from it in each frame.

import { boneTree } from "./bone_tree.js";
import { aboutY, addOuter, applied, between, dot, makeProper, multiply, swing, turning } from "./rotations.js";
import { twinsOf } from "./sides.js";

/** The rest pose is found from so many frames at most, evenly spaced. */
const SAMPLES = 2000;
/** A mean of unit vectors that is shorter says nothing of their direction. */
const SURE = 0.3;
/** How much a body as a whole keeps its turn from frame to frame, beside 1 for its bones: it lags by a frame or two. */
const STEADY = 1;
/** The length of a bone whose joints are always in one place, in typical bones. */
const SHORTEST = 0.01;
const UP = [0, 1, 0];

/**
 * One animal's motion; T frames, J joints.
 *
 * `tree` has its bones; joints that the track never has are in no tree. `joints` has a Float64Array (T·3) for each joint:
 * its positions, with y up; frames without it are bridged by a straight line. `rest` (J·3) is the rest pose; the offset
 * from parent to child is the bone's direction and length. `rotations` has an array (T·9) for each joint: how it is
 * turned from the rest pose. `length` is a typical bone's.
 */
class SkeletalMotion {
  constructor(tree, joints, rest, rotations, length) {
    Object.assign(this, { tree, joints, rest, rotations, length });
  }

  /** [x, y, z] from a joint to another one at rest. */
  restOffset(joint, other) {
    return [0, 1, 2].map((axis) => this.rest[3 * other + axis] - this.rest[3 * joint + axis]);
  }

  /** (T·3) the way from a joint to another, in the first one's turned axes. */
  offsets(joint, other) {
    const a = this.joints[joint], b = this.joints[other], turns = this.rotations[joint], out = new Float64Array(a.length);
    for (let at = 0, turn = 0; at < out.length; at += 3, turn += 9) {
      const x = b[at] - a[at], y = b[at + 1] - a[at + 1], z = b[at + 2] - a[at + 2];
      for (let axis = 0; axis < 3; axis++) out[at + axis] = turns[turn + axis] * x + turns[turn + 3 + axis] * y + turns[turn + 6 + axis] * z;
    }
    return out;
  }

  /** (T·9) the smallest turn, in a joint's turned axes, that brings the bone to a child to where it is. */
  turned(joint, child) {
    const ways = this.offsets(joint, child), rest = unit(this.restOffset(joint, child)), out = new Float64Array(3 * ways.length);
    for (let at = 0; at < ways.length; at += 3) swing(rest, unit(ways.subarray(at, at + 3), rest), out, 3 * at);
    return out;
  }

  /** (T·9) how a joint is turned within its parent, or a root within the scene. */
  local(joint) {
    const parent = this.tree.parents.get(joint), own = this.rotations[joint];
    return parent === null ? own : between(this.rotations[parent], own);
  }
}

/** A vector at unit length; without length, another one. */
export function unit(vector, otherwise = UP) {
  const length = Math.hypot(vector[0], vector[1], vector[2]);
  return length > 0 ? [vector[0] / length, vector[1] / length, vector[2] / length] : otherwise;
}

/** Whether any of so many joints, from a place in the array on, is known. */
export function hasJoint(joints, from = 0, count = joints.length / 3) {
  for (let at = from; at < from + 3 * count; at += 3) {
    if (isFinite(joints[at]) && isFinite(joints[at + 1]) && isFinite(joints[at + 2])) return true;
  }
  return false;
}

/**
 * The motion of one track; along the tree, each joint turns its first bone onto where it is.
 *
 * A joint with one bone turns no more than it must, so it does not twist. One with several twists about the first as the
 * others say, but one rotation can't turn them all: `turned` tells how each is.
 *
 * The rest pose has each bone's median length. Its directions are means over time in the turning body's axes. It stands
 * as upright as the body does on average, and faces +z where the skeleton has left and right.
 *
 * `given` (T·J·3) are joints with y up; NaN where not known. At least one joint is known in one frame.
 */
export function skeletalMotion(given, skeleton) {
  const J = skeleton.names.length, { joints, known } = bridged(given, J);
  const tree = boneTree(skeleton, known.map((there) => there.includes(1)));
  const measured = tree.bones.map(([parent, joint]) => waysAlong(joints[parent], joints[joint], known[parent], known[joint]));
  const medians = measured.map(({ median }) => median), longer = medians.filter((length) => length > 0);
  const shortest = SHORTEST * (longer.length ? medianOf(longer) : 1);
  const lengths = medians.map((length) => Math.max(length, shortest)), directions = measured.map(({ directions }) => directions);
  const found = restDirections(directions, lengths, joints[tree.order[0]].length / 3);
  const turn = facing(found.rest, lengths, tree.bones, skeleton), ways = found.rest.map((way) => applied(turn, 0, way));
  const body = turnedBack(found.body, turn), rest = new Float64Array(3 * J);
  tree.bones.forEach(([parent, joint], bone) => {
    for (let axis = 0; axis < 3; axis++) rest[3 * joint + axis] = rest[3 * parent + axis] + ways[bone][axis] * lengths[bone];
  });
  const rotations = rotationsOf(tree, ways, directions, body);
  return new SkeletalMotion(tree, joints, rest, rotations, lengths.length ? medianOf(lengths) : 1);
}

/** For each joint its rotations (T·9), for bones that point to `rest` at rest. Joints may share one array. */
function rotationsOf(tree, rest, directions, body) {
  const rotations = [], place = new Map(tree.bones.map(([, joint], bone) => [joint, bone]));
  for (const joint of tree.order) {
    const above = tree.parents.get(joint), base = above === null ? body : rotations[above];
    const at = tree.children.get(joint).map((child) => place.get(child));
    if (at.length === 1) rotations[joint] = swung(base, rest[at[0]], directions[at[0]]);
    else rotations[joint] = at.length ? turning(at.map((bone) => rest[bone]), at.map((bone) => directions[bone]), base) : base;
  }
  return rotations;
}

/** (T·9) rotations, turned on as little as brings a direction to where it is. */
function swung(base, rest, directions) {
  const out = new Float64Array(base.length);
  for (let at = 0, from = 0; at < out.length; at += 9, from += 3) {
    swing(applied(base, at, rest), directions.subarray(from, from + 3), out, at);
    multiply(out, at, base, at, out, at);
  }
  return out;
}

/** { joints, known }: straight on between the frames that have a joint, and still before the first and after the last. */
function bridged(given, J) {
  const T = given.length / (3 * J), joints = [], known = [];
  for (let joint = 0; joint < J; joint++) {
    const own = new Float64Array(3 * T), there = new Uint8Array(T);
    for (let frame = 0; frame < T; frame++) {
      const from = 3 * (frame * J + joint);
      for (let axis = 0; axis < 3; axis++) own[3 * frame + axis] = given[from + axis];
      there[frame] = +(isFinite(given[from]) && isFinite(given[from + 1]) && isFinite(given[from + 2]));
    }
    bridge(own, there);
    joints.push(own);
    known.push(there);
  }
  return { joints, known };
}

/** Fills in the positions (T·3) of the frames that are not there, in place. */
function bridge(joint, there) {
  let before = -1, after = there.indexOf(1);
  if (after < 0) return;
  for (let frame = 0; frame < there.length; frame++) {
    if (there[frame]) {
      before = frame;
      after = there.indexOf(1, frame + 1);
      continue;
    }
    for (let axis = 0; axis < 3; axis++) {
      const last = joint[3 * before + axis], next = joint[3 * after + axis];
      if (before < 0 || after < 0) joint[3 * frame + axis] = before < 0 ? next : last;
      else joint[3 * frame + axis] = ((next - last) / (after - before)) * (frame - before) + last;
    }
  }
}

/**
 * { directions, median }: where a bone points, (T·3) of unit length, and its median length where both joints are known.
 *
 * A bone without length keeps the direction of the nearest frame before, or after.
 */
function waysAlong(parent, joint, hasParent, hasJoint) {
  const T = hasJoint.length, directions = new Float64Array(3 * T), lengths = new Float64Array(T);
  let seen = 0, before = -1;
  const known = new Float64Array(T);
  for (let frame = 0; frame < T; frame++) {
    const at = 3 * frame, x = joint[at] - parent[at], y = joint[at + 1] - parent[at + 1], z = joint[at + 2] - parent[at + 2];
    const length = lengths[frame] = Math.sqrt(x * x + y * y + z * z);
    if (hasParent[frame] && hasJoint[frame]) known[seen++] = length;
    if (length > 0) {
      directions.set([x / length, y / length, z / length], at);
      if (before < 0) for (let earlier = 0; earlier < at; earlier += 3) directions.copyWithin(earlier, at, at + 3);
      before = frame;
    } else if (before >= 0) {
      directions.copyWithin(at, 3 * before, 3 * before + 3);
    }
  }
  if (before < 0) for (let at = 0; at < directions.length; at += 3) directions.set(UP, at);
  return { directions, median: medianOf(seen ? known.subarray(0, seen) : lengths) };
}

function medianOf(values) {
  const ordered = Float64Array.from(values).sort(), half = ordered.length >> 1;
  return ordered.length % 2 ? ordered[half] : (ordered[half - 1] + ordered[half]) / 2;
}

/** { rest, body }: each bone's direction at rest, and (T·9) how the body as a whole is turned from there. */
function restDirections(directions, lengths, T) {
  const total = Math.max(lengths.reduce((sum, length) => sum + length, 0), 1e-300), weights = lengths.map((length) => length / total);
  const step = Math.ceil(T / SAMPLES), count = Math.ceil(T / step), bones = directions.length;
  let rest = directions.map((one) => [...one.subarray(0, 3)]);
  const first = rest, own = new Float64Array(3 * count * bones), means = Array.from({ length: bones }, () => [0, 0, 0]);
  for (let round = 0; round < 3; round++) {
    const turns = bodyTurns(directions, rest, weights, T, step);
    means.forEach((mean) => mean.fill(0));
    for (let sample = 0, to = 0; sample < count; sample++) for (let bone = 0; bone < bones; bone++, to += 3) {
      const one = directions[bone], at = 3 * step * sample, turn = 9 * sample;
      for (let axis = 0; axis < 3; axis++) {
        own[to + axis] = turns[turn + axis] * one[at] + turns[turn + 3 + axis] * one[at + 1] + turns[turn + 6 + axis] * one[at + 2];
        means[bone][axis] += own[to + axis] / count;
      }
    }
    rest = means.map((mean, bone) => sure(mean, first[bone]));
  }
  // A bone that points all ways is at rest as in the frame nearest to the mean.
  const near = 3 * bones * nearest(own, rest, weights, count);
  rest = means.map((mean, bone) => sure(mean, own.subarray(near + 3 * bone, near + 3 * bone + 3)));
  const turns = bodyTurns(directions, rest, weights, T, step), upward = [0, 0, 0], upright = new Float64Array(9);
  for (let sample = 0; sample < count; sample++) for (let axis = 0; axis < 3; axis++) upward[axis] += turns[9 * sample + 3 + axis] / count;
  if (Math.sqrt(dot(upward, upward)) > SURE) {
    swing(unit(upward), UP, upright, 0);
    rest = rest.map((way) => applied(upright, 0, way));
  }
  return { rest, body: bodyTurns(directions, rest, weights, T, 1) };
}

/** Which of the samples has its bones, of length `weights`, nearest to `rest`. */
function nearest(own, rest, weights, count) {
  let best = 0, least = Infinity;
  for (let sample = 0, at = 0; sample < count; sample++) {
    let sum = 0;
    for (let bone = 0; bone < rest.length; bone++) for (let axis = 0; axis < 3; axis++) {
      sum += weights[bone] * (own[at++] - rest[bone][axis]) ** 2;
    }
    if (sum < least) [best, least] = [sample, sum];
  }
  return best;
}

/**
 * (9 for each of the frames 0, step, …) the rotations that turn all bones best from rest, each near the one before.
 *
 * A body in nearly one line would else roll over whenever it bends to the other side.
 */
function bodyTurns(directions, rest, weights, T, step) {
  const count = Math.ceil(T / step), turns = new Float64Array(9 * count);
  for (let sample = 0, at = 0; sample < count; sample++, at += 9) {
    for (let bone = 0; bone < rest.length; bone++) addOuter(turns, at, directions[bone], 3 * step * sample, rest[bone], weights[bone]);
    for (let k = 0; k < 9; k++) turns[at + k] += sample ? STEADY * turns[at - 9 + k] : 1e-9 * +(k % 4 === 0);
    makeProper(turns, at);
  }
  return turns;
}

/** (T·9) rotations from a pose that is turned itself. */
function turnedBack(rotations, turn) {
  const back = Float64Array.from(turn, (_, k) => turn[3 * (k % 3) + Math.floor(k / 3)]);
  for (let at = 0; at < rotations.length; at += 9) multiply(rotations, at, back, 0, rotations, at);
  return rotations;
}

/** A vector at unit length; one that is too short for a direction as in `otherwise`. */
function sure(vector, otherwise) {
  return Math.sqrt(dot(vector, vector)) > SURE ? unit(vector) : [...otherwise];
}

/** The turn about y by which the rest pose has its left at +x, and so faces +z. */
function facing(rest, lengths, bones, skeleton) {
  const places = skeleton.names.map(() => null), across = [0, 0, 0];
  bones.forEach(([parent, joint], bone) => {
    places[parent] ??= [0, 0, 0];
    places[joint] = places[parent].map((value, axis) => value + rest[bone][axis] * lengths[bone]);
  });
  twinsOf(skeleton.names).forEach(([twin], joint) => {
    if (skeleton.sides[joint] !== 1 || !places[joint] || !places[twin]) return;
    for (let axis = 0; axis < 3; axis++) across[axis] += places[joint][axis] - places[twin][axis];
  });
  return aboutY(Math.hypot(across[0], across[2]) === 0 ? 0 : Math.atan2(across[2], across[0]));
}
