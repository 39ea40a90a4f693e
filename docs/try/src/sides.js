// Which side of the body each joint is on, as olift_fast/tracks/sides.py reads it from the names.

const WORDS = { left: "right", right: "left" };
const LETTERS = { l: "r", r: "l" };
const SIDE = { left: 1, l: 1, right: -1, r: -1 };

/** The words of a name, split at separators, at case changes ("LHip", "EarL") and around numbers. */
export function wordsOf(name) {
  return name.match(/[A-Z]+(?=[A-Z][a-z])|[A-Z]?(?:(?![A-Z])\p{L})+|[A-Z]+|\d+/gu) ?? [];
}

/** (J) 1 for a left joint, -1 for a right one, 0 for a middle or unknown one. */
export function inferSides(names) {
  return twinsOf(names).map(([, side]) => side);
}

/** For each joint, [the index of its twin (itself if it has none), its side]. */
export function twinsOf(names) {
  const tokens = names.map((name) => wordsOf(name).map((word) => word.toLowerCase()));
  const sides = names.map(() => 0), twins = names.map((_, index) => index);
  for (const ignoreNumbers of [false, true]) {
    const key = (words) => words.filter((word) => !(ignoreNumbers && /^\d+$/.test(word))).join("/");
    const places = new Map();
    tokens.forEach((words, index) => places.set(key(words), [...(places.get(key(words)) ?? []), index]));
    for (let rank = 0; rank < 4; rank++) {
      tokens.forEach((words, index) => {
        for (const [mirrored, side, itsRank] of mirroredNames(words)) {
          const other = places.get(key(mirrored)) ?? [];
          const alone = places.get(key(words)).length === 1;
          if (itsRank !== rank || sides[index] || !alone || other.length !== 1 || sides[other[0]]) continue;
          sides[index] = side;
          sides[other[0]] = -side;
          [twins[index], twins[other[0]]] = [other[0], index];
        }
      });
    }
  }
  tokens.forEach((words, index) => {
    const plain = new Set(words.filter((word) => word in WORDS));
    if (!sides[index] && plain.size === 1) sides[index] = SIDE[[...plain][0]];
  });
  // All of one side, as a hand: no name has a twin, and all have the same letter.
  const letters = new Set(tokens.map((words) => ["l", "r"].filter((letter) => words.includes(letter)).join("")));
  const [letter] = letters;
  if (names.length > 2 && letters.size === 1 && letter in LETTERS && !sides.some(Boolean)) sides.fill(SIDE[letter]);
  return twins.map((twin, index) => [twin, sides[index]]);
}

/** The names that this one could mirror, as [words, this one's side, rank]: the surest reading has rank 0. */
function* mirroredNames(words) {
  for (const [place, word] of words.entries()) {
    const turned = (other) => [...words.slice(0, place), other, ...words.slice(place + 1)];
    if (word in WORDS) {
      yield [turned(WORDS[word]), SIDE[word], 0];
      continue;
    }
    for (const [side, other] of Object.entries(WORDS)) {
      if (word.startsWith(side)) yield [turned(other + word.slice(side.length)), SIDE[side], 1];
      if (word.endsWith(side)) yield [turned(word.slice(0, -side.length) + other), SIDE[side], 1];
    }
    if (word in LETTERS) {
      yield [turned(LETTERS[word]), SIDE[word], 2];
      continue;
    }
    const first = word[0], last = word[word.length - 1];
    if (first in LETTERS) yield [turned(LETTERS[first] + word.slice(1)), SIDE[first], 3];
    if (last in LETTERS) yield [turned(word.slice(0, -1) + LETTERS[last]), SIDE[last], 3];
  }
}
