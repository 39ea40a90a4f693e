// The middle of a trunk that is drawn as a box from hips to shoulders, so that a body hangs from its hips, as
// olift_fast/io/writers/trunk.py adds it.

import { kindsOf } from "./kinds.js";

/**
 * { skeleton, joints }: the skeleton and its joints (T·J·3), with a joint "hips" halfway between hips that an edge joins.
 *
 * Where left and right hip are joined to left and right shoulder, these edges become one, from there to the joint
 * between the shoulders, which is added as "chest" where no joint is next to both; edges from ears to shoulders become
 * one from the nose. Other skeletons stay as they are.
 */
export function withTrunk(skeleton, joints) {
  const kinds = kindsOf(skeleton.names), J = skeleton.names.length, T = joints.length / (3 * J);
  const [hips, shoulders, ears] = ["hip", "shoulder", "ear"].map((kind) => pairOf(skeleton, kinds, kind));
  const edges = new Edges(skeleton.edges);
  if (!hips || !edges.has(...hips) || !seenTogether(joints, T, J, hips)) return { skeleton, joints };
  const names = [...skeleton.names], added = [hips], middle = add("hips", hips, names, edges);
  if (shoulders && seenTogether(joints, T, J, shoulders) && edges.hasAll(hips, shoulders)) {
    const between = edges.nextTo(shoulders).filter((joint) => joint !== middle);
    let top = Math.min(...between);
    if (!between.length) {
      top = add("chest", shoulders, names, edges);
      added.push(shoulders);
    }
    edges.removeAll(hips, shoulders);
    edges.add(middle, top);
    const noses = kinds.flatMap((kind, joint) => (kind === "nose" ? [joint] : []));
    if (ears && noses.length === 1 && edges.hasAll(ears, shoulders)) {
      edges.removeAll(ears, shoulders);
      edges.add(noses[0], top);
    }
  }
  const wider = new Float32Array(T * names.length * 3);
  for (let frame = 0; frame < T; frame++) {
    const own = joints.subarray(frame * J * 3, (frame + 1) * J * 3), to = frame * names.length * 3;
    wider.set(own, to);
    added.forEach(([a, b], index) => {
      for (let axis = 0; axis < 3; axis++) {
        wider[to + 3 * (J + index) + axis] = Math.fround(own[3 * a + axis] + own[3 * b + axis]) / 2;
      }
    });
  }
  const sides = [...skeleton.sides, ...added.map(() => 0)];
  return { skeleton: { names, edges: edges.sorted(), sides }, joints: wider };
}

/** Edges without a direction. */
class Edges {
  constructor(edges) {
    this.near = new Map();
    for (const [a, b] of edges) this.add(a, b);
  }

  of(joint) { return this.near.get(joint) ?? new Set(); }
  has(a, b) { return this.of(a).has(b); }
  hasAll(some, others) { return some.every((joint, index) => this.has(joint, others[index])); }
  removeAll(some, others) { some.forEach((joint, index) => this.remove(joint, others[index])); }

  add(a, b) {
    for (const [one, other] of [[a, b], [b, a]]) this.near.set(one, this.of(one).add(other));
  }

  remove(a, b) {
    this.of(a).delete(b);
    this.of(b).delete(a);
  }

  /** The joints that an edge joins to each of the two. */
  nextTo([a, b]) { return [...this.of(a)].filter((joint) => this.has(b, joint)); }

  sorted() {
    const pairs = [...this.near].flatMap(([a, others]) => [...others].filter((b) => a < b).map((b) => [a, b]));
    return pairs.sort(([a, b], [c, d]) => a - c || b - d);
  }
}

/** Adds a joint halfway between two: it takes over the edges of those that are next to both. */
function add(name, pair, names, edges) {
  const joint = names.length;
  for (const other of edges.nextTo(pair)) {
    pair.forEach((one) => edges.remove(other, one));
    edges.add(other, joint);
  }
  edges.remove(...pair);
  pair.forEach((one) => edges.add(one, joint));
  while (names.includes(name)) name += "_";
  names.push(name);
  return joint;
}

/** Left and right joint of a kind, where there is just one of each; else null. */
function pairOf(skeleton, kinds, kind) {
  const [left, right] = [1, -1].map((side) => kinds.flatMap((own, joint) => (own === kind && skeleton.sides[joint] === side ? [joint] : [])));
  return left.length === 1 && right.length === 1 ? [left[0], right[0]] : null;
}

function seenTogether(joints, T, J, pair) {
  for (let frame = 0; frame < T; frame++) {
    if (pair.every((joint) => [0, 1, 2].every((axis) => isFinite(joints[3 * (frame * J + joint) + axis])))) return true;
  }
  return false;
}
