// Keypoints in JSON: COCO's annotations and results, MMPose's predictions, OpenPose's frames.

import { Detections, asStills, asTracks, identity, numbered } from "./detections.js";
import { InputError, shapeText, shown } from "./errors.js";
import { framesOf, lastNumber, nameKind, withoutHash } from "./pictures.js";
import { tables } from "./tables.js";

const FRAME_KEYS = ["frame", "frame_number", "frame_idx", "frame_index", "frame_id", "frameNumber", "frameIndex"];
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const has = (value, ...keys) => isObject(value) && keys.every((key) => key in value);
const firstItem = (list) => (Array.isArray(list) ? list.find((item) => item !== null && Object.keys(item).length) : undefined);

/** What a reader returns, of the value that a JSON file holds. */
export function readJson(content) {
  if (Array.isArray(content) && !content.length) throw new InputError("holds no tracks: the list is empty");
  if (has(content, "annotations", "images", "categories")) return readCoco(content);
  if (has(firstItem(content), "image_id", "keypoints")) return readCocoResults(content);
  if (has(content, "people")) return readOpenPose([["0.json", content]]);
  if (has(firstItem(content), "people")) return readOpenPoseList(content);
  if (has(content, "instance_info") || has(firstItem(content), "instances")) return readMMPose(content);
  const keys = isObject(content) ? Object.keys(content) : Object.keys(firstItem(content) ?? {});
  const what = `JSON of no format that this page reads, with keys ${keys.slice(0, 6).join(", ") || "none"}`;
  throw new InputError(`${what}; it reads those of COCO, MMPose and OpenPose, and olift lift more`);
}

/** Points (2·J) and third values (J) of a flat list x, y, c, … or of rows of three. */
function triplets(values, what) {
  const flat = Array.isArray(values) ? values.flat() : [];
  if (!flat.length || flat.length % 3) {
    throw new InputError(`${what} must be a flat list of x, y, confidence, got ${shapeText([flat.length])} values`);
  }
  const all = numbersOf(flat, what);
  return { points: all.filter((_, at) => at % 3 !== 2), scores: all.filter((_, at) => at % 3 === 2) };
}

/** A list's numbers; null is NaN. */
function numbersOf(values, what) {
  const other = values.find((value) => value !== null && typeof value !== "number");
  if (other !== undefined) throw new InputError(`${what} must hold numbers, got ${shown(other)}`);
  return values.map((value) => value ?? NaN);
}

function wholeNumber(value, what) {
  const number = typeof value === "string" && /^\s*[-+]?\d+\s*$/.test(value) ? Number(value) : value;
  if (Number.isInteger(number) && Math.abs(number) < 2 ** 63) return number;
  throw new InputError(`${what} must be a whole number below 2^63, got ${shown(value)}`);
}

// COCO

/** Annotations: images are frames where they are numbered like a video's, else stills. */
function readCoco(content) {
  const items = content.annotations.filter((item) => item.keypoints?.length);
  if (!items.length) throw new InputError(`none of ${content.annotations.length} annotations has keypoints, wanted at least one`);
  const { names, edges } = categoryOf(content.categories, new Set(items.map((item) => item.category_id)));
  const images = new Map(content.images.map((image) => [image.id, image]));
  if (images.size < content.images.length) throw new InputError("two images have the same id");
  for (const item of items) {
    if (!images.has(item.image_id)) throw new InputError(`an annotation is of image ${shown(item.image_id)}, which is not among the images`);
  }
  const { ids, notes } = animalIds(items), hasIds = ids.some((id) => id !== null);
  const videos = videosOf(content.images, hasIds), numbers = imageNumbers(content.images, videos);
  const sizes = new Set(content.images.map((image) => `${image.width} ${image.height}`));
  const isVideo = hasIds || areVideos(content.images, videos, numbers), count = new Set(videos).size;
  if (isVideo && count > 1) throw new InputError(`images are of ${count} videos, which this page does not read at once; olift lift does`);
  if (!isVideo) notes.push(`${images.size} images are taken as stills: they are not of one size and numbered like frames`);
  const J = names?.length ?? items[0].keypoints.length / 3, found = new Detections(J), labels = [];
  items.forEach((item, index) => {
    const { points, scores } = triplets(item.keypoints, "keypoints");
    // A visibility of 1 (hidden from view, but labeled) or 2 is there; what is no such flag is a confidence.
    const seen = scores.map((flag) => (flag === 1 || flag === 2 ? 1 : Math.max(flag, 0)));
    const added = found.add(isVideo ? numbers.get(item.image_id) : 0, ids[index], points, seen);
    if (added) labels.push(`image_${item.image_id}/animal_${item.id ?? labels.length}`);
  });
  const tracked = isVideo ? asTracks(found, { allFrames: [...numbers.values()], fill: false }) : asStills(found, labels);
  const [width, height] = [...sizes][0].split(" ").map(Number);
  return {
    ...tracked, format: "coco", names, edges, imageSize: sizes.size === 1 && width > 0 && height > 0 ? [width, height] : null,
    notes: [...tracked.notes, ...notes],
  };
}

/** A list of results, each with an image_id and keypoints x, y, score, …. */
function readCocoResults(content) {
  const items = content.filter((item) => item.keypoints?.length);
  if (!items.length) throw new InputError(`holds no tracks: none of ${content.length} results has keypoints`);
  const poses = items.map((item) => ({ image: item.image_id, ...triplets(item.keypoints, "keypoints") }));
  const numbers = content.map((item) => wholeNumber(item.image_id, "image_id")), { ids, notes } = animalIds(items);
  const isVideo = ids.some((id) => id !== null) || areFrames(numbers, 10);
  if (!isVideo) notes.push(`${new Set(numbers).size} images are taken as stills: their ids do not number them like frames`);
  const J = poses[0].scores.length, found = new Detections(J), labels = [];
  poses.forEach(({ image, points, scores }, index) => {
    if (found.add(isVideo ? image : 0, ids[index], points, scores)) labels.push(`image_${image}/animal_${labels.length}`);
  });
  const tracked = isVideo ? asTracks(found, { allFrames: numbers }) : asStills(found, labels);
  const isPerson = J === 17 && items.every((item) => (item.category_id ?? 1) === 1);
  return { ...tracked, format: "coco-results", rig: isPerson ? "coco_17" : null, notes: [...tracked.notes, ...notes] };
}

/** Names and edges of the categories that are used, which must agree; names are null where the file has none. */
function categoryOf(categories, used) {
  const chosen = categories.filter((category) => used.has(category.id) && category.keypoints?.length);
  if (!chosen.length) return { names: null, edges: [] };
  const names = chosen[0].keypoints.map(String);
  for (const other of chosen.slice(1)) {
    if (other.keypoints.map(String).join("\0") !== names.join("\0")) {
      throw new InputError(`categories '${chosen[0].name}' and '${other.name}' have different keypoints, wanted one set`);
    }
  }
  const given = chosen[0].skeleton ?? [];
  // Edges count from 1, but for tools that count from 0, whose edges have a joint 0; some name the joints.
  const first = given.flat().some((end) => Number(end) === 0) ? 0 : 1;
  const edges = given.map((pair) => pair.map((end) => (names.includes(end) ? names.indexOf(end) : Number(end) - first)));
  return { names, edges };
}

/** The id of the animal in each item, null where it has none. */
function animalIds(items) {
  const keys = ["track_id", "tracking_id", "track", "person_id", "animal_id", "individual_id", "instance_id", "object_id", "identity", "id"];
  for (const inside of [false, true]) for (const key of keys) {
    // `id` beside the keypoints always numbers the annotations.
    if (key === "id" && !inside) continue;
    const ids = items.map((item) => identity((inside ? item.attributes : item)?.[key]));
    const pairs = items.map((item, index) => [ids[index], item.image_id]).filter(([id]) => id !== null).map(([id, image]) => `${id}\0${image}`);
    const animals = new Set(ids.filter((id) => id !== null)).size;
    const again = animals < pairs.length && pairs.length === new Set(pairs).size;
    if (pairs.length && (key === "track_id" || again)) {
      const usual = key === "track_id" && !inside;
      return { ids, notes: usual ? [] : [`animals are told apart by \`${inside ? "attributes." : ""}${key}\``] };
    }
  }
  return { ids: items.map(() => null), notes: [] };
}

const frameId = (image) => image[["frame_id", "frame_idx", "frame_number"].find((key) => key in image)];
const fileName = (image) => String(image.file_name || "");

/**
 * The video of each image: by its id, else by the folder of the image's file, and in a folder by what comes before the
 * number in its name.
 */
function videosOf(images, hasIds) {
  const ids = images.map((image) => String(image.video_id ?? image.vid_id ?? null));
  if (new Set(ids).size > 1) return ids;
  const files = images.map((image) => fileName(image).split(/[\\/]/)), folders = new Map();
  files.forEach((parts, place) => {
    const folder = parts.slice(0, -1).join("/");
    folders.set(folder, [...folders.get(folder) ?? [], place]);
  });
  const isNumbered = new Set(images.map(frameId).filter((id) => id !== undefined && id !== null)).size === images.length;
  const names = images.map(() => "");
  for (const [folder, places] of folders) {
    const prefixes = isNumbered ? places.map(() => "") : prefixesOf(places.map((place) => files[place].at(-1)), hasIds);
    places.forEach((place, index) => { names[place] = `${folder}/${prefixes[index]}`; });
  }
  return names;
}

/** What tells the videos in one folder apart, for each of its images; "" if they are of one video. */
function prefixesOf(names, hasIds) {
  const places = framesOf(names, hasIds);
  if (places) return places.map(({ recording }) => recording);
  const counted = (values) => values.reduce((count, value) => count.set(value, (count.get(value) ?? 0) + 1), new Map());
  const kinds = names.map((name) => nameKind(withoutHash(name))), count = counted(kinds);
  const numbers = counted([...new Set(names)].map((name) => lastNumber(withoutHash(name))).filter((number) => number !== null));
  // If a number comes several times, the images are of several videos. Otherwise different names may be of one.
  const clash = Math.min(...count.values()) > 1 && [...numbers.values()].some((times) => times > 1);
  return clash ? kinds : names.map(() => "");
}

/** Whether the images of each video are of one size, and numbered like frames. */
function areVideos(images, videos, numbers) {
  return [...new Set(videos)].every((video) => {
    const group = images.filter((_, place) => videos[place] === video), own = group.map((image) => numbers.get(image.id)).sort((a, b) => a - b);
    if (group.length < 2 || new Set(group.map((image) => `${image.width} ${image.height}`)).size > 1) return false;
    if (areFrames(own)) return true;
    const places = framesOf(group.map(fileName));
    if (!places || new Set(places.map(({ recording }) => recording)).size > 1) return false;
    return places.map(({ frame }) => frame).sort((a, b) => a - b).join() === own.join();
  });
}

/** A frame number for each image id: its frame_id, the number in its file's name, or its place in the list. */
function imageNumbers(images, videos) {
  for (const numberOf of [frameId, (image) => lastNumber(withoutHash(fileName(image)))]) {
    const numbers = images.map(numberOf);
    const keys = numbers.map((number, place) => `${videos[place]}\0${number}`);
    if (numbers.every(Number.isInteger) && new Set(keys).size === images.length) {
      return new Map(images.map((image, index) => [image.id, numbers[index]]));
    }
  }
  return new Map(images.map((image, place) => [image.id, place]));
}

/** Whether numbers are those of a video's frames: in equal steps, or without large gaps. */
function areFrames(numbers, room = 0) {
  const distinct = [...new Set(numbers)].sort((a, b) => a - b), steps = new Set(distinct.slice(1).map((one, place) => one - distinct[place]));
  if (distinct.length > 2 && steps.size === 1) return true;
  return distinct[distinct.length - 1] - distinct[0] < 2 * distinct.length + room;
}

// MMPose

/** Predictions: { instance_info: frames, meta_info }, or the list of frames alone, each with `instances`. */
function readMMPose(content) {
  const items = isObject(content) ? content.instance_info ?? [] : content, meta = content.meta_info ?? {};
  const frames = numbered(items.map(({ frame_id: given = null }) => (given === null ? null : wholeNumber(given, "frame_id"))));
  let found = null;
  items.forEach((item, place) => {
    for (const instance of item.instances ?? []) {
      if (Array.isArray(instance.keypoints) ? !instance.keypoints.length : instance.keypoints === null) continue;
      const pose = poseOf(instance);
      found ??= new Detections(pose.scores.length);
      found.add(frames[place], pose.id, pose.points, pose.scores);
    }
  });
  if (!found) throw new InputError(`holds no tracks: none of ${frames.length} frames has an instance`);
  const tracked = { ...asTracks(found, { allFrames: frames }), format: "mmpose" };
  if (!meta.keypoint_id2name) return ofPeople(tracked);
  const names = Array.from({ length: found.J }, (_, joint) => meta.keypoint_id2name[joint]);
  if (names.includes(undefined)) throw new InputError(`meta_info names ${Object.keys(meta.keypoint_id2name).length} keypoints, wanted ${found.J}`);
  const links = meta.skeleton_links?.__ndarray__ ?? meta.skeleton_links ?? [];
  return { ...tracked, names, edges: links.map((pair) => pair.map((end) => (names.includes(end) ? names.indexOf(end) : end))) };
}

function poseOf(instance) {
  const id = identity(instance.track_id ?? instance.instance_id), given = instance.keypoints;
  if (!Array.isArray(given) || !given.every(Array.isArray)) throw new InputError(`keypoints must be a list of (x, y), got ${shown(given)}`);
  const named = id === null ? null : `track_${id}`;
  const widths = new Set(given.map((row) => row.length));
  if (widths.size > 1) throw new InputError("keypoints must hold numbers in rows of one length");
  if (!instance.keypoint_scores && given.every((row) => row.length === 3 && row[2] >= 0 && row[2] <= 1.1)) {
    return { id: named, ...triplets(given, "keypoints") };
  }
  if (given.some((row) => row.length !== 2)) throw new InputError("holds 3D points (x, y, z), needs 2D (x, y)");
  const scores = instance.keypoint_scores ?? given.map(() => 1);
  if (scores.length !== given.length) {
    throw new InputError(`keypoint_scores must have ${given.length} values, got shape ${shapeText([scores.length])}`);
  }
  return { id: named, points: numbersOf(given.flat(), "keypoints"), scores: numbersOf(scores, "keypoint_scores") };
}

// OpenPose

/** A list of frames in one file. */
function readOpenPoseList(content) {
  const places = numbered(content.map(frameNumber).map((number) => (number !== null && number >= 0 ? number : null)));
  const read = readOpenPose(content.map((frame, place) => [String(places[place]), frame]));
  return { ...read, format: "openpose-list" };
}

/** The number of a frame under one of `FRAME_KEYS`; null if it has none. */
function frameNumber(frame) {
  const given = isObject(frame) ? frame[FRAME_KEYS.find((key) => key in frame)] : null;
  return typeof given === "number" ? wholeNumber(given, "frame number") : null;
}

const WANTED = "not an OpenPose frame: wanted {'people': [{'pose_keypoints_2d': […]}, …]}";

/** Frames [file's name, content] of one recording, which the numbers in the names put in order. */
export function readOpenPose(files) {
  const kinds = new Set(files.map(([name]) => nameKind(name)));
  const numbers = files.map(([name], place) => lastNumber(name.replace("_keypoints", "")) ?? place);
  if (kinds.size > 1) throw new InputError(`files of ${kinds.size} kinds (${[...kinds].slice(0, 2).join(", ")}): drop those of one recording`);
  if (new Set(numbers).size < numbers.length) throw new InputError("two files have the same frame number");
  const poses = [], sizes = new Set();
  files.forEach(([name, frame], place) => {
    const people = isObject(frame) && "people" in frame ? frame.people ?? [] : null;
    if (!Array.isArray(people)) throw new InputError(`${name}: ${WANTED}`);
    if (frame.canvas_width > 0) sizes.add(`${frame.canvas_width} ${frame.canvas_height}`);
    for (const person of people) {
      const key = ["pose_keypoints_2d", "pose_keypoints"].find((known) => isObject(person) && known in person);
      if (!key) throw new InputError(`${name}: ${WANTED}`);
      const points = person[key], id = identity(person.person_id);
      if (points !== null && !Array.isArray(points)) throw new InputError(`${name}: ${WANTED}`);
      if (!points?.length) continue;
      poses.push({ frame: numbers[place], id: id === null ? null : `person_${id}`, ...inFile(name, () => triplets(points, key)) });
    }
  });
  if (!poses.length) throw new InputError(`holds no tracks: none of ${files.length} frames has a person`);
  const found = new Detections(poses[0].scores.length);
  for (const { frame, id, points, scores } of poses) found.add(frame, id, points, scores);
  const tracked = asTracks(found, { prefix: "person", allFrames: numbers });
  const imageSize = sizes.size === 1 ? [...sizes][0].split(" ").map(Number) : null;
  return withRig({ ...tracked, format: "openpose", zeroIsHidden: true, imageSize });
}

/** What a function returns; what it finds wrong is told with the file's name. */
function inFile(name, read) {
  try {
    return read();
  } catch (error) {
    throw error instanceof InputError ? new InputError(`${name}: ${error.message}`) : error;
  }
}

function withRig(parsed) {
  if (parsed.J in tables.people) return ofPeople(parsed);
  const names = tables.openpose[parsed.J];
  if (!names) return parsed;
  const cut = parsed.J === 135 ? firstJoints(parsed, 25) : parsed;
  const rig = names.reduce((best, name) => (meanBoneLength(cut, name) < meanBoneLength(cut, best) ? name : best));
  return { ...cut, rig };
}

/** People without names, by the number of their points; 17 may be AP-10K's animal, if its bones are the shorter ones. */
function ofPeople(parsed) {
  const total = parsed.J;
  if (!(total in tables.people)) return parsed;
  let [rig, joints] = tables.people[total];
  if (total === 17 && meanBoneLength(parsed, "ap10k_17") < 0.8 * meanBoneLength(parsed, rig)) rig = "ap10k_17";
  const note = `${total} points without names are taken as ${rig}`
    + (joints < total ? `: the first ${joints} are the body, the others are left out` : "");
  return { ...firstJoints(parsed, joints), rig, notes: [...parsed.notes, note] };
}

function firstJoints(parsed, count) {
  const { J } = parsed, kept = (values, size) => values.filter((_, at) => Math.floor(at / size) % J < count);
  return { ...parsed, J: count, keypoints: kept(parsed.keypoints, 2), confidence: kept(parsed.confidence, 1) };
}

/** The mean over a built-in skeleton's bones of their median length in the file. */
function meanBoneLength({ N, T, J, keypoints }, rig) {
  const medians = [];
  for (const [a, b] of tables.rigs[rig].edges) {
    const lengths = [];
    for (let row = 0; row < N * T; row++) {
      const [i, j] = [2 * (row * J + a), 2 * (row * J + b)];
      const length = Math.hypot(keypoints[i] - keypoints[j], keypoints[i + 1] - keypoints[j + 1]);
      if (isFinite(length)) lengths.push(length);
    }
    lengths.sort((x, y) => x - y);
    if (lengths.length) medians.push((lengths[(lengths.length - 1) >> 1] + lengths[lengths.length >> 1]) / 2);
  }
  return medians.length ? medians.reduce((sum, value) => sum + value, 0) / medians.length : Infinity;
}
