// DeepLabCut's and Lightning Pose's tables: header rows scorer, [individuals,] bodyparts, coords.

import { InputError, shown } from "./errors.js";
import { checkSize } from "./settle.js";
import { framesBetween } from "./detections.js";

const HEADER = ["scorer", "individuals", "bodyparts", "coords"];
const SCORES = new Set(["likelihood", "confidence", "conf", "score", "probability", "p", "c"]);
const NUMBER = /^-?\d+([.,]0*)?$/;
const TIME = /^[-+\d.,:eE]+$/;
const MISSING = /^(?:|<?#?n\/?a>?|nan|none|null|-+|[+-]?inf)$/i;

/** What a reader returns, of the text of a table. */
export function readDeepLabCut(text) {
  const rows = cellsOf(text), header = {};
  for (const row of rows.slice(0, 4)) {
    const name = row[0]?.toLowerCase();
    if (!HEADER.includes(name) || name in header) break;
    header[name] = row;
  }
  for (const name of ["bodyparts", "coords"]) {
    if (name in header) continue;
    const got = Object.keys(header).join(", ") || `a first line ${shown(rows[0].join(","))}`;
    throw new InputError(`wanted a table with header rows scorer, [individuals,] bodyparts, coords, got ${got}`);
  }
  const coords = header.coords.map((cell) => cell.toLowerCase()), first = coords.findIndex((cell, place) => place > 0 && cell);
  if (first < 0) throw new InputError("header has no column of coordinates, wanted x, y and likelihood of each body part");
  const columns = new Map();
  for (let place = first; place < coords.length; place++) {
    if (!coords[place]) continue;
    const key = [header.individuals?.[place] ?? "track_0", header.bodyparts[place] ?? "", SCORES.has(coords[place]) ? "likelihood" : coords[place]];
    if (key[2] === "z") throw new InputError("holds 3D points (x, y, z), needs 2D (x, y)");
    if (!key[1]) throw new InputError(`column ${place + 1} has a coordinate but no body part`);
    if (columns.has(key.join("\0"))) throw new InputError(`column ${key.join(" / ")} comes twice; several animals need an 'individuals' row`);
    columns.set(key.join("\0"), { key, place });
  }
  const placed = [...columns.values()].filter(({ key }) => key[2] === "x" || key[2] === "y");
  const tracks = [...new Set(placed.map(({ key }) => key[0]))], names = [...new Set(placed.map(({ key }) => key[1]))];
  const body = rows.slice(Object.keys(header).length).filter((row, index) => index > 0 || row.slice(first).some(Boolean) || /\d/.test(row[0]));
  const width = coords.findLastIndex(Boolean) + 1;
  for (const row of body) {
    // A line without any value may stop early: spreadsheets and some tools drop empty cells.
    const fits = row.length < width ? !row.slice(first).some(Boolean) : !row.slice(width).some(Boolean);
    if (!fits) throw new InputError(`line ${row.line} has ${row.length} cells, wanted ${width}`);
  }
  const marks = framesOfRows(body.map((row) => row.slice(0, first)));
  const N = tracks.length, J = names.length, T = marks.frames.length;
  checkSize(N, T, J);
  const keypoints = new Float32Array(N * T * J * 2).fill(NaN), confidence = new Float32Array(N * T * J).fill(NaN);
  tracks.forEach((track, n) => names.forEach((name, j) => {
    const of = (coordinate) => columns.get([track, name, coordinate].join("\0"))?.place;
    const axes = [of("x"), of("y")];
    if (axes.every((place) => place === undefined)) return;
    axes.forEach((place, axis) => {
      if (place === undefined) throw new InputError(`'${name}' has no column '${"xy"[axis]}'`);
      body.forEach((row, index) => { keypoints[2 * ((n * T + marks.places[index]) * J + j) + axis] = number(row, place, index); });
    });
    if (of("likelihood") !== undefined) {
      body.forEach((row, index) => { confidence[(n * T + marks.places[index]) * J + j] = number(row, of("likelihood"), index); });
    }
  }));
  function number(row, place, index) {
    const cell = row[place] ?? "";
    if (MISSING.test(cell)) return NaN;
    const value = Number(cell);
    if (Number.isNaN(value)) {
      throw new InputError(`line ${body[index].line}, column ${place + 1}: wanted a number, got ${shown(cell)}`);
    }
    return value;
  }
  return { format: "deeplabcut", N, T, J, keypoints, confidence, names, tracks, frames: marks.frames, notes: marks.notes };
}

/** The cells of each line that is not empty, with its number as `line`; a cell may stand in quotes. */
function cellsOf(text) {
  const all = text.split(/\r\n|\r|\n/).map((line, place) => [line, place + 1]);
  const lines = all.filter(([line]) => line.replace(/[,;\t\s"]/g, ""));
  if (!lines.length) throw new InputError("is empty");
  const counts = [...",;\t"].map((sign) => lines[0][0].split(sign).length), sign = ",;\t"[counts.indexOf(Math.max(...counts))];
  const cell = new RegExp(`(?:^|${sign})(?:"((?:[^"]|"")*)"|([^${sign}]*))`, "g");
  const split = (line) => (line.includes('"')
    ? [...line.matchAll(cell)].map(([, quoted, plain]) => (quoted === undefined ? plain : quoted.replaceAll('""', '"')).trim())
    : line.split(sign).map((part) => part.trim()));
  return lines.map(([line, number]) => Object.assign(split(line), { line: number }));
}

/** The frame numbers of rows, and each row's place among them, by a number or the name of a picture. */
function framesOfRows(marks) {
  if (!marks.length) throw new InputError("holds no frames, wanted at least one");
  const cells = marks.map((row) => row[row.length - 1]), counted = { frames: cells.map((_, row) => row), places: cells.map((_, row) => row) };
  const given = cells.filter(Boolean);
  if (given.length && given.length < cells.length && given.every((cell) => TIME.test(cell))) {
    throw new InputError(`row ${cells.indexOf("") + 1} of ${cells.length} has no frame number or time, but the others do`);
  }
  if (cells.every((cell) => NUMBER.test(cell))) {
    const numbers = cells.map((cell) => parseInt(cell, 10));
    return ordered(numbers, framesBetween(numbers));
  }
  if (cells.every((cell) => !cell)) return { ...counted, notes: [] };
  const found = marks.map((row) => /^(.*?)(\d{1,15})(\D*)$/s.exec(row.filter(Boolean).join("/")));
  if (cells.every((cell) => TIME.test(cell))) throw new InputError("rows are marked by times, which this page does not read; olift lift does");
  if (found.includes(null)) return { ...counted, notes: ["rows are marked by names without a number: they count as frames 0, 1, …"] };
  const kinds = new Set(found.map((part) => part[1] + part[3]));
  if (kinds.size > 1) throw new InputError(`rows are pictures of ${kinds.size} recordings, which this page does not read at once; olift lift does`);
  const numbers = found.map((part) => Number(part[2]));
  return ordered(numbers, [...new Set(numbers)].sort((a, b) => a - b));
}

function ordered(numbers, frames) {
  if (new Set(numbers).size < numbers.length) {
    throw new InputError(`frame ${numbers.find((one, place) => numbers.indexOf(one) < place)} comes twice`);
  }
  const place = new Map(frames.map((frame, index) => [frame, index]));
  return { frames, places: numbers.map((one) => place.get(one)), notes: [] };
}
