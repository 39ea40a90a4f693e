// A result as an animation in glTF 2.0, as olift_fast/io/writers/gltf.py writes it: nodes that move and turn, for Blender,
// three.js and viewers of systems.

import { unitsInMeter, yUp } from "./axes.js";
import { InputError } from "./errors.js";
import { ball, colorOf, stick } from "./gltf_shapes.js";
import { provenance } from "./provenance.js";
import { quaternions, swing } from "./rotations.js";
import { hasJoint, skeletalMotion, unit } from "./skeletal_motion.js";
import { frameNumbers } from "./timing.js";

const FLOAT = 5126, SHORT = 5123;
const TYPES = { 1: "SCALAR", 3: "VEC3", 4: "VEC4" };
/** The radius of a joint and of a bone in typical bones. */
const BALL = 0.12, STICK = 0.06;
const UP = [0, 1, 0];

/**
 * A Blob of one binary file (GLB) with all tracks of a result that has `fps`.
 *
 * Throws an InputError where no joint is known in any frame, and for over 4 GiB.
 */
export function glbOf(result) {
  const scene = new Scene(result), bytes = new TextEncoder().encode(JSON.stringify(scene.content()));
  const text = new Uint8Array(4 * Math.ceil(bytes.length / 4)).fill(32), total = 12 + 8 + text.length + 8 + scene.size;
  text.set(bytes);
  if (total >= 2 ** 32) throw new InputError(`GLB holds 4 GiB at most, got ${(total / 2 ** 30).toFixed(1)} GiB`);
  const [glTF, JSON_, BIN] = [0x46546c67, 0x4e4f534a, 0x004e4942];
  const head = Uint32Array.of(glTF, 2, total, text.length, JSON_), middle = Uint32Array.of(scene.size, BIN);
  return new Blob([head, text, middle, ...scene.data], { type: "model/gltf-binary" });
}

/**
 * The nodes of a file: one that scales to meters, in it one for each track, in that the joints along the bones.
 *
 * Joints are where the result has them, in pixels, at all frames that know them. They turn as `skeletalMotion` finds it.
 * A joint has a ball as its mesh, and each bone is a stick below the joint where it begins. One meter is one unit of the
 * model.
 */
class Scene {
  constructor(result) {
    Object.assign(this, { result, size: 0, data: [], views: [], accessors: [], materials: [], meshes: [], samplers: [], channels: [] });
    this.nodes = [{ name: "olift-fast", scale: Array(3).fill(1 / unitsInMeter(result.scale)), children: [] }];
    const numbers = frameNumbers(result);
    this.times = this.numbers(Float32Array.from(numbers, (number) => (number - numbers[0]) / result.fps), 1);
    for (let track = 0; track < result.N; track++) {
      const joints = yUp(result, track);
      if (hasJoint(joints)) this.addTrack(track, skeletalMotion(joints, result.skeleton));
    }
    if (!this.nodes[0].children.length) throw new InputError("glTF needs a joint in at least one frame, got none");
  }

  /** The JSON of the file. */
  content() {
    return {
      asset: { version: "2.0", generator: "olift-fast", extras: provenance(this.result) },
      scene: 0, scenes: [{ name: "lifted", nodes: [0] }], nodes: this.nodes, meshes: this.meshes, materials: this.materials,
      animations: [{ name: "lifted", samplers: this.samplers, channels: this.channels }],
      accessors: this.accessors, bufferViews: this.views, buffers: [{ byteLength: this.size }],
    };
  }

  addTrack(track, motion) {
    const { skeleton, tracks } = this.result, { tree } = motion, shapes = new Map();
    for (const side of [-1, 0, 1]) shapes.set(side, this.shapes(track, side, motion.length));
    const top = this.nodes.push({ name: tracks[track], children: [] }) - 1, places = new Map();
    this.nodes[0].children.push(top);
    for (const joint of tree.order) {
      const parent = tree.parents.get(joint), own = motion.joints[joint];
      const way = parent === null ? own : motion.offsets(parent, joint);
      const rest = parent === null ? [...own.subarray(0, 3)] : motion.restOffset(parent, joint);
      const node = this.addNode({ name: skeleton.names[joint], mesh: shapes.get(skeleton.sides[joint]).ball, translation: rest });
      places.set(joint, node);
      this.putBelow(parent === null ? top : places.get(parent), node);
      this.animate(node, "translation", Float32Array.from(way));
      this.animate(node, "rotation", quaternions(motion.local(joint)));
    }
    for (const [a, b] of skeleton.edges) if (places.has(a) && places.has(b)) {
      const side = Math.sign(skeleton.sides[a] + skeleton.sides[b]), name = `${skeleton.names[a]} to ${skeleton.names[b]}`;
      this.addBone(places.get(a), name, shapes.get(side).stick, motion, a, b);
    }
  }

  /** A stick from joint a to joint b, stretched and turned below the first one's node. */
  addBone(at, name, mesh, motion, a, b) {
    // Before the motion the way at rest, where viewers that play no animation show the joints.
    const T = motion.joints[a].length / 3;
    const all = new Float64Array(3 * (T + 1)), scale = new Float32Array(3 * (T + 1)).fill(1), turns = new Float64Array(9 * (T + 1));
    all.set(motion.restOffset(a, b));
    all.set(motion.offsets(a, b), 3);
    for (let from = 0; from < all.length; from += 3) {
      const way = all.subarray(from, from + 3);
      scale[from + 1] = Math.max(Math.hypot(way[0], way[1], way[2]), 1e-6 * motion.length);
      swing(UP, unit(way), turns, 3 * from);
    }
    const rotation = quaternions(turns);
    const node = this.addNode({ name, mesh, rotation: [...rotation.subarray(0, 4)], scale: [...scale.subarray(0, 3)] });
    this.putBelow(at, node);
    this.animate(node, "rotation", rotation.slice(4));
    this.animate(node, "scale", scale.slice(3));
  }

  addNode(node) {
    return this.nodes.push(node) - 1;
  }

  putBelow(parent, node) {
    (this.nodes[parent].children ??= []).push(node);
  }

  animate(node, path, values) {
    const output = this.numbers(values, path === "rotation" ? 4 : 3);
    this.channels.push({ sampler: this.samplers.push({ input: this.times, output }) - 1, target: { node, path } });
  }

  /** The meshes of a joint and of a bone. */
  shapes(track, side, length) {
    const pbr = { baseColorFactor: colorOf(track, side), metallicFactor: 0, roughnessFactor: 0.8 };
    const name = `${this.result.tracks[track]} ${["right", "middle", "left"][side + 1]}`;
    const material = this.materials.push({ name, pbrMetallicRoughness: pbr, doubleSided: true }) - 1;
    const add = ([corners, normals, faces]) => {
      const attributes = { POSITION: this.numbers(corners, 3), NORMAL: this.numbers(normals, 3) };
      return this.meshes.push({ primitives: [{ attributes, indices: this.numbers(faces, 1), material }] }) - 1;
    };
    return { ball: add(ball(BALL * length)), stick: add(stick(STICK * length)) };
  }

  /** Appends an array of vectors of a width to the buffer; its accessor. */
  numbers(values, width) {
    const isFloat = values instanceof Float32Array, padding = (4 - (values.byteLength % 4)) % 4;
    this.views.push({ buffer: 0, byteOffset: this.size, byteLength: values.byteLength });
    this.data.push(values);
    if (padding) this.data.push(new Uint8Array(padding));
    this.size += values.byteLength + padding;
    const accessor = {
      bufferView: this.views.length - 1, componentType: isFloat ? FLOAT : SHORT, count: values.length / width, type: TYPES[width],
    };
    return this.accessors.push(isFloat ? { ...accessor, ...bounds(values, width) } : accessor) - 1;
  }
}

/** { min, max } of each coordinate. */
function bounds(values, width) {
  const min = Array(width).fill(Infinity), max = Array(width).fill(-Infinity);
  for (let at = 0; at < values.length; at++) {
    const axis = at % width;
    if (values[at] < min[axis]) min[axis] = values[at];
    if (values[at] > max[axis]) max[axis] = values[at];
  }
  return { min, max };
}
