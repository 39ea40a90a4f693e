// When the frames of a result are, and the same frames evenly spaced, as olift_fast/io/writers/timing.py finds them.

import { InputError } from "./errors.js";

/** Beyond it, numbers that are far apart are pictures, not a motion with gaps. */
const MOST_FILLED = 10;

/** (T) the frames' numbers in the video; 0 … T-1 where they are not known. */
export function frameNumbers({ T, frames }) {
  return frames ?? Array.from({ length: T }, (_, frame) => frame);
}

/**
 * { rate, length, places }: evenly spaced frames that hold those of a result with `fps`; numbers that are skipped become
 * empty frames. `rate` is how many there are a second, `places` (T) which of them each frame of the result is.
 *
 * Throws an InputError where so many are skipped that these are pictures far apart.
 */
export function timeline(result) {
  const numbers = frameNumbers(result);
  let step = 0;
  for (let frame = 1; frame < numbers.length; frame++) step = divisor(numbers[frame] - numbers[frame - 1], step);
  step ||= 1;
  const places = numbers.map((number) => (number - numbers[0]) / step), last = numbers[numbers.length - 1];
  const length = places[places.length - 1] + 1;
  if (length > MOST_FILLED * Math.max(numbers.length, 100)) {
    throw new InputError(`needs frames at even times, got ${numbers.length} frames with numbers from ${numbers[0]} to ${last}`);
  }
  return { rate: result.fps / step, length, places };
}

/** Values (T·size) at their places in (length·size), and NaN elsewhere. */
export function spread(values, size, { length, places }) {
  const filled = new Float32Array(length * size).fill(NaN);
  places.forEach((place, frame) => filled.set(values.subarray(frame * size, (frame + 1) * size), place * size));
  return filled;
}

/** The greatest common divisor. */
function divisor(a, b) {
  while (b) [a, b] = [b, a % b];
  return a;
}
