// One function for every file: tell its kind by the first bytes, read it, check it.

import { readBareArray, readNpz, readSleap } from "./array_formats.js";
import { readDeepLabCut } from "./deeplabcut.js";
import { InputError, plural } from "./errors.js";
import { readJson, readOpenPose } from "./json_formats.js";
import { settle } from "./settle.js";

const begins = (bytes, ...signs) => signs.every((sign, place) => bytes[place] === sign);

/**
 * The tracks of one file, or of OpenPose's files, one for each frame: what `settle` returns.
 *
 * `files` are [{ name, bytes }]; `hdf5` promises the module h5wasm. Throws an InputError that begins with the file's name.
 */
export async function read(files, { minConfidence = 0.3, hdf5 = null } = {}) {
  if (!files.length) throw new InputError("no file was given");
  const source = files.length === 1 ? files[0].name : `${plural(files.length, "file")} from ${files[0].name}`;
  try {
    return settle(files.length === 1 ? await readOne(files[0].bytes, hdf5) : readFrames(files), source, minConfidence);
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${source}: ${error.message}`);
    // Readers don't check all that they take from a file: what is missing or wrong there ends here.
    throw new InputError(`${source}: not a usable keypoint file: ${error.message}`);
  }
}

async function readOne(bytes, hdf5) {
  if (!bytes.length) throw new InputError("is empty");
  if (begins(bytes, 0x93, 0x4e, 0x55, 0x4d)) return readBareArray(bytes);
  if (begins(bytes, 0x50, 0x4b)) return readNpz(bytes);
  if (begins(bytes, 0x89, 0x48, 0x44, 0x46)) return readSleap(bytes, await hdf5());
  const text = textOf(bytes);
  return /^\s*[[{]/.test(text) ? readJson(parsed(text)) : readDeepLabCut(text);
}

/** OpenPose's files; those that are named otherwise than most are no frames. */
function readFrames(files) {
  const others = files.find(({ name }) => !/\.json$/i.test(name));
  if (others) throw new InputError(`${others.name} is no JSON; several files at once must be OpenPose's, one for each frame`);
  const frames = files.map(({ name, bytes }) => {
    try {
      return [name, parsed(textOf(bytes))];
    } catch (error) {
      throw new InputError(`${name}: ${error.message}`);
    }
  });
  return readOpenPose(frames.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function textOf(bytes) {
  const utf16 = begins(bytes, 0xff, 0xfe) || begins(bytes, 0xfe, 0xff);
  if (!utf16 && bytes.includes(0)) throw new InputError("binary data in no format that this page reads");
  const encoding = utf16 ? (bytes[0] === 0xff ? "utf-16le" : "utf-16be") : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new InputError("not UTF-8 text; save it as UTF-8");
  }
}

function parsed(text) {
  try {
    // Python writes NaN, which JSON does not have.
    return JSON.parse(text.replace(/(?<=[[,:]\s*)NaN(?=\s*[\],}])/g, "null"));
  } catch (error) {
    throw new InputError(`not valid JSON (cut short?): ${error.message}`);
  }
}
