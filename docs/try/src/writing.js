// Results as files: the .npz that `read_lifted` reads, DeepLabCut's table with x, y, z, and which animations there can be.

import { writeNpy } from "./numpy.js";
import { takeTrack } from "./taking.js";
import { timeline } from "./timing.js";
import { zip } from "./zip.js";

/** A Blob of the archive that olift_fast/io/writers/npz.py writes. */
export function npzOf(result) {
  const { N, T, J, skeleton } = result, E = skeleton.edges.length;
  const text = (value) => writeNpy(value, []), list = (values) => writeNpy(values, [values.length]);
  const whole = (values) => BigInt64Array.from(values, BigInt);
  const arrays = {
    joints: writeNpy(result.joints, [N, T, J, 3]), keypoints: writeNpy(result.keypoints, [N, T, J, 2]),
    confidence: writeNpy(result.confidence, [N, T, J]), visible: writeNpy(result.visible, [N, T, J]),
    scale: writeNpy(result.scale, [N]), centers: writeNpy(result.centers, [N, T, 2]),
    rotation: writeNpy(result.rotation, [N, 3, 3]),
    frame: text("camera"), model: text(result.model), version: text(result.version),
    content: text("olift_fast.lifted"), content_version: writeNpy(whole([1]), []),
    names: list(skeleton.names), edges: writeNpy(whole(skeleton.edges.flat()), [E, 2]),
    sides: writeNpy(Int8Array.from(skeleton.sides), [J]), tracks: list(result.tracks),
    source: text(result.source), format: text(result.format),
  };
  if (skeleton.inferred) arrays.inferred = writeNpy(new Uint8Array(E).fill(1), [E]);
  if (skeleton.name) arrays.skeleton_name = text(skeleton.name);
  if (result.fps) arrays.fps = writeNpy(Float64Array.of(result.fps), []);
  if (result.frames) arrays.frames = writeNpy(whole(result.frames), [T]);
  if (result.imageSize) arrays.image_size = writeNpy(whole(result.imageSize), [2]);
  if (result.notes.length) arrays.notes = list(result.notes);
  if (result.warnings.length) arrays.warnings = list(result.warnings);
  return zip(Object.entries(arrays).map(([name, bytes]) => [`${name}.npy`, bytes]));
}

/** A Blob of the table that olift_fast/io/writers/csv_tables.py writes: x, y, z of each joint, a row for each frame. */
export function csvOf(result) {
  const { N, T, J, joints, tracks } = result, names = result.skeleton.names;
  const quoted = (cell) => (/[,"\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const each = (value) => tracks.flatMap((track) => names.flatMap((name) => ["x", "y", "z"].map((axis) => value(track, name, axis))));
  const rows = [["scorer", ...each(() => `olift-fast ${result.model} ${result.version}`)]];
  if (N > 1) rows.push(["individuals", ...each((track) => track)]);
  rows.push(["bodyparts", ...each((_, name) => name)], ["coords", ...each((_, __, axis) => axis)]);
  const lines = rows.map((row) => row.map(quoted).join(","));
  for (let frame = 0; frame < T; frame++) {
    const cells = [String(result.frames ? result.frames[frame] : frame)];
    for (let track = 0; track < N; track++) {
      const from = (track * T + frame) * J * 3;
      // Nine significant digits restore a float32 exactly.
      for (const value of joints.subarray(from, from + 3 * J)) cells.push(isNaN(value) ? "" : String(Number(value.toPrecision(9))));
    }
    lines.push(cells.join(","));
  }
  return new Blob([lines.join("\n"), "\n"], { type: "text/csv" });
}

/**
 * { kinds, lacks }: which of "bvh", of one track, and "glb" a result can be written as, and in a line each why not, as
 * olift_fast/io/write.py asks it of them.
 */
export function animationsOf(result, track = 0) {
  const lacks = [];
  if (!takeTrack(result, track).skeleton.edges.length) {
    lacks.push("BVH needs the bones between the joints, which neither the file nor the names tell.");
  }
  if (!(result.fps > 0)) return { kinds: [], lacks: ["BVH and GLB need the frames a second.", ...lacks] };
  try {
    timeline(result);
  } catch (error) {
    lacks.push(`BVH ${error.message}.`);
  }
  return { kinds: lacks.length ? ["glb"] : ["bvh", "glb"], lacks };
}
