// The axes and the size that animation programs expect, as olift_fast/io/writers/axes.py has them.

/**
 * Joints (T·J·3) of one track with x to the right, y up and z toward the camera, in units of which a meter has `size`.
 *
 * The page's results are in the camera's frame: y down and z away from it.
 */
export function yUp({ T, J, joints }, track, size = 1) {
  const from = track * T * J * 3, turned = joints.slice(from, from + T * J * 3), divisor = Math.fround(size);
  for (let at = 0; at < turned.length; at++) turned[at] = (at % 3 ? -turned[at] : turned[at]) / divisor;
  return turned;
}

/** How many pixels animation files show as one meter, of the scales of tracks: pixels are shown in the model's unit. */
export function unitsInMeter(scale) {
  const known = scale.filter((value) => isFinite(value) && value > 0).sort(), half = known.length >> 1;
  if (!known.length) return 1;
  return known.length % 2 ? known[half] : Math.fround(Math.fround(known[half - 1] + known[half]) / 2);
}
