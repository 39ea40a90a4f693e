// What the names of joints say, read as olift_fast/tracks/joint_names.py reads them, with its vocabulary.

import { inferSides, wordsOf } from "./sides.js";
import { tables } from "./tables.js";

const PREFIX = /^(?:cc_base_|b_|bip0*1?[^\p{L}\p{N}]+|bip0*1(?=[a-z])|mixamorig\d*[:_]?|valvebiped[._]|(?:def|org|mch)[-_])+/iu;
const CODE = /^(?:[lr][fhbm]|[fhbm][lr]|r[lr]|lr)$/;
const CODES = new Set([..."lr"].flatMap((side) => [..."fhbm"].flatMap((girdle) => [side + girdle, girdle + side])));
const LETTERED_LEG = /^[LR][123][A-E]$/;
const isNumber = (word) => /^\d+$/.test(word);
const any = (words, set) => words.some((word) => set.has(word));
const HALVES = new Set(["upper", "up", "lower", "low"]);

/**
 * The body part that each of J names stands for; null for a name that says nothing.
 *
 * A part is { part, side, girdle, rank, order, number }: see `Part` in olift_fast/tracks/body_parts.py.
 */
export function readNames(names) {
  const words = names.map(wordsOfName);
  const plain = inferSides(names);
  let readings = readAll(words, plain);
  const sides = sidesOf(plain, words, readings);
  if (sides.some((side, index) => side !== plain[index])) readings = readAll(words, sides);
  const lettered = names.map((name) => LETTERED_LEG.test(name));
  if (lettered.filter(Boolean).length > 3) {
    readings = readings.map((part, index) => (lettered[index] ? letteredLeg(names[index]) : part));
  }
  return afterALookAround(readings, words);
}

/** Side letters of paired parts count without a twin, too, where other joints are sided. */
function sidesOf(plain, words, readings) {
  if (!plain.some(Boolean)) return plain;
  return plain.map((side, index) => {
    const part = readings[index];
    const letters = new Set(words[index].filter((word) => word in tables.words.sides).map((word) => tables.words.sides[word]));
    return !side && part && !tables.sets.trunkParts.has(part.part) && letters.size === 1 ? [...letters][0] : side;
  });
}

/** The name's words in lower case; compounds in pieces that the vocabulary has ("tailbase" → tail, base). */
function wordsOfName(name) {
  const { vertebrae, insect } = tables.words;
  if (name.toLowerCase() in vertebrae) return [vertebrae[name.toLowerCase()]];
  for (const [joint, segment] of Object.entries(insect)) name = name.replaceAll(joint, segment);
  return wordsOf(name.replace(PREFIX, "")).flatMap((token) => {
    const word = token.toLowerCase(), pieces = split(word);
    return pieces.length ? pieces : [word];
  });
}

/** The fewest words of the vocabulary that make up this one, a side letter at one end allowed; [] if none do. */
function split(word) {
  const { vocabulary, longest } = tables;
  if (vocabulary.has(word)) return [word];
  const best = [[], ...Array(word.length).fill(null)];
  for (let end = 1; end <= word.length; end++) {
    for (let start = Math.max(0, end - longest); start < end; start++) {
      const head = best[start], piece = word.slice(start, end);
      const atAnEnd = start === 0 || end === word.length;
      const known = (vocabulary.has(piece) && piece.length > 1) || ("lr".includes(piece) && atAnEnd);
      if (head && known && (!best[end] || head.length + 1 < best[end].length)) best[end] = [...head, piece];
    }
  }
  return best[word.length] ?? [];
}

function readAll(words, sides) {
  const certain = new Set(["thumb", "index", "ring", "pinky"]);
  const meaning = tables.words.meaning;
  const fingers = words.filter((spoken) => spoken.some((word) => certain.has(meaning[word]?.[0]))).length > 1;
  return words.map((spoken, index) => read(spoken, sides[index], fingers));
}

/** The joint of a fly's leg by side, number of the leg and letter of the joint: "R2C". */
function letteredLeg(name) {
  const [part, rank] = tables.words.lettered[name[2]];
  const girdle = ["fore", "mid", "hind"][Number(name[1]) - 1];
  return { part, side: name[0] === "L" ? 1 : -1, girdle, rank, order: tables.words.middle, number: 0 };
}

function read(words, side, fingers) {
  const { sets, words: table } = tables;
  if (any(words, sets.handles)) return null;
  let [left, girdle] = withoutSide(words, side);
  const numbers = left.filter(isNumber).map((word) => (word.length < 3 ? word : String(Math.min(99, Number(word.slice(0, 9))))));
  left = left.filter((word) => !isNumber(word) && !sets.empty.has(word));
  const word = mostTelling(left, fingers);
  if (word === null) return null;
  let rest = [...left];
  rest.splice(rest.indexOf(word), 1);
  let [part, rank] = partAndRank(word, rest, side, ["fore", "hind"].includes(girdle || girdleOf(rest, "leg")));
  const isDigit = () => table.digits.includes(part);
  if (isDigit() && (left.includes("toe") || left.includes("foot"))) part = "toe";
  if (["thigh", "shank", "upper_arm", "forearm"].includes(part)) rest = rest.filter((other) => !HALVES.has(other));
  let [order, number] = orderOf(part, rest, numbers);
  const isLimb = sets.limbParts.has(part);
  if (isLimb) {
    const usual = table.girdleOf[part] ?? (left.includes("arm") || left.includes("hand") ? "fore" : "hind");
    girdle = girdle || girdleOf(left, part) || usual;
    const telling = part === "fin" ? table.fins : table.limbWords;
    if (!number) number = telling[rest.find((other) => other in telling)] ?? 0;
    if (part === "fin" && (rest.includes("tail") || rest.includes("caudal"))) girdle = "hind";
  }
  if (any(rest, sets.twist)) order = -1 - order;
  return { part, side, girdle: isLimb ? girdle : "", rank, order, number };
}

/** The part and rank of the most telling word, given the others of the name. */
function partAndRank(word, rest, side, isLimb) {
  const { meaning, positions, middle, trunk } = tables.words;
  const [part, rank] = meaning[word];
  const says = (...words) => words.some((other) => rest.includes(other));
  if ((part === "hip" || part === "shoulder") && !side && !isLimb) {
    return part === "hip" ? ["pelvis", word === "hip" ? trunk.pelvis : trunk.pelvis - 1] : ["chest", 28];
  }
  if (word === "head" && says("top")) return ["crown", 0];
  if (word === "spine" && says("base", "root")) return ["pelvis", 51];
  if ((word === "body" || word === "root") && rest.some((other) => positions[other] === middle)) {
    return side ? ["side", 0] : ["spine", 42];
  }
  if ((word === "leg" || word === "arm") && says("upper", "up")) return word === "leg" ? ["thigh", 20] : ["upper_arm", 20];
  if ((word === "leg" || word === "arm") && says("lower", "low")) return word === "leg" ? ["shank", 35] : ["forearm", 35];
  if (word === "arm" && says("fore")) return ["forearm", 35];
  return [part, rank];
}

/** The words without the one that tells the side, and the girdle where that one tells it too ("LF", "HR"). */
function withoutSide(words, side) {
  const { sides, girdles } = tables.words;
  if (!side) return [[...words], ""];
  for (let place = words.length - 1; place >= 0; place--) {
    if (sides[words[place]] === side) return [words.filter((_, other) => other !== place), ""];
  }
  const letter = side > 0 ? "l" : "r";
  const place = words.findIndex((word) => CODE.test(word) && word.includes(letter));
  if (place < 0) return [[...words], ""];
  return [words.filter((_, other) => other !== place), girdles[words[place].replace(letter, "")] ?? ""];
}

/** The word that names the part: the most distal one of a limb ("hand index"), else the first ("tail root"). */
function mostTelling(words, fingers) {
  const { meaning, limb: ranks } = tables.words;
  const isLimb = (word) => tables.sets.limbParts.has(meaning[word][0]);
  const known = words.filter((word) => word in meaning && !["middle", "mid", "center", "centre", "bottom"].includes(word));
  const limb = known.filter(isLimb);
  const middle = words.filter((word) => word === "middle" || word === "mid");
  const onHand = known.every((word) => [ranks.hand, ranks.digit].includes(meaning[word][1]));
  if (middle.length && fingers && onHand && !known.includes("foot")) {
    const fingerlike = limb.some((word) => ["thumb", "index", "ring", "pinky", "wing", "toe"].includes(meaning[word][0]));
    const alone = known.length === 1 && known[0] === "hand" && words[0] === middle[0];
    if (!fingerlike && !alone) return middle[0];
  }
  const solidLimb = limb.filter((word) => meaning[word][0] !== "finger");
  const named = solidLimb.length ? solidLimb : limb;
  if (named.length) return named.reduce((best, word) => (meaning[word][1] > meaning[best][1] ? word : best));
  const solid = known.filter((word) => !["root", "back", "body", "side", "tail", "face"].includes(word));
  if (solid.length && known.includes("tail") && ["spine", "pelvis"].includes(meaning[solid[0]][0])) return "tail";
  const telling = solid.length ? solid : known;
  // "Neck/Nose" is the neck, "root of tail" the tail.
  if (telling.length) return telling.find((word) => !["head", "nose", "root"].includes(word)) ?? telling[0];
  return words.find((word) => word === "center" || word === "centre") ?? null;
}

function girdleOf(words, part) {
  const { girdles, digits } = tables.words;
  for (const word of words) {
    if (word === "mid" && ["wing", "fin", "flipper", ...digits].includes(part)) continue;
    if (word in girdles && word !== "middle") return girdles[word];
  }
  return "";
}

/** The place among joints of one part, and which of several alike limbs, fingers or rays it is. */
function orderOf(part, words, numbers) {
  const { positions, joints, toes, girdles, digits, first, middle, last, end } = tables.words;
  const isDigit = digits.includes(part);
  const joint = words.find((word) => word in joints);
  if (isDigit && joint !== undefined) return [middle + joints[joint], numbers.length ? Number(numbers[0]) : 0];
  let which = 0;
  if (["finger", "toe", "wing"].includes(part) && numbers.length) {
    const counted = part === "wing" && words.some((word) => word in positions) && !words.includes("end");
    if (numbers.length > 1 || counted) {
      which = Number(numbers[0]) + 1;
      numbers = numbers.slice(1);
    } else if (part !== "wing" && (numbers[0].length > 1 || part === "finger")) {
      which = Number(numbers[0][0]) + 1;
      numbers = [numbers[0].slice(1) || "0"];
    }
  }
  let number = numbers.length ? Number(numbers[numbers.length - 1]) : 0;
  let places = positions;
  if (part === "neck") {
    places = { ...positions, upper: last, up: last, top: last, lower: first, low: first };
  } else if (part === "spine") {
    places = { f: first, m: middle, l: last, ...positions, base: first };
  } else if (isDigit) {
    if (!number && part === "toe") number = toes[words.find((word) => word in toes)] ?? 0;
    places = { base: first, end, tip: end, leaf: end, nub: end, top: end };
  } else if (tables.sets.limbParts.has(part) && !["wing", "fin", "flipper"].includes(part)) {
    const own = Object.entries(positions).filter(([word]) => !(word in girdles) || word === "mid" || word === "middle");
    places = Object.fromEntries(own);
  }
  const said = words.filter((word) => word in places).map((word) => places[word]);
  return [(said.length ? Math.max(...said) : middle) + number, which];
}

/** What only the other names tell: which of "UpLeg" and "Leg" is the shank, and whether "Back" is the hind part. */
function afterALookAround(readings, words) {
  const { limb, digits } = tables.words, { limbParts } = tables.sets;
  const known = readings.filter(Boolean);
  const key = (...parts) => parts.join("|");
  const kinds = new Set(known.map((part) => key(part.part, part.girdle)));
  const hindIsBack = readings.some((part, index) => part && limbParts.has(part.part) && words[index].includes("back"));
  const shared = sharedNumbers(readings);
  const limbs = known.some((part) => ["elbow", "wrist", "knee"].includes(part.part));
  // A horse's knee is that of the foreleg: the hind leg has stifle and hock.
  const isHorse = words.some((spoken) => spoken.includes("hock") || spoken.includes("stifle"));
  const plain = new Set(known.filter((part) => part.order >= 0).map((part) => key(part.part, part.side, part.girdle)));
  return readings.map((reading, index) => {
    if (!reading) return null;
    const part = { ...reading }, spoken = words[index];
    if (part.part === "leg") {
      const [upper, lower] = spoken.includes("arm") ? ["upper_arm", "forearm"] : ["thigh", "shank"];
      if (kinds.has(key(upper, part.girdle)) && !kinds.has(key(lower, part.girdle))) Object.assign(part, { part: lower, rank: 35 });
    }
    if (part.part === "fin" && limbs) Object.assign(part, { part: "finger", rank: limb.digit });
    if (spoken.includes("knee") && part.part === "knee" && isHorse && !girdleOf(spoken, "knee") && !any(spoken, CODES)) {
      Object.assign(part, { part: "wrist", girdle: "fore", rank: limb.wrist });
    }
    // An insect's "left_middle_femur"; a finger's "middle" stands beside no other pair of limbs.
    if (spoken.includes("middle") && kinds.has(key(part.part, "fore")) && part.girdle === "hind" && !girdleOf(spoken, part.part)) {
      part.girdle = "mid";
    }
    if (part.order < 0 && !plain.has(key(part.part, part.side, part.girdle))) part.order = -1 - part.order;
    if (hindIsBack && spoken.filter((word) => !isNumber(word)).join() === "back") Object.assign(part, { part: "pelvis", rank: 54 });
    if (limbParts.has(part.part) && shared.has(key(part.part, part.girdle)) && !digits.includes(part.part)) {
      const count = ((part.order % 100) + 100) % 100;
      part.number = Math.trunc(count) + 1;
      part.order -= count;
    }
    return part;
  });
}

/** Parts of limbs whose numbers count limbs: each of several parts comes with the same few numbers. */
function sharedNumbers(readings) {
  const numbers = new Map();
  for (const part of readings) {
    if (!part || !tables.sets.limbParts.has(part.part) || tables.words.digits.includes(part.part) || part.order < 0) continue;
    const key = `${part.part}|${part.girdle}`;
    if (!numbers.has(key)) numbers.set(key, new Set());
    numbers.get(key).add(part.order % 100);
  }
  const alike = ([key, values]) => `${key.split("|")[1]}:${[...values].sort((a, b) => a - b)}`;
  const many = [...numbers].filter(([, values]) => values.size > 1 && !values.has(0));
  return new Set(many.filter((one) => many.some((other) => other !== one && alike(other) === alike(one))).map(([key]) => key));
}
