// Hands on their own: which hand a track is, as olift_fast/tracks/hands.py tells it by the track's name.

import { readNames } from "./joint_names.js";
import { wordsOf } from "./sides.js";

const FINGERS = new Set(["toe", "finger", "index", "middle", "ring", "pinky", "claw"]);
const OTHERS = new Set(["wrist", "ankle", "heel", "fetlock", "hand", "foot", "paw", "thumb"]);

/** Whether the joints' names are those of one hand alone. */
export function isHand(names) {
  // Parts of a leg and of an arm have the same names: the girdle tells which.
  const parts = readNames(names).filter(Boolean), ofArm = parts.every((part) => part.girdle === "fore");
  return ofArm && parts.every(({ part }) => FINGERS.has(part) || OTHERS.has(part)) && parts.some(({ part }) => FINGERS.has(part));
}

/** The skeleton of a track: all joints left or right where it is a hand without sides whose track's name says which. */
export function handOf(skeleton, track) {
  const said = new Set(wordsOf(track).map((word) => word.toLowerCase()).filter((word) => word === "left" || word === "right"));
  if (said.size !== 1 || skeleton.sides.some(Boolean) || !isHand(skeleton.names)) return skeleton;
  return { ...skeleton, sides: skeleton.names.map(() => (said.has("left") ? 1 : -1)) };
}
