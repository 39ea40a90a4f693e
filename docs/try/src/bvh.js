// A result as BVH, as olift_fast/io/writers/bvh.py writes it: a skeleton at rest and the rotations of its joints, for
// Blender, Maya, Unreal and MotionBuilder.

import { unitsInMeter, yUp } from "./axes.js";
import { InputError, shown } from "./errors.js";
import { between, eulerZxy } from "./rotations.js";
import { hasJoint, skeletalMotion } from "./skeletal_motion.js";
import { spread, timeline } from "./timing.js";
import { withTrunk } from "./trunk.js";

const PLACE = ["Xposition", "Yposition", "Zposition"];
const TURN = ["Zrotation", "Xrotation", "Yrotation"];
/** The end of a limb goes on beyond its last joint by this share of the bone, so that the joint is one with a direction. */
const END = 0.25;
/** Lines of text that are joined before they go to the file. */
const LINES = 1000;

/**
 * A Blob of the motion of a result of one track that has `fps` and bones, with y up, in units of the model.
 *
 * Each bone has one length, and the direction that it has in the result. Where bones fork, the bone with the most joints
 * behind it belongs to the joint itself, and each other one to an added joint in the same place, "neck_to_shoulder". The
 * trunk of a body whose hips are joined by an edge gets a middle (`withTrunk`). A skeleton in several pieces hangs from an
 * added joint "scene", and each piece has a place of its own.
 *
 * Throws an InputError where the track has no joint in any frame, or frames are too far apart.
 */
export function bvhOf(result) {
  const times = timeline(result), known = spread(yUp(result, 0, unitsInMeter(result.scale)), 3 * result.J, times);
  if (!hasJoint(known)) throw new InputError(`BVH needs a joint in at least one frame, track ${shown(result.tracks[0])} has none`);
  const { skeleton, joints } = withTrunk(result.skeleton, known), motion = skeletalMotion(joints, skeleton);
  const lines = ["HIERARCHY", ...hierarchy(motion, plainNames(skeleton.names))];
  lines.push("MOTION", `Frames: ${times.length}`, `Frame Time: ${digits(1 / times.rate)}`);
  return new Blob([`${lines.join("\n")}\n`, ...frames(motion, times.length)], { type: "text/plain" });
}

/**
 * The joints of the file { joint, bone, depth }, each followed by all below it: one of the skeleton's (`bone` is null), or
 * an added one, from which the bone to `bone` begins.
 */
function* walk({ tree }) {
  const depth = +(tree.roots.length > 1), waiting = [...tree.roots].reverse().map((joint) => ({ joint, bone: null, depth }));
  while (waiting.length) {
    const here = waiting.pop(), below = { bone: null, depth: here.depth + 1 };
    yield here;
    if (here.bone !== null) {
      waiting.push({ joint: here.bone, ...below });
      continue;
    }
    const [first, ...others] = tree.children.get(here.joint);
    for (const child of others.reverse()) waiting.push({ ...below, joint: here.joint, bone: child });
    if (first !== undefined) waiting.push({ joint: first, ...below });
  }
}

/** The lines of the joints at rest. */
function* hierarchy(motion, names) {
  const taken = new Set(names), closed = function* (from, to) {
    for (let level = from - 1; level >= to; level--) yield `${"\t".repeat(level)}}`;
  };
  let depth = 0;
  if (motion.tree.roots.length > 1) {
    yield* [`ROOT ${free("scene", taken)}`, "{", "\tOFFSET 0 0 0", `\t${channels([...PLACE, ...TURN])}`];
    depth = 1;
  }
  for (const here of walk(motion)) {
    yield* closed(depth, here.depth);
    depth = here.depth + 1;
    let name = names[here.joint];
    if (here.bone !== null) {
      name = free(`${name}_to_${names[here.bone]}`, taken);
      taken.add(name);
    }
    for (const line of opened(motion, here, name)) yield "\t".repeat(here.depth) + line;
  }
  yield* closed(depth, 0);
}

/** The lines of a joint up to those of its children, or its end. */
function opened(motion, { joint, bone, depth }, name) {
  const parent = motion.tree.parents.get(joint), isRoot = parent === null;
  let offset = [0, 0, 0];
  // A root of several is at rest where it is on average; the only one is at the origin.
  if (bone === null) offset = isRoot ? meanOf(motion.joints[joint]) : motion.restOffset(parent, joint);
  const lines = [
    `${depth ? "JOINT" : "ROOT"} ${name}`, "{", `\tOFFSET ${numbers(depth ? offset : [0, 0, 0])}`,
    `\t${channels(isRoot && bone === null ? [...PLACE, ...TURN] : TURN)}`,
  ];
  if (bone === null && !motion.tree.children.get(joint).length) {
    const end = isRoot ? [0, motion.length, 0] : offset;
    lines.push("\tEnd Site", "\t{", `\t\tOFFSET ${numbers(end.map((value) => END * value))}`, "\t}");
  }
  return lines;
}

/** The lines of the frames, in the order of the joints' lines; many lines a piece. */
function* frames(motion, length) {
  const columns = [], added = new Map(), before = motion.tree.roots.length > 1 ? "0 0 0 0 0 0 " : "";
  for (const { joint, bone } of walk(motion)) {
    if (bone !== null) {
      added.set(bone, motion.turned(joint, bone));
      columns.push(eulerZxy(added.get(bone)));
      continue;
    }
    if (motion.tree.parents.get(joint) === null) columns.push(motion.joints[joint]);
    const turn = motion.local(joint);
    columns.push(eulerZxy(added.has(joint) ? between(added.get(joint), turn) : turn));
    added.delete(joint);
  }
  for (let start = 0; start < length; start += LINES) {
    let text = "";
    for (let at = 3 * start; at < 3 * Math.min(start + LINES, length); at += 3) {
      const line = columns.map((values) => `${digits(values[at])} ${digits(values[at + 1])} ${digits(values[at + 2])}`);
      text += `${before}${line.join(" ")}\n`;
    }
    yield text;
  }
}

function meanOf(values) {
  const sum = [0, 0, 0];
  for (let at = 0; at < values.length; at++) sum[at % 3] += values[at];
  return sum.map((value) => value / (values.length / 3));
}

const channels = (names) => `CHANNELS ${names.length} ${names.join(" ")}`;
const numbers = (values) => values.map(digits).join(" ");

/** Nine significant digits. */
function digits(value) {
  return String(Number(value.toPrecision(9)));
}

/** Names without blanks and braces, which end a name in BVH; all different. */
function plainNames(names) {
  const taken = new Set();
  return names.map((name) => {
    const plain = free(name.replace(/[\s\x1c-\x1f\x85{}]+/g, "_") || "joint", taken);
    taken.add(plain);
    return plain;
  });
}

/** The name, with a number where it is taken. */
function free(name, taken) {
  let found = name;
  for (let number = 2; taken.has(found); number++) found = `${name}_${number}`;
  return found;
}
