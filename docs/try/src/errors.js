/** What is wrong with a file or an option, in one line for its owner. */
export class InputError extends Error {}

/** "1 frame", "2 frames". */
export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

/** A shape as Python writes it: (3, 4), (3,), (). */
export function shapeText(shape) {
  return `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
}

/** A value as messages show it: short, in quotes where it is text. */
export function shown(value) {
  const text = typeof value === "string" ? `'${value}'` : JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
