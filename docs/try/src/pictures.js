// What the names of pictures tell of frames and recordings, as olift_fast/io/pictures.py reads them.

const NUMBERED = /^(.*?)(\d{1,18})(\D*)$/s;
const CAMERAS = /^(?:img|dsc\w?|dji|pxl|gopr|gh\d|mvi|photo|foto|picture|screenshot|screen shot|whatsapp)(?![a-z])/i;

/** The last number in a file's name without its ending; null if there is none. */
export function lastNumber(name) {
  const digits = name.split(/[\\/]/).pop().replace(/\.[^.]*$/, "").match(/\d+/g);
  return digits ? Number(digits[digits.length - 1]) : null;
}

/** A file's name with # for its last number: the same for all frames of a recording. */
export function nameKind(name) {
  return name.replace(/(?<!\d)\d+(?!\d)(?=\D*$)/, "#");
}

/** A picture's name without Roboflow's hash: frame_0001_jpg.rf.4a5b6c.jpg becomes frame_0001.jpg. */
export function withoutHash(name) {
  return name.replace(/[_.](?:jpe?g|png|bmp|webp|tiff?)\.rf\.\w+/gi, "");
}

/** The recording and the frame number of each picture; null if the pictures are stills. */
export function framesOf(names, hasIds = false) {
  const parts = names.map((name) => NUMBERED.exec(stem(name)));
  if (parts.includes(null)) return null;
  const groups = new Map();
  for (const [, before, digits, after] of parts) {
    const rest = before + after;
    groups.set(rest, [...groups.get(rest) ?? [], digits]);
  }
  for (const [rest, digits] of groups) {
    const numbers = [...new Set(digits.map(Number))].sort((a, b) => a - b);
    if (groups.size > 1 && numbers.length < 2) return null;
    if (!areFrameNumbers(numbers, hasIds, rest, isPadded(digits))) return null;
  }
  return parts.map(([, before, digits, after]) => ({ recording: groups.size > 1 ? before + after : "", frame: Number(digits) }));
}

/** Whether these numbers are those of frames. The names of their pictures are otherwise the same (`rest`). */
function areFrameNumbers(numbers, hasIds, rest, padded) {
  const count = numbers.length, span = numbers[count - 1] - numbers[0], name = rest.split(/[\\/]/).pop();
  if (span >= 1000 * (count + 10)) return false;
  const steps = new Set(numbers.slice(1).map((number, place) => number - numbers[place]));
  if (hasIds || (steps.size === 1 && count > 2) || span < 2 * count + 10 || (!name && !padded)) return true;
  // Numbers of frames count from near 0, or have leading zeros. A time of day has neither; a camera's photos may.
  return (padded || numbers[0] <= span) && span < 50 * (count + 10) && !CAMERAS.test(name);
}

function isPadded(digits) {
  return new Set(digits.map((number) => number.length)).size === 1 && digits.some((number) => number[0] === "0" && number.length > 1);
}

/** A file's name with its folders, which tell recordings apart, and without its ending. */
function stem(name) {
  const whole = withoutHash(name), dot = whole.lastIndexOf("."), ending = whole.slice(dot + 1);
  return dot >= 0 && /^\w{0,5}$/.test(ending) && !/^\d+$/.test(ending) ? whole.slice(0, dot) : whole;
}
