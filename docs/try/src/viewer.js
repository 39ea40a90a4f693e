// The viewer page of `olift view`, with a result packed into it as olift_fast/view/packing.py packs it.

import { tables } from "./tables.js";

const MOST_FRAMES = 600;

/** The viewer page as text; `template` is viewer.html. It needs no network, and can be kept. */
export async function viewerPage(template, result) {
  const stride = Math.ceil(result.T / MOST_FRAMES) || 1, { info, bytes } = pack(result, stride);
  const parts = {
    title: escaped(info.title), video: "", blob: await packed(bytes),
    info: JSON.stringify(info).replaceAll("<", "\\u003c"),
  };
  return template.replace(/\{\{(title|info|blob|video)\}\}/g, (_, name) => parts[name]);
}

const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

async function packed(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  const zipped = new Uint8Array(await new Response(stream).arrayBuffer());
  let text = "";
  for (let at = 0; at < zipped.length; at += 0x8000) text += String.fromCharCode(...zipped.subarray(at, at + 0x8000));
  return btoa(text);
}

/** { info, bytes }: facts for the page's script, and the drawn frames' numbers, frames first. */
export function pack(result, stride) {
  const { N, T, J, skeleton, tracks } = result, F = Math.ceil(T / stride);
  const framesFirst = (values, size) => {
    const out = new Float64Array(F * N * J * size);
    for (let f = 0, to = 0; f < F; f++) for (let n = 0; n < N; n++) {
      const from = (n * T + f * stride) * J * size;
      for (let k = 0; k < J * size; k++) out[to++] = values[from + k];
    }
    return out;
  };
  const joints = framesFirst(result.joints, 3), keypoints = framesFirst(result.keypoints, 2);
  const confidence = framesFirst(result.confidence, 1), visible = framesFirst(result.visible, 1);
  // Only visible keypoints set the panels' size, or one stray detection would shrink the animal to a dot.
  const seen = keypoints.map((value, at) => (visible[at >> 1] ? value : NaN));
  const [jointCodes, keypointCodes] = [quantize(joints), quantize(keypoints)];
  const ofTrack = (values, size, n) => values.filter((_, at) => Math.floor(at / (J * size)) % N === n);
  const reaches = (values, size) => [
    reach(values, N * J, size), ...tracks.map((_, n) => reach(ofTrack(values, size, n), J, size)),
  ];
  const numbers = Int32Array.from({ length: F }, (_, f) => (result.frames ? result.frames[f * stride] : f * stride));
  const shades = (theme) => tracks.map((_, n) => tables.colors[theme][n % tables.colors[theme].length]);
  const info = {
    frames: F, total: T, stride, fps: result.fps, rate: result.fps && result.fps / frameStep(result.frames),
    tracks, joints: skeleton.names,
    edges: skeleton.edges.map(([a, b]) => [a, b, Math.sign(skeleton.sides[a] + skeleton.sides[b]), +skeleton.inferred]),
    sides: skeleton.sides, colors: { light: shades("light"), dark: shades("dark") },
    imageSize: result.imageSize, missing: tables.missing,
    joint: { offset: jointCodes.offset, step: jointCodes.step, range: ranges(joints, 3) },
    keypoint: { offset: keypointCodes.offset, step: keypointCodes.step, range: ranges(seen, 2) },
    reach: reaches(joints, 3), reach2D: reaches(seen, 2), floor: null, pitch: null,
    title: result.source, model: `${result.model} ${result.version}`, skeleton: skeleton.name, frame: "camera",
    axes: "x right, y down, z away from the camera", units: "pixels", camera: null, video: null,
  };
  const levels = Uint8Array.from(confidence, (value) => Math.round(Math.min(Math.max(value || 0, 0), 1) * 250));
  const parts = [numbers, jointCodes.codes, keypointCodes.codes, levels, Uint8Array.from(visible)];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  return { info, bytes };
}

/** Frames of the video from one frame of the tracks to the next: the most frequent number. */
function frameStep(frames) {
  if (!frames || frames.length < 2) return 1;
  const counts = new Map();
  for (let f = 1; f < frames.length; f++) counts.set(frames[f] - frames[f - 1], (counts.get(frames[f] - frames[f - 1]) ?? 0) + 1);
  return [...counts].sort(([a, m], [b, n]) => n - m || a - b)[0][0];
}

/** Codes with values = offset + step × code; what is not finite becomes `tables.missing`. */
function quantize(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low > high) return { codes: new Int16Array(values.length).fill(tables.missing), offset: 0, step: 1 };
  const offset = (low + high) / 2, step = Math.max((high - low) / 65000, 1e-9);
  const codes = Int16Array.from(values, (value) => (isFinite(value) ? Math.round((value - offset) / step) : tables.missing));
  return { codes, offset, step };
}

/** Drawn range of each coordinate, and a margin: of all points but those that are far beyond 99.6 % of them. */
function ranges(points, size) {
  const columns = Array.from({ length: size }, () => []);
  for (let at = 0; at < points.length; at += size) {
    const point = points.subarray(at, at + size);
    if (point.every(isFinite)) columns.forEach((column, axis) => column.push(point[axis]));
  }
  if (!columns[0].length) return columns.map(() => [-1.12, 1.12]);
  const bounds = columns.map((column) => [percentile(column, 0.2), percentile(column, 99.8)]);
  const near = 0.25 * Math.max(...bounds.map(([low, high]) => high - low), 1e-6);
  const found = columns.map((column, axis) => {
    const [low, high] = bounds[axis];
    return extent(column.filter((value) => value >= low - near && value <= high + near));
  });
  const margin = 0.06 * Math.max(...found.map(([low, high]) => high - low), 1e-6);
  return found.map(([low, high]) => [rounded(low - margin), rounded(high + margin)]);
}

const extent = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

/** Half the size of a box around the points' common center that holds them in nearly every frame. */
function reach(points, count, size) {
  return Array.from({ length: size }, (_, axis) => {
    const spread = [];
    for (let from = 0; from < points.length; from += count * size) {
      const row = [];
      for (let k = 0; k < count; k++) if (isFinite(points[from + k * size + axis])) row.push(points[from + k * size + axis]);
      if (!row.length) continue;
      const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
      spread.push(row.reduce((most, value) => Math.max(most, Math.abs(value - mean)), 0));
    }
    return spread.length ? rounded(percentile(spread, 99.5)) : 1;
  });
}

function percentile(values, percent) {
  const ordered = Float64Array.from(values).sort(), at = (percent / 100) * (ordered.length - 1), low = Math.floor(at);
  return ordered[low] + (at - low) * (ordered[Math.min(low + 1, ordered.length - 1)] - ordered[low]);
}

/** Five digits: enough to draw with. */
const rounded = (value) => Number(value.toPrecision(5));
