// What the Python package knows by heart: words for body parts, built-in skeletons, colors. `make try` writes them down
// in tables.json, so that the page has no copy of its own.

/** The tables; empty until `useTables` was called. */
export const tables = {};

/** Takes the content of tables.json. */
export function useTables(content) {
  Object.assign(tables, content);
  tables.sets = Object.fromEntries(Object.entries(content.words.sets).map(([name, words]) => [name, new Set(words)]));
  const { words, sets } = tables;
  tables.vocabulary = new Set([
    ...["meaning", "girdles", "positions", "joints", "sides", "limbWords", "fins", "toes"].flatMap((name) => Object.keys(words[name])),
    ...sets.empty, ...sets.twist, ...sets.handles,
  ]);
  tables.longest = Math.max(...[...tables.vocabulary].map((word) => word.length));
}
