// Bones from joint names alone, as olift_fast/tracks/anatomy.py joins them: a tree over the parts that are there.

import { readNames } from "./joint_names.js";
import { tables } from "./tables.js";

/** Pairs of joints that bones join, from the trunk outward; [] where fewer than two names say anything. */
export function edgesByName(names) {
  const parts = readNames(names);
  return parts.filter(Boolean).length < 2 ? [] : new Body(parts).edges();
}

/** The order of two lists of numbers: that of their first difference. */
function compared(a, b) {
  const at = a.findIndex((value, index) => index < b.length && value !== b[index]);
  return at < 0 ? a.length - b.length : a[at] - b[at];
}

const least = (list, key) => list.reduce((best, one) => (best === null || compared(key(one), key(best)) < 0 ? one : best), null);
const sorted = (list, key) => [...list].sort((a, b) => compared(key(a), key(b)));
const last = (list) => list[list.length - 1];

/** Adds a value to the list that a map has for a key. */
function put(map, key, value) {
  if (!map.has(key)) map.set(key, []);
  map.get(key).push(value);
}

class Body {
  constructor(parts) {
    this.parts = new Map(parts.map((part, joint) => [joint, part]).filter(([, part]) => part));
    this.joined = [];
    const said = [...this.parts.values()], kinds = new Set(said.map((part) => part.part));
    const has = (...words) => words.some((word) => kinds.has(word));
    this.isInsect = said.some((part) => part.girdle === "mid" && part.part !== "shoulder") || has("coxa", "trochanter", "antenna");
    const crossed = said.some((part) => (part.girdle === "fore" && ["knee", "foot", "thigh", "shank"].includes(part.part))
      || (part.girdle === "hind" && ["shoulder", "elbow", "hand"].includes(part.part)));
    this.isAnimal = crossed || has("tail", "wing", "antenna", "horn", "fin", "flipper", "paw", "throat");
    // Landmarks of a face ("face-17") are no part of the trunk.
    this.hasLandmarks = this.of("face").length > 2;
    this.trunk = this.findTrunk();
  }

  edges() {
    this.chain(this.trunk);
    this.besideTheTrunk();
    const limbs = this.limbs(), roots = new Map();
    for (const { girdle, side, root, kind } of [...limbs].reverse()) if (kind === "leg") roots.set(`${girdle}|${side}`, root);
    const paired = ["fore|1", "fore|-1", "hind|1", "hind|-1"].every((key) => roots.has(key));
    const { neck } = tables.words.trunk;
    if (!this.isInsect && paired && !this.trunk.some((joint) => this.rank(joint) >= neck)) this.box(roots);
    else this.hang(limbs);
    this.features(roots);
    this.joinPieces();
    return this.joined;
  }

  join(a, b) {
    if (a !== b && !this.joined.some(([c, d]) => (a === c && b === d) || (a === d && b === c))) this.joined.push([a, b]);
  }

  chain(joints) {
    for (let i = 1; i < joints.length; i++) this.join(joints[i - 1], joints[i]);
  }

  part(joint) { return this.parts.get(joint); }
  rank(joint) { return this.part(joint).rank; }
  order(joint) { return this.part(joint).order; }
  of(part) { return [...this.parts.keys()].filter((joint) => this.part(joint).part === part); }
  trunkWhere(test) { return this.trunk.filter((joint) => test(this.rank(joint))); }

  // The trunk

  /** The joints of the chain from nose to tail, in its order. */
  findTrunk() {
    const { trunk, middle, end } = tables.words, { trunkParts, limbParts } = tables.sets;
    const said = [...this.parts.values()];
    // The bones of a rig are numbered from the pelvis upward; keypoints, where the nose is one, from the head.
    const hasRear = said.some(({ part, rank }) => trunkParts.has(part) && rank >= trunk.pelvis && rank < trunk.tail);
    const fromPelvis = hasRear && !this.of("nose").length;
    const necks = said.filter(({ part }) => part === "neck").map(({ order }) => order);
    const fromHead = this.of("nose").length > 0
      || (necks.length > 0 && Math.min(...necks) < middle && Math.max(...necks) >= end);
    // "back_end" is the rear of a back, unless limbs have ends too: then it is a bone's.
    const bonesEnd = said.some(({ part, order }) => limbParts.has(part) && order >= end);
    const place = (joint) => {
      const { part, rank, order } = this.part(joint), position = Math.floor(order / 100), number = order - 100 * position;
      // Numbers and positions of a neck count from the trunk, but not those of keypoints.
      if (part === "neck") return [rank, fromHead ? order : -order, 0];
      if (["spine", "chest", "abdomen"].includes(part) && fromPelvis) {
        return [part === "spine" ? trunk.spine : rank, position, -number, rank];
      }
      if (part === "spine") return [trunk.spine, position, rank, number];
      return [rank, part === "nose" ? -order : order, 0];
    };
    const chain = [...this.parts.keys()].filter((joint) => trunkParts.has(this.part(joint).part));
    return sorted(chain.filter((joint) => this.onTheChain(this.part(joint), bonesEnd)), place);
  }

  onTheChain({ part, side, order }, bonesEnd) {
    if (part === "face" && this.hasLandmarks) return false;
    // The root of a rig is a joint of its own on the ground, or, where no other is there, the pelvis.
    if (part === "root") return !this.of("pelvis").length;
    const endsWell = ["nose", "neck", "throat", "tail"].includes(part) || (part === "spine" && !bonesEnd);
    return order >= 0 && !side && (order < tables.words.end || endsWell);
  }

  /** Ends of bones and twist bones of the trunk, the root, and what is doubled left and right. */
  besideTheTrunk() {
    const { pelvis, tail, neck } = tables.words.trunk;
    for (const [joint, part] of this.parts) {
      const isLandmark = part.part === "face" && this.hasLandmarks;
      if (!tables.sets.trunkParts.has(part.part) || this.trunk.includes(joint) || isLandmark) continue;
      let alike = this.trunk.filter((other) => this.part(other).part === part.part);
      if (part.part === "root") {
        alike = this.trunkWhere((rank) => rank >= pelvis && rank < tail);
      } else if (part.side && !alike.length && part.rank > neck) {
        const girdle = part.rank >= pelvis ? this.rear() : this.front();
        alike = girdle === null ? [] : [girdle];
      }
      const host = alike.length ? last(alike) : this.nearest(part.rank);
      if (host === null) this.trunk.push(joint);
      else this.join(host, joint);
    }
  }

  /** The joint of the trunk next to this rank; of several, the middle one. */
  nearest(rank) {
    const { middle } = tables.words;
    return least(this.trunk, (joint) => [Math.abs(this.rank(joint) - rank), Math.abs(this.order(joint) - middle), joint]);
  }

  /** Where arms, forelegs and wings hang. */
  front() {
    const { neck, chest, spine, pelvis, body } = tables.words.trunk;
    const trunk = this.trunkWhere((rank) => rank > neck + 2 && rank < pelvis);
    const necks = this.trunkWhere((rank) => rank >= neck && rank <= neck + 2);
    if (trunk.length) {
      // Of a person with a single joint between neck and hips it is far below the shoulders; a "torso" is a bone.
      const low = this.trunk.some((joint) => this.rank(joint) >= pelvis) ? [spine] : [chest, spine];
      const alone = trunk.length === 1 && low.includes(this.rank(trunk[0]));
      const isPerson = this.of("head").length > 0 && !this.isAnimal;
      return alone && necks.length && isPerson ? last(necks) : trunk[0];
    }
    const bodies = this.of("pelvis");
    if (bodies.length && bodies.every((joint) => this.rank(joint) === body)) return bodies[0];
    const before = this.trunkWhere((rank) => rank < chest);
    return before.length ? last(before) : this.nearest(chest);
  }

  /** Where legs hang. */
  rear() {
    const { chest, pelvis: from, root, tail: tails } = tables.words.trunk;
    if (this.isInsect) return this.front();
    const pelvis = this.trunkWhere((rank) => rank >= from && rank <= root);
    const tail = this.trunkWhere((rank) => rank >= tails);
    const back = this.trunkWhere((rank) => rank > chest && rank < from);
    if (pelvis.length || back.length) return last(pelvis.length ? pelvis : back);
    return tail.length ? tail[0] : this.nearest(from);
  }

  // Limbs

  /** Join the joints of each limb: [{ girdle, side, root, kind }], root its first joint. */
  limbs() {
    const found = new Map(), digits = tables.words.digits;
    for (const [joint, part] of this.parts) {
      if (!tables.sets.limbParts.has(part.part)) continue;
      const kind = ["wing", "fin", "flipper"].includes(part.part) ? part.part : "leg";
      const index = digits.includes(part.part) || kind === "wing" ? 0 : part.number;
      put(found, JSON.stringify([part.girdle, part.side, index, kind]), joint);
    }
    this.wingsOnShoulders(found);
    return [...found].map(([key, joints]) => {
      const [girdle, side, , kind] = JSON.parse(key);
      return { girdle, side, root: kind === "wing" ? this.wing(joints) : this.limb(joints), kind };
    });
  }

  /** Join the limbs to the trunk; without one, to the first of them. */
  hang(limbs) {
    for (const { girdle, side, root, kind } of limbs) {
      let host = girdle === "hind" ? this.rear() : this.front();
      if (kind === "fin" && !side) {
        host = girdle === "hind" && this.trunk.length ? last(this.trunk) : this.nearest(tables.words.trunk.spine);
      }
      this.join(host === null ? limbs[0].root : host, root);
    }
  }

  /** A wing whose side has an arm is the rest of it: a bird's goes on at the shoulder, a bat's is its fingers. */
  wingsOnShoulders(limbs) {
    const { limb, end } = tables.words;
    for (const [key, joints] of [...limbs]) {
      const [girdle, side, , kind] = JSON.parse(key);
      const arm = limbs.get(JSON.stringify([girdle, side, 0, "leg"])) ?? [];
      if (kind !== "wing" || !arm.length) continue;
      const tip = joints.every((joint) => this.order(joint) >= end);
      if (tip || Math.max(...arm.map((joint) => this.rank(joint))) <= 10) {
        arm.push(...joints);
        limbs.delete(key);
      } else if (arm.some((joint) => this.rank(joint) === limb.wrist)) {
        if (new Set(joints.map((joint) => this.part(joint).number)).size < 2) continue;
        const hand = arm.reduce((best, joint) => (this.rank(joint) > this.rank(best) ? joint : best));
        limbs.delete(key);
        this.join(hand, this.wing(joints, hand));
      }
    }
  }

  /** Join one limb; its first joint. */
  limb(given) {
    const { limb, digits: names, middle } = tables.words;
    const joints = sorted(given, (joint) => [this.rank(joint), this.order(joint)]);
    let digits = joints.filter((joint) => names.includes(this.part(joint).part));
    const ankle = joints.find((joint) => this.rank(joint) === limb.wrist);
    const beyond = joints.some((joint) => this.rank(joint) > limb.palm);
    const heels = ankle !== undefined && beyond ? joints.filter((joint) => this.rank(joint) === limb.heel) : [];
    let twists = joints.filter((joint) => this.order(joint) < 0);
    let main = joints.filter((joint) => ![...digits, ...heels, ...twists].includes(joint));
    // "FingerBase" carries the fingers.
    const bases = digits.filter((joint) => this.part(joint).part === "finger" && this.order(joint) < middle);
    if (bases.length < digits.length) {
      main = [...main, ...bases];
      digits = digits.filter((joint) => !bases.includes(joint));
    }
    if (!main.length) [main, twists] = [twists.slice(0, 1), twists.slice(1)];
    this.chain(main);
    for (const heel of heels) this.join(ankle, heel);
    for (const twist of twists) {
      const alike = main.find((joint) => this.part(joint).part === this.part(twist).part);
      this.join(alike ?? last(main), twist);
    }
    return this.digits(main, digits);
  }

  /** Join fingers or toes to the limb; the limb's first joint. */
  digits(main, digits) {
    const { limb, middle } = tables.words, rays = new Map();
    const key = (joint) => `${this.part(joint).part}|${this.part(joint).number}`;
    for (const joint of digits) put(rays, key(joint), joint);
    for (const [name, ray] of rays) {
      rays.set(name, sorted(ray, (joint) => [this.order(joint)]));
      this.chain(rays.get(name));
    }
    const starts = sorted([...rays.values()].map((ray) => ray[0]), (joint) => [this.order(joint), joint]);
    const hand = main.filter((joint) => this.rank(joint) >= limb.palm && this.rank(joint) < limb.digit);
    let carrier = null;
    if (starts.length > 2 && this.order(starts[0]) < this.order(starts[1]) && this.part(starts[0]).part !== "thumb") {
      // One finger that begins before the others carries them: its first bone is the hand's.
      carrier = starts[0];
    }
    const wrist = main.filter((joint) => this.rank(joint) === limb.wrist && this.rank(last(main)) === limb.palm);
    for (const first of starts) {
      const long = rays.get(key(first)).length > 3 && this.order(first) === middle;
      if (carrier !== null && first !== carrier) this.join(carrier, first);
      // Metacarpals begin at the wrist; the palm is a point of its own.
      else if (wrist.length && hand.length && rays.size > 1 && long) this.join(wrist[0], first);
      else if (this.part(first).part === "thumb" && hand.length) this.join(hand[0], first);
      else if (main.length) this.join(last(main), first);
      else if (first !== starts[0]) this.join(starts[0], first);
    }
    return main.length ? main[0] : starts[0];
  }

  /** Join one wing's rays, at the hand or at the first of them; its first joint. */
  wing(joints, hand = null) {
    const rays = new Map();
    for (const joint of sorted(joints, (joint) => [this.order(joint)])) put(rays, this.part(joint).number, joint);
    const first = [...rays.values()][0][0];
    for (const ray of rays.values()) {
      this.join(hand ?? first, ray[0]);
      this.chain(ray);
    }
    return first;
  }

  /** No trunk and no neck: shoulders, hips, shoulder to hip, and ear or nose to shoulder, as COCO joins them. */
  box(roots) {
    for (const girdle of ["fore", "hind"]) this.join(roots.get(`${girdle}|1`), roots.get(`${girdle}|-1`));
    for (const side of [1, -1]) {
      this.join(roots.get(`fore|${side}`), roots.get(`hind|${side}`));
      const ears = sorted(this.of("ear").filter((ear) => this.part(ear).side === side), (ear) => [this.order(ear)]);
      const above = ears[0] ?? last(this.trunk) ?? this.of("eye")[0];
      if (above !== undefined) this.join(above, roots.get(`fore|${side}`));
    }
    const eyes = this.of("eye");
    if (eyes.length === 2) this.join(...eyes);
  }

  // The head

  /** Join eyes, ears, jaws, horns to the head, or to what stands for it, and what is on the trunk's sides. */
  features(roots) {
    const { trunkParts, limbParts } = tables.sets, groups = new Map();
    for (const [joint, part] of this.parts) {
      const isLandmark = part.part === "face" && this.hasLandmarks;
      if (!isLandmark && (trunkParts.has(part.part) || limbParts.has(part.part))) continue;
      put(groups, JSON.stringify([part.part, part.side, part.number]), joint);
    }
    const kindOf = ([key]) => JSON.parse(key);
    const ordered = sorted([...groups], (group) => [+(kindOf(group)[0] !== "eye"), +(kindOf(group)[0] !== "ear")]);
    for (const group of ordered) {
      const [kind, side] = kindOf(group), joints = group[1];
      joints.sort((a, b) => this.order(a) - this.order(b));
      this.chain(joints);
      const onTrunk = kind === "side" || kind === "belly";
      let host = onTrunk ? this.nearest(tables.words.trunk.spine) : this.head(kind, side, groups);
      if (host === null && roots.size) host = [...roots.values()][0];
      if (host !== null) this.join(host, joints[0]);
    }
  }

  head(part, side, groups) {
    const { head: headRank, neck: neckRank, nose: noseRank } = tables.words.trunk;
    const first = (test) => this.trunkWhere(test)[0] ?? null;
    const head = first((rank) => rank === headRank), nose = first((rank) => rank < headRank);
    const neck = first((rank) => rank === neckRank);
    const there = new Set(this.trunk.map((joint) => this.part(joint).part));
    const isFull = neck !== null && there.has("spine") && there.has("pelvis");
    if (head !== null) return part === "eye" && nose !== null && this.part(nose).part === "nose" ? nose : head;
    const eyes = groups.get(JSON.stringify(["eye", side, 0]));
    if (part === "ear" && !isFull && eyes) return last(eyes);
    if (neck !== null && (isFull || nose === null || part === "crown" || part === "ear")) return neck;
    return nose ?? this.nearest(noseRank);
  }

  /** What has found no place hangs on the trunk, or on the first joint where there is none. */
  joinPieces() {
    const joints = [...this.parts.keys()], piece = new Map(joints.map((joint) => [joint, joint]));
    for (const [a, b] of this.joined) {
      const old = piece.get(a), fresh = piece.get(b);
      for (const joint of joints) if (piece.get(joint) === old) piece.set(joint, fresh);
    }
    const hub = this.nearest(tables.words.trunk.spine) ?? joints[0];
    for (const joint of joints) {
      const label = piece.get(joint);
      if (label !== piece.get(hub) && joint === joints.find((other) => piece.get(other) === label)) this.join(hub, joint);
    }
  }
}
