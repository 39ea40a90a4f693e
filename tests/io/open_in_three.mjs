// Opens a result's .bvh and .glb with the loaders of three.js, without a window, and compares what they show with the
// same result's table. No test needs it, since three.js is a package of npm:
//
//     npm install --prefix build/three three@0.170
//     olift lift walk.csv --skeleton coco_17 --world --rigid --mm-per-pixel 4 -o walk.npz
//     olift convert walk.npz -o walk.long.csv
//     olift convert walk.npz -o walk.bvh
//     olift convert walk.npz -o walk.glb
//     node tests/io/open_in_three.mjs build/three/node_modules/three walk.long.csv walk.bvh walk.glb
//
// The result has one track, is in the world's frame and in meters, and its bones are steady, because those of .bvh are.
// It prints how far joints are off, and fails where that is more than a thousandth of the animal's size.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [three, table, bvh, glb] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(path.resolve(three, file)));
const { AnimationMixer, Group, PropertyBinding, Vector3 } = await load("build/three.module.js");
const { BVHLoader } = await load("examples/jsm/loaders/BVHLoader.js");
const { GLTFLoader } = await load("examples/jsm/loaders/GLTFLoader.js");
globalThis.self = globalThis;

const MOST = 1e-3;
const CHECKED = 7;

/** Frames of the table, each a map from a joint's name to where it is with y up, and the seconds of each frame. */
function tableOf(file) {
  const [head, ...rows] = fs.readFileSync(file, "utf8").trim().split("\n").map((line) => line.split(","));
  const at = Object.fromEntries(head.map((name, column) => [name, column]));
  const frames = new Map();
  for (const row of rows) {
    const [x, y, z] = ["x", "y", "z"].map((axis) => (row[at[axis]] === "" ? NaN : Number(row[at[axis]])));
    if (!frames.has(row[at.frame])) frames.set(row[at.frame], { time: Number(row[at.time]), joints: new Map() });
    if (!Number.isNaN(x + y + z)) frames.get(row[at.frame]).joints.set(row[at.joint], new Vector3(x, z, -y));
  }
  return [...frames.values()];
}

/** The largest distance of a joint from its place, in shares of the size of the animal in its first frame. */
function off(root, clip, frames) {
  const nodes = new Map();
  root.traverse((node) => nodes.has(node.name) || nodes.set(node.name, node));
  const mixer = new AnimationMixer(root);
  mixer.clipAction(clip).play();
  const first = [...frames[0].joints.values()];
  const size = Math.max(...first.map((point) => point.distanceTo(first[0])));
  let worst = 0;
  for (let place = 0; place < CHECKED; place++) {
    // The last frame is left out: an animation begins anew there.
    const frame = frames[Math.floor((place * (frames.length - 2)) / (CHECKED - 1))];
    mixer.setTime(frame.time - frames[0].time);
    root.updateMatrixWorld(true);
    for (const [name, point] of frame.joints) {
      const node = nodes.get(PropertyBinding.sanitizeNodeName(name)) ?? nodes.get(name);
      if (node === undefined) throw new Error(`no node for the joint ${name}`);
      worst = Math.max(worst, new Vector3().setFromMatrixPosition(node.matrixWorld).distanceTo(point) / size);
    }
  }
  return worst;
}

const frames = tableOf(table);
const motion = new BVHLoader().parse(fs.readFileSync(bvh, "utf8"));
const scene = await new GLTFLoader().parseAsync(new Uint8Array(fs.readFileSync(glb)).buffer, "");
const found = {
  ".bvh": off(new Group().add(motion.skeleton.bones[0]), motion.clip, frames),
  ".glb": off(scene.scene, scene.animations[0], frames),
};
for (const [ending, share] of Object.entries(found)) console.log(`${ending}: joints are off by ${share.toExponential(1)}`);
process.exitCode = Object.values(found).every((share) => share < MOST) ? 0 : 1;
