// Skeletons: built-in ones by their joints, edges by names where a file has none, and who is near whom.

import { edgesByName } from "./anatomy.js";
import { InputError } from "./errors.js";
import { inferSides } from "./sides.js";
import { tables } from "./tables.js";

/** A name in lower case without separators: what names of joints are compared by. */
export const plainName = (name) => name.replace(/[^\p{L}\p{N}]+/gu, "").toLowerCase();

/**
 * A skeleton { names, edges, sides, inferred, name }; `inferred` tells whether the edges were inferred.
 *
 * Throws an InputError for names that come twice and edges that leave the skeleton.
 */
export function makeSkeleton(names, edges = [], name = null) {
  const twice = names.find((one, place) => names.indexOf(one) < place);
  if (twice !== undefined) throw new InputError(`joint names must be distinct, got '${twice}' more than once`);
  const seen = new Map();
  for (const edge of edges) {
    if (edge.length !== 2) throw new InputError(`an edge must join two joints, got ${JSON.stringify(edge)}`);
    const [a, b] = edge.map(Number);
    const inside = (joint) => Number.isInteger(joint) && joint >= 0 && joint < names.length;
    if (!inside(a) || !inside(b)) throw new InputError(`edge (${a}, ${b}) must join joints 0 … ${names.length - 1}`);
    if (a === b) throw new InputError(`edge (${a}, ${b}) joins '${names[a]}' to itself`);
    const key = `${Math.min(a, b)}-${Math.max(a, b)}`;
    if (!seen.has(key)) seen.set(key, [a, b]);
  }
  return { names, edges: [...seen.values()], sides: inferSides(names), inferred: false, name };
}

/** The skeleton of what a reader returned: the file's edges, its convention's, or those of a built-in skeleton. */
export function skeletonOf({ names, edges = [], rig = null, J }) {
  const convention = rig && builtIn(rig);
  const own = names ?? convention?.names ?? Array.from({ length: J }, (_, joint) => `keypoint_${joint}`);
  if (own.length !== J) throw new InputError(`${J} joints a frame but ${own.length} joint names`);
  const named = makeSkeleton(own, edges);
  return named.edges.length ? named : convention ?? findBuiltIn(own) ?? named;
}

/** The built-in skeleton of a name. */
export function builtIn(name) {
  const { names, edges, sides } = tables.rigs[name];
  return { names, edges, sides, inferred: false, name };
}

/** The built-in skeleton with exactly these joints, whatever their order, case and separators, or null. */
export function findBuiltIn(names) {
  const key = (list) => list.map(plainName).sort().join("/"), wanted = key(names);
  const name = Object.keys(tables.rigs).find((rig) => key(tables.rigs[rig].names) === wanted);
  if (name === undefined || new Set(names.map(plainName)).size < names.length) return null;
  const rig = builtIn(name), place = new Map(names.map((one, index) => [plainName(one), index]));
  const of = rig.names.map((one) => place.get(plainName(one)));
  const sides = names.map((one) => rig.sides[rig.names.findIndex((other) => plainName(other) === plainName(one))]);
  return { names, edges: rig.edges.map(([a, b]) => [of[a], of[b]]), sides, inferred: false, name };
}

/**
 * Edges from names, where they join nine tenths of the joints of each kind of animal, and a note of it.
 *
 * `seen` is a list of bool (J) for each track: which joints it ever shows.
 */
export function withInferredEdges(skeleton, seen) {
  if (skeleton.edges.length) return { skeleton, note: null };
  const edges = [];
  let told = 0;
  for (const joints of kindsOfAnimals(seen, skeleton.names.length)) {
    const found = edgesByName(joints.map((joint) => skeleton.names[joint])).map(([a, b]) => [joints[a], joints[b]]);
    const ends = new Set(found.flat()).size;
    told += ends;
    if (ends >= tables.enoughJoined * joints.length) edges.push(...found);
  }
  if (edges.length) return { skeleton: { ...skeleton, edges, inferred: true }, note: `edges: ${edges.length} inferred from names` };
  const why = told ? `the names join ${told} of ${skeleton.names.length} joints, too few to go by` : "the names tell no bones";
  return { skeleton, note: `edges: none inferred: ${why}` };
}

/** For each kind of animal, the joints that its tracks have together; a single kind has all of the joints. */
function kindsOfAnimals(seen, J) {
  const all = Array.from({ length: J }, (_, joint) => joint), left = new Set(all.filter((joint) => seen.some((has) => has[joint])));
  const kinds = [];
  while (left.size) {
    let kind = new Set([[...left][0]]), before = 0;
    while (kind.size > before) {
      before = kind.size;
      const tracks = seen.filter((has) => [...kind].some((joint) => has[joint]));
      kind = new Set(all.filter((joint) => tracks.some((has) => has[joint])));
    }
    kind.forEach((joint) => left.delete(joint));
    kinds.push([...kind]);
  }
  return kinds.length > 1 ? kinds : [all];
}

/** The joints of a skeleton with these indices, and the edges between them. */
export function subset(skeleton, joints) {
  const place = new Map(joints.map((joint, index) => [joint, index]));
  const edges = skeleton.edges.filter(([a, b]) => place.has(a) && place.has(b)).map(([a, b]) => [place.get(a), place.get(b)]);
  return { ...skeleton, names: joints.map((joint) => skeleton.names[joint]), edges, sides: joints.map((joint) => skeleton.sides[joint]) };
}

/** (J · J) 1 where two joints are at most `hops` edges apart, on the diagonal too; 1 everywhere without edges. */
export function graphOf({ names, edges }, hops) {
  const J = names.length;
  if (!edges.length) return new Uint8Array(J * J).fill(1);
  const near = Array.from({ length: J }, (_, joint) => new Set([joint]));
  for (const [a, b] of edges) {
    near[a].add(b);
    near[b].add(a);
  }
  const graph = new Uint8Array(J * J);
  for (let joint = 0; joint < J; joint++) {
    let reached = new Set([joint]);
    for (let hop = 0; hop < hops; hop++) reached = new Set([...reached].flatMap((other) => [...near[other]]));
    for (const other of reached) graph[joint * J + other] = 1;
  }
  return graph;
}
