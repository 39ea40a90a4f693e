// The bones of a skeleton as trees of joints, as olift_fast/io/writers/bone_tree.py grows them.

import { kindsOf } from "./kinds.js";

/** What a body hangs from, where the skeleton has such a joint. */
const ROOTS = new Set(["pelvis", "root"]);

/**
 * { order, parents, children, roots, bones }: trees of joints, one for each piece of a skeleton.
 *
 * `order` has the joints, each after its parent, tree by tree. `parents` is a Map to each one's parent, null for roots;
 * `children` one to lists, that with the most joints below it first. `bones` are pairs of parent and child, in the order
 * of the children. An edge that closes a loop is in no tree; nor is a joint that is not `known` (J).
 */
export function boneTree(skeleton, known) {
  const near = new Map(skeleton.names.flatMap((_, joint) => (known[joint] ? [[joint, []]] : [])));
  for (const [a, b] of skeleton.edges) if (known[a] && known[b]) {
    near.get(a).push(b);
    near.get(b).push(a);
  }
  const order = [], parents = new Map(), kinds = kindsOf(skeleton.names);
  for (const joint of near.keys()) {
    if (!parents.has(joint)) grow(rootOf(skeleton, kinds, reached(joint, near), near), near, order, parents);
  }
  const found = new Map(order.map((joint) => [joint, []])), below = new Map(order.map((joint) => [joint, 1]));
  for (const joint of order) if (parents.get(joint) !== null) found.get(parents.get(joint)).push(joint);
  for (const joint of [...order].reverse()) {
    const parent = parents.get(joint);
    if (parent !== null) below.set(parent, below.get(parent) + below.get(joint));
  }
  const children = new Map([...found].map(([joint, own]) => [joint, own.sort((a, b) => below.get(b) - below.get(a))]));
  const isRoot = (joint) => parents.get(joint) === null;
  const bones = order.filter((joint) => !isRoot(joint)).map((joint) => [parents.get(joint), joint]);
  return { order, parents, children, roots: order.filter(isRoot), bones };
}

/** Adds the shortest paths from a root to all joints of its piece. */
function grow(root, near, order, parents) {
  const waiting = [root];
  parents.set(root, null);
  for (const joint of waiting) {
    order.push(joint);
    for (const other of near.get(joint)) if (!parents.has(other)) {
      parents.set(other, joint);
      waiting.push(other);
    }
  }
}

/** A joint that is the pelvis or is called root, else the one with the fewest edges to all others. */
function rootOf(skeleton, kinds, piece, near) {
  const joints = [...piece.keys()].sort((a, b) => a - b);
  const named = joints.find((joint) => ROOTS.has(kinds[joint]) && !skeleton.sides[joint]);
  if (named !== undefined) return named;
  let best = null, fewest = Infinity;
  for (const joint of joints) {
    const edges = [...reached(joint, near).values()].reduce((sum, away) => sum + away, 0);
    if (edges < fewest) [best, fewest] = [joint, edges];
  }
  return best;
}

/** All joints that edges lead to, and how many edges away they are. */
function reached(joint, near) {
  const away = new Map([[joint, 0]]), waiting = [joint];
  for (const here of waiting) for (const other of near.get(here)) if (!away.has(other)) {
    away.set(other, away.get(here) + 1);
    waiting.push(other);
  }
  return away;
}
