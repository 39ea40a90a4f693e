// One track of a lifted result, as olift_fast/tracks/taking.py takes it.

import { hasJoint } from "./skeletal_motion.js";
import { subset } from "./skeleton.js";

/** What animations need of a result, of one track alone; joints that only other tracks have are left out. */
export function takeTrack({ keypoints, confidence, visible, centers, ...result }, track) {
  const { N, T, J, joints, scale, rotation, tracks } = result;
  if (N === 1) return result;
  const has = (n, joint) => {
    for (let frame = 0; frame < T; frame++) if (hasJoint(joints, 3 * ((n * T + frame) * J + joint), 1)) return true;
    return false;
  };
  const all = Array.from({ length: J }, (_, joint) => joint), others = Array.from({ length: N }, (_, n) => n).filter((n) => n !== track);
  let own = all.filter((joint) => has(track, joint));
  own = own.length ? all.filter((joint) => own.includes(joint) || !others.some((n) => has(n, joint))) : all;
  const taken = new Float32Array(T * own.length * 3);
  for (let frame = 0, to = 0; frame < T; frame++) for (const joint of own) for (let axis = 0; axis < 3; axis++) {
    taken[to++] = joints[3 * ((track * T + frame) * J + joint) + axis];
  }
  return {
    ...result, N: 1, J: own.length, joints: taken, scale: scale.slice(track, track + 1), tracks: [tracks[track]],
    rotation: rotation.slice(9 * track, 9 * track + 9), skeleton: subset(result.skeleton, own),
  };
}

/** The tracks that have a joint in any frame, by their places. */
export function tracksWithJoints({ N, T, J, joints }) {
  return Array.from({ length: N }, (_, track) => track).filter((track) => hasJoint(joints, 3 * track * T * J, T * J));
}
