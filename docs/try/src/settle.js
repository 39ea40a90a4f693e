// The steps that all formats share, as `settle` in olift_fast/io/parsed.py takes them: hide what is missing, name, check.

import { InputError, plural } from "./errors.js";
import { jointsOfTracks } from "./lifting.js";
import { skeletonOf, withInferredEdges } from "./skeleton.js";

/** What tools write for both coordinates of a keypoint that is not there. */
const MARKERS = new Set([0, -1, -10, -99, -100, -999, -1000, -9999, -10000]);
const MAX_COORDINATE = 1e9;
const MOST_KEYPOINTS = 2e7;

/** Throws an InputError before arrays are made that no browser can hold. */
export function checkSize(tracks, frames, joints) {
  if (tracks * frames * joints > MOST_KEYPOINTS) {
    const size = `${plural(tracks, "track")} x ${plural(frames, "frame")} x ${plural(joints, "joint")}`;
    throw new InputError(`${size} is too much for a page, wanted at most ${MOST_KEYPOINTS.toLocaleString("en")} keypoints; olift lift takes it`);
  }
}

/**
 * Tracks { N, T, J, keypoints, confidence, skeleton, tracks, fps, frames, imageSize, source, format, notes, warnings }.
 *
 * A reader gives { N, T, J, keypoints (N·T·J·2), confidence (N·T·J or null), names or null, tracks, format } and, where
 * its format has them, edges, rig, frames, fps, imageSize, zeroIsHidden, notes, warnings. A keypoint that is not there
 * is NaN with confidence 0 in the result. Edges that the file lacks are inferred from names.
 */
export function settle(parsed, source, minConfidence) {
  const { N, T, J } = parsed, count = N * T * J, notes = [...parsed.notes ?? []], warnings = [...parsed.warnings ?? []];
  for (const [size, word] of [[N, "track"], [T, "frame"], [J, "joint"]]) {
    if (!size) throw new InputError(`holds no ${word}s, wanted at least one`);
  }
  const points = Float32Array.from(parsed.keypoints), confidence = new Float32Array(count), hidden = new Uint8Array(count);
  for (let at = 0; at < count; at++) {
    const x = points[2 * at], y = points[2 * at + 1];
    hidden[at] = +(!isFinite(x) || !isFinite(y) || (Boolean(parsed.zeroIsHidden) && x === 0 && y === 0));
    if (!hidden[at] && Math.max(Math.abs(x), Math.abs(y)) > MAX_COORDINATE) {
      throw new InputError(`keypoints must be within ±${MAX_COORDINATE} pixels, got ${x}, ${y}`);
    }
  }
  const divisor = confidenceUnit(parsed.confidence, hidden, notes, warnings);
  for (let at = 0; at < count; at++) {
    // A keypoint may be there without a confidence, as a hand label among predictions is: it counts as certain.
    const given = parsed.confidence ? parsed.confidence[at] : 1;
    confidence[at] = Math.min(Math.max(isNaN(given) ? 1 : Math.fround(Math.fround(given) / divisor), 0), 1);
    if (confidence[at] <= 0) hidden[at] = 1;
  }
  hideMarkers(points, hidden, confidence, notes, warnings);
  let visible = 0, inUnit = 0;
  for (let at = 0; at < count; at++) {
    if (hidden[at]) {
      points[2 * at] = points[2 * at + 1] = NaN;
      confidence[at] = 0;
    } else {
      visible++;
      inUnit += +[points[2 * at], points[2 * at + 1]].every((value) => value >= -0.5 && value <= 1.5);
    }
  }
  if (!visible) {
    const size = [plural(N, "track"), plural(T, "frame"), plural(J, "joint")].join(", ");
    throw new InputError(`no keypoint is visible (${size}), wanted at least one`);
  }
  if (parsed.normalized || (inUnit >= 0.99 * visible && points.some((value) => value > 0))) {
    warnings.push("coordinates look normalized by the picture's width and height: depth is stretched, use olift lift --image-size");
  }
  if (parsed.frames?.some((number, place) => place > 0 && !(number > parsed.frames[place - 1]))) {
    throw new InputError("frame numbers must increase");
  }
  const frames = parsed.frames && parsed.frames.some((number, place) => number !== place) ? parsed.frames : null;
  const tracks = {
    N, T, J, keypoints: points, confidence, tracks: parsed.tracks, fps: parsed.fps ?? null, frames,
    imageSize: parsed.imageSize ?? null, source, format: parsed.format, notes, warnings,
  };
  const { skeleton, note } = withInferredEdges(skeletonOf(parsed), jointsOfTracks(tracks, minConfidence));
  if (note) notes.push(note);
  return { ...tracks, skeleton };
}

/** 100 where confidence is given in per cent; of values that are no confidence, a warning tells. */
function confidenceUnit(given, hidden, notes, warnings) {
  if (!given) return 1;
  const seen = Float32Array.from(given).filter((value, at) => value > 0 && isFinite(value) && !hidden[at]).sort();
  if (!seen.length) return 1;
  const middle = (seen[(seen.length - 1) >> 1] + seen[seen.length >> 1]) / 2, top = seen[seen.length - 1];
  if (middle <= 2) return 1;
  if (middle >= 20 && top <= 100.5) {
    notes.push(`confidence up to ${Number(top.toPrecision(4))} is taken as per cent`);
    return 100;
  }
  warnings.push(`confidence must lie in [0, 1], got values up to ${Number(top.toPrecision(4))}: they count as 1`);
  return 1;
}

/** Hides what stands for missing keypoints: the same (0, 0), (-1, -1), … again and again, far from all others. */
function hideMarkers(points, hidden, confidence, notes, warnings) {
  const marked = new Map(), low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  let others = 0, negative = 0, scored = false;
  for (let at = 0; at < hidden.length; at++) {
    if (hidden[at]) continue;
    scored ||= confidence[at] !== 1;
    const x = points[2 * at], y = points[2 * at + 1];
    if (x === y && MARKERS.has(x)) {
      marked.set(x, [...(marked.get(x) ?? []), at]);
      continue;
    }
    others++;
    negative += +(x < 0 || y < 0);
    [x, y].forEach((value, axis) => {
      low[axis] = Math.min(low[axis], value);
      high[axis] = Math.max(high[axis], value);
    });
  }
  // Coordinates that count from the animal's or the picture's center may well be (0, 0).
  if (!marked.size || !others || negative / others > 0.01) return;
  const reach = 0.01 * Math.hypot(high[0] - low[0], high[1] - low[1]);
  for (const [value, places] of [...marked].sort(([a], [b]) => a - b)) {
    let near = 0;
    for (let at = 0; at < hidden.length; at++) {
      const x = points[2 * at], y = points[2 * at + 1];
      if (!hidden[at] && !(x === y && MARKERS.has(x))) near += +(Math.max(Math.abs(x - value), Math.abs(y - value)) <= reach);
    }
    if (near / others > 0.001) continue;
    const what = `${plural(places.length, "keypoint")} at exactly (${value}, ${value})`;
    const scores = places.map((at) => confidence[at]).sort((a, b) => a - b);
    if (!scored && places.length > 1) {
      places.forEach((at) => { hidden[at] = 1; });
      notes.push(`${what} are taken as missing`);
    } else if (!scored || scores[scores.length >> 1] >= 0.5) {
      warnings.push(`${what} may stand for missing keypoints, but are kept`);
    }
  }
}
