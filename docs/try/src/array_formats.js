// Keypoints in arrays: our own .npz, a bare .npy, SLEAP's analysis files.

import { distinctNames } from "./detections.js";
import { InputError, shapeText } from "./errors.js";
import { readNpy } from "./numpy.js";
import { unzip } from "./zip.js";

const KEYS = ["keypoints", "confidence", "names", "edges", "tracks", "fps", "frames", "image_size"];

/** What a reader returns, of the bytes of an .npz with our own keys. */
export async function readNpz(bytes) {
  const members = unzip(bytes), there = [...members.keys()].map((name) => name.replace(/\.npy$/, ""));
  if (there.includes("joints") && there.includes("keypoints")) throw new InputError("is a lifted result: olift view shows it; wanted 2D keypoints");
  if (!there.includes("keypoints")) {
    throw new InputError(`wanted an array 'keypoints' (tracks, frames, joints, 2), got ${there.slice(0, 6).join(", ") || "nothing"}`);
  }
  const content = {};
  for (const key of KEYS) if (members.has(`${key}.npy`)) content[key] = readNpy(await members.get(`${key}.npy`)());
  for (const key of ["confidence", "edges", "fps", "frames", "image_size"]) {
    if (content[key]?.kind === "U") throw new InputError(`${key} must be numbers, got text`);
  }
  const { names, edges, tracks, fps, frames, image_size: size } = content;
  const parsed = ofArray(content.keypoints, content.confidence);
  const { N, T, J } = parsed;
  const wanted = [
    ["tracks", `${N} names`, N], ["names", `${J} names`, J], ["frames", `${T} whole numbers`, T], ["image_size", "width and height", 2],
  ];
  for (const [key, what, count] of wanted) {
    const shape = content[key]?.shape;
    if (shape && (shape.length !== 1 || shape[0] !== count)) throw new InputError(`${key} must be ${what}, got shape ${shapeText(shape)}`);
  }
  if (fps && fps.values.length !== 1) throw new InputError(`fps must be one number, got shape ${shapeText(fps.shape)}`);
  if (edges?.values.length && (edges.shape.length !== 2 || edges.shape[1] !== 2)) {
    throw new InputError(`edges must be pairs of joints, (E, 2), got shape ${shapeText(edges.shape)}`);
  }
  const odd = frames?.values.find((number) => !Number.isInteger(number) || Math.abs(number) >= 2 ** 63);
  if (odd !== undefined) throw new InputError(`frames must be ${T} whole numbers below 2^63, got ${odd}`);
  const rate = fps && !Number.isNaN(fps.values[0]) ? fps.values[0] : null;
  if (rate !== null && !(rate > 0 && rate < Infinity)) throw new InputError(`fps must be a positive number, got ${rate}`);
  if (size && !size.values.every(isFinite)) throw new InputError(`image_size must be width and height, got ${[...size.values].join(" and ")}`);
  const sides = size ? Array.from(size.values, Math.trunc) : [];
  const pairs = edges ? Array.from({ length: edges.values.length / 2 }, (_, edge) => [...edges.values.slice(2 * edge, 2 * edge + 2)]) : [];
  return {
    ...parsed, format: "npz", names: names ? Array.from(names.values, String) : null, edges: pairs,
    tracks: tracks ? Array.from(tracks.values, String) : parsed.tracks, fps: rate,
    frames: frames ? [...frames.values] : null, imageSize: sides.length && Math.min(...sides) > 0 ? sides : null,
  };
}

/** What a reader returns, of a bare array (T, J, 2|3) or (N, T, J, 2|3). */
export function readBareArray(bytes) {
  return { ...ofArray(readNpy(bytes)), format: "npy" };
}

/** Tracks of an array (T, J, 2|3) or (N, T, J, 2|3), the third value being the confidence. */
function ofArray({ shape: given, values, kind }, confidence) {
  const shape = given.length === 3 ? [1, ...given] : given;
  if (shape.length !== 4 || ![2, 3].includes(shape[3]) || !["f", "i"].includes(kind)) {
    throw new InputError(`keypoints must be numbers ([tracks,] frames, joints, 2 or 3), got ${shapeText(given)}`);
  }
  const [N, T, J, size] = shape;
  let scores = confidence?.values ?? null;
  if (size === 3) {
    scores = values.filter((_, at) => at % 3 === 2);
    const known = scores.filter(isFinite);
    if (known.length && (known.some((value) => value < -0.01) || known.some((value) => value > 2))) {
      throw new InputError("the third value must be a confidence in [0, 1]; are these 3D points? Needs 2D (x, y)");
    }
  }
  const scored = size === 3 || !confidence ? [N, T, J] : confidence.shape.length === 2 ? [1, ...confidence.shape] : confidence.shape;
  if (scored.join() !== [N, T, J].join()) throw new InputError(`confidence must be (${N}, ${T}, ${J}), got ${shapeText(scored)}`);
  const keypoints = size === 3 ? values.filter((_, at) => at % 3 !== 2) : values;
  return { N, T, J, keypoints, confidence: scores, names: null, tracks: Array.from({ length: N }, (_, track) => `track_${track}`), notes: [] };
}

/**
 * What a reader returns, of the bytes of a SLEAP analysis file; `hdf5` is the module h5wasm, ready.
 */
export function readSleap(bytes, hdf5) {
  const name = "input.h5", { FS } = hdf5;
  FS.writeFile(name, bytes);
  let file = null;
  try {
    file = new hdf5.File(name, "r");
    if (file.file_id < 0) throw new InputError("not a readable HDF5 file (cut short?)");
    return readAnalysis(file);
  } catch (error) {
    throw error instanceof InputError ? error : new InputError(`not a readable HDF5 file (cut short?): ${error.message ?? error}`);
  } finally {
    if (file && file.file_id >= 0) file.close();
    FS.unlink(name);
  }
}

function readAnalysis(file) {
  const keys = file.keys();
  if (!keys.includes("tracks") || !keys.includes("node_names")) {
    const what = `an HDF5 file with ${keys.slice(0, 6).join(", ") || "nothing"}`;
    throw new InputError(`${what}; this page reads SLEAP's analysis files, with tracks and node_names, and olift lift more`);
  }
  const tracks = ordered(file, "tracks", ["track", "xy", "node", "frame"], ["track", "frame", "node", "xy"]);
  const [N, T, J, size] = tracks.shape;
  if (size === 3) throw new InputError("holds 3D points (x, y, z), needs 2D (x, y)");
  if (size !== 2) throw new InputError(`'tracks' must be (tracks, 2, nodes, frames), got ${file.get("tracks").shape.join(", ")}`);
  const scores = keys.includes("point_scores") ? ordered(file, "point_scores", ["track", "node", "frame"], ["track", "frame", "node"]) : null;
  if (scores && scores.values.length !== N * T * J) throw new InputError("'point_scores' does not fit 'tracks'");
  const texts = (key) => (keys.includes(key) ? [...(file.get(key).value ?? [])].map(String) : []);
  const given = distinctNames(texts("track_names")), edges = keys.includes("edge_inds") ? file.get("edge_inds") : null;
  return {
    format: "sleap-analysis", N, T, J, keypoints: tracks.values, confidence: scores?.values ?? null, names: texts("node_names"),
    edges: edges ? pairsOf(edges) : [], zeroIsHidden: true,
    tracks: given.length === N ? given : Array.from({ length: N }, (_, track) => `track_${track}`),
  };
}

function pairsOf({ shape, value }) {
  const values = Array.from(value ?? [], Number);
  if (shape.length === 2 && shape[0] === 2 && shape[1] !== 2) return Array.from({ length: shape[1] }, (_, edge) => [values[edge], values[shape[1] + edge]]);
  return Array.from({ length: values.length / 2 }, (_, edge) => values.slice(2 * edge, 2 * edge + 2));
}

/** An array with its dimensions in the order `wanted`; `usual` is their order where the file does not name them. */
function ordered(file, name, usual, wanted) {
  const dataset = file.get(name), named = dataset.attrs.dims?.value, shape = dataset.shape;
  const dims = named === undefined ? usual : JSON.parse(Array.isArray(named) ? named[0] : named);
  if ([...dims].sort().join() !== [...wanted].sort().join() || shape.length !== wanted.length) {
    throw new InputError(`'${name}' must have dimensions ${usual.join(", ")}, got shape ${shape.join(", ")}`);
  }
  const order = wanted.map((dimension) => dims.indexOf(dimension)), given = dataset.value;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, side) => product * side, 1));
  const sides = order.map((axis) => shape[axis]), steps = order.map((axis) => strides[axis]);
  const values = new Float32Array(given.length), place = sides.map(() => 0);
  for (let to = 0, from = 0; to < values.length; to++) {
    values[to] = Number(given[from]);
    for (let axis = sides.length - 1; axis >= 0; axis--) {
      from += steps[axis];
      if (++place[axis] < sides[axis]) break;
      from -= steps[axis] * sides[axis];
      place[axis] = 0;
    }
  }
  return { shape: sides, values };
}
