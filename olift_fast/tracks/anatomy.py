"""Bones from joint names alone: an anatomical template, restricted to the parts that the names have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from olift_fast.tracks.body_parts import (
    BODY,
    CHEST,
    DIGIT,
    DIGITS,
    END,
    HEAD,
    HEEL,
    LIMB_PARTS,
    MIDDLE,
    NECK,
    NOSE,
    PALM,
    PELVIS,
    ROOT,
    SPINE,
    TAIL,
    TRUNK_PARTS,
    WRIST,
    Part,
)
from olift_fast.tracks.joint_names import read_names, sides_by_name

__all__ = ["Part", "edges_by_name", "read_names", "sides_by_name"]


def edges_by_name(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Bones between the joints with anatomical names, as pairs of joint indices, from the trunk outward.

    The trunk is one chain from nose to tail. Each limb is a chain, joined to the front or the rear of the trunk.
    Fingers are joined to the hand, eyes and ears to the head. A missing part is bridged: a knee without a hip is joined
    to the trunk. The result is one tree over all joints with anatomical names. Without any trunk, shoulders and hips
    make the loop that COCO draws. () if fewer than two names are anatomical.
    """
    parts = read_names(names)
    if sum(part is not None for part in parts) < 2:
        return ()
    return tuple(_Body(parts).edges())


class _Body:
    """The joints with anatomical names, sorted into trunk, limbs and parts of the head."""

    def __init__(self, parts: Sequence[Part | None]) -> None:
        self.parts = {index: part for index, part in enumerate(parts) if part is not None}
        self.joined: list[tuple[int, int]] = []
        kinds = {part.part for part in self.parts.values()}
        six_legs = any(part.girdle == "mid" and part.part != "shoulder" for part in self.parts.values())
        self.is_insect = six_legs or bool(kinds & {"coxa", "trochanter", "antenna"})
        animal = {"tail", "wing", "antenna", "horn", "fin", "flipper", "paw", "throat"}
        crossed = any(
            (part.part in ("knee", "foot", "thigh", "shank") and part.girdle == "fore")
            or (part.part in ("shoulder", "elbow", "hand") and part.girdle == "hind")
            for part in self.parts.values()
        )
        self.is_animal = crossed or bool(kinds & animal)
        # Landmarks of a face ("face-17") are not part of the trunk.
        self.has_landmarks = len(self._of("face")) > 2
        self.trunk = self._trunk()

    def edges(self) -> list[tuple[int, int]]:
        for a, b in pairwise(self.trunk):
            self._join(a, b)
        self._beside_the_trunk()
        limbs = self._limbs()
        roots = {(girdle, side): root for girdle, side, root, kind in reversed(limbs) if kind == "leg"}
        is_box = (
            not self.is_insect
            and all((girdle, side) in roots for girdle in ("fore", "hind") for side in (1, -1))
            and not any(self._rank(joint) >= NECK for joint in self.trunk)
        )
        if is_box:
            self._box(roots)
        else:
            self._hang(limbs)
        self._features(roots)
        self._join_pieces()
        return self.joined

    def _join(self, a: int, b: int) -> None:
        if a != b and (a, b) not in self.joined and (b, a) not in self.joined:
            self.joined.append((a, b))

    def _rank(self, joint: int) -> int:
        return self.parts[joint].rank

    def _of(self, part: str) -> list[int]:
        return [joint for joint, said in self.parts.items() if said.part == part]

    # The trunk

    def _trunk(self) -> list[int]:
        """The joints of the chain from nose to tail, in order."""
        ranks = {part.rank for part in self.parts.values() if part.part in TRUNK_PARTS}
        # Bones of an animated rig are numbered from the pelvis upward; keypoints with a nose, from the head.
        from_pelvis = any(PELVIS <= rank < TAIL for rank in ranks) and not self._of("nose")
        necks = [part.order for part in self.parts.values() if part.part == "neck"]
        from_head = bool(self._of("nose")) or (min(necks, default=MIDDLE) < MIDDLE and max(necks) >= END)
        # "back_end" is the rear of a back, unless limbs have ends too: then it is the end of a bone.
        bones_end = any(part.order >= END for part in self.parts.values() if part.part in LIMB_PARTS)

        def place(joint: int) -> tuple[float, ...]:
            part = self.parts[joint]
            position, number = divmod(part.order, 100)
            if part.part == "neck":
                # Numbers and positions of a neck count from the trunk, except among keypoints.
                return part.rank, part.order if from_head else -part.order, 0
            if part.part in ("spine", "chest", "abdomen") and from_pelvis:
                return (SPINE if part.part == "spine" else part.rank), position, -number, part.rank
            if part.part == "spine":
                return SPINE, position, part.rank, number
            return part.rank, -part.order if part.part == "nose" else part.order, 0

        chain = [
            joint
            for joint, part in self.parts.items()
            if part.part in TRUNK_PARTS and self._on_the_chain(part, bones_end)
        ]
        return sorted(chain, key=place)

    def _on_the_chain(self, part: Part, bones_end: bool) -> bool:
        if part.part == "face" and self.has_landmarks:
            return False
        if part.part == "root":
            # An animated rig's root is a joint on the ground. Without a pelvis it takes the pelvis's place.
            return not self._of("pelvis")
        ends_well = part.part in ("nose", "neck", "throat", "tail") or (part.part == "spine" and not bones_end)
        return part.order >= 0 and not part.side and (part.order < END or ends_well)

    def _beside_the_trunk(self) -> None:
        """Joins ends of bones and twist bones of the trunk, the root, and joints that come left and right."""
        for joint, part in self.parts.items():
            if part.part not in TRUNK_PARTS or joint in self.trunk or (part.part == "face" and self.has_landmarks):
                continue
            alike = [other for other in self.trunk if self.parts[other].part == part.part]
            if part.part == "root":
                alike = [other for other in self.trunk if PELVIS <= self._rank(other) < TAIL]
            elif part.side and not alike and part.rank > NECK:
                girdle = self._rear() if part.rank >= PELVIS else self._front()
                alike = [] if girdle is None else [girdle]
            host = alike[-1] if alike else self._nearest(part.rank)
            if host is None:
                self.trunk.append(joint)
            else:
                self._join(host, joint)

    def _nearest(self, rank: int) -> int | None:
        """The joint of the trunk nearest to this rank; of several, the middle one."""

        def distance(joint: int) -> tuple[float, ...]:
            return abs(self._rank(joint) - rank), abs(self.parts[joint].order - MIDDLE), joint

        return min(self.trunk, key=distance, default=None)

    def _front(self) -> int | None:
        """The trunk's joint for arms, forelegs and wings."""
        trunk = [joint for joint in self.trunk if NECK + 2 < self._rank(joint) < PELVIS]
        necks = [joint for joint in self.trunk if NECK <= self._rank(joint) <= NECK + 2]
        if trunk:
            # A person's only joint between neck and hips is far below the shoulders, unless it is a bone, a "torso".
            low = (SPINE,) if any(self._rank(joint) >= PELVIS for joint in self.trunk) else (CHEST, SPINE)
            alone = len(trunk) == 1 and self._rank(trunk[0]) in low
            is_person = bool(self._of("head")) and not self.is_animal
            return necks[-1] if alone and necks and is_person else trunk[0]
        bodies = self._of("pelvis")
        if bodies and all(self._rank(joint) == BODY for joint in bodies):
            return bodies[0]
        before = [joint for joint in self.trunk if self._rank(joint) < CHEST]
        return before[-1] if before else self._nearest(CHEST)

    def _rear(self) -> int | None:
        """The trunk's joint for legs."""
        if self.is_insect:
            return self._front()
        pelvis = [joint for joint in self.trunk if PELVIS <= self._rank(joint) <= ROOT]
        tail = [joint for joint in self.trunk if self._rank(joint) >= TAIL]
        back = [joint for joint in self.trunk if CHEST < self._rank(joint) < PELVIS]
        if pelvis or back:
            return (pelvis or back)[-1]
        if tail:
            return tail[0]
        return self._nearest(PELVIS)

    # Limbs

    def _limbs(self) -> list[tuple[str, int, int, str]]:
        """Joins the joints of each limb; returns its girdle, side, first joint and kind: leg, wing, fin or flipper."""
        limbs: dict[tuple[str, int, int, str], list[int]] = {}
        for joint, part in self.parts.items():
            if part.part in LIMB_PARTS:
                kind = part.part if part.part in ("wing", "fin", "flipper") else "leg"
                index = 0 if part.part in DIGITS or kind == "wing" else part.number
                limbs.setdefault((part.girdle, part.side, index, kind), []).append(joint)
        self._wings_on_shoulders(limbs)
        return [
            (girdle, side, self._wing(joints) if kind == "wing" else self._limb(joints), kind)
            for (girdle, side, _, kind), joints in limbs.items()
        ]

    def _hang(self, limbs: Sequence[tuple[str, int, int, str]]) -> None:
        """Joins the limbs to the trunk, or without a trunk to the first limb."""
        for girdle, side, root, kind in limbs:
            host = self._rear() if girdle == "hind" else self._front()
            if kind == "fin" and not side:
                host = self.trunk[-1] if girdle == "hind" and self.trunk else self._nearest(SPINE)
            self._join(limbs[0][2] if host is None else host, root)

    def _wings_on_shoulders(self, limbs: dict[tuple[str, int, int, str], list[int]]) -> None:
        """A wing on a side with an arm continues the arm: a bird's from the shoulder; a bat's wing is its fingers."""
        for girdle, side, index, kind in list(limbs):
            arm = limbs.get((girdle, side, 0, "leg"), [])
            tip = all(self.parts[joint].order >= END for joint in limbs[girdle, side, index, kind])
            if kind == "wing" and arm and (tip or max(map(self._rank, arm)) <= 10):
                arm.extend(limbs.pop((girdle, side, index, kind)))
            elif kind == "wing" and any(self._rank(joint) == WRIST for joint in arm):
                rays = {self.parts[joint].number for joint in limbs[girdle, side, index, kind]}
                if len(rays) > 1:
                    hand = max(arm, key=self._rank)
                    self._join(hand, self._wing(limbs.pop((girdle, side, index, kind)), hand))

    def _limb(self, joints: list[int]) -> int:
        """Joins one limb; returns its first joint."""
        rank = self._rank
        joints = sorted(joints, key=lambda joint: (rank(joint), self.parts[joint].order))
        digits = [joint for joint in joints if self.parts[joint].part in DIGITS]
        ankle = next((joint for joint in joints if rank(joint) == WRIST), None)
        beyond = any(rank(joint) > PALM for joint in joints)
        heels = [joint for joint in joints if rank(joint) == HEEL] if ankle is not None and beyond else []
        twists = [joint for joint in joints if self.parts[joint].order < 0]
        main = [joint for joint in joints if joint not in (*digits, *heels, *twists)]
        # "FingerBase" carries the fingers.
        bases = [joint for joint in digits if self.parts[joint].part == "finger" and self.parts[joint].order < MIDDLE]
        if len(bases) < len(digits):
            main, digits = main + bases, [joint for joint in digits if joint not in bases]
        if not main:
            main, twists = twists[:1], twists[1:]
        for a, b in pairwise(main):
            self._join(a, b)
        for heel in heels:
            self._join(ankle if ankle is not None else main[-1], heel)
        for twist in twists:
            alike = [joint for joint in main if self.parts[joint].part == self.parts[twist].part]
            self._join(alike[0] if alike else main[-1], twist)
        return self._digits(main, digits)

    def _digits(self, main: list[int], digits: list[int]) -> int:
        """Joins fingers or toes to the limb; returns the limb's first joint."""
        rays: dict[tuple[str, int], list[int]] = {}
        for joint in digits:
            rays.setdefault((self.parts[joint].part, self.parts[joint].number), []).append(joint)
        for ray in rays.values():
            ray.sort(key=lambda joint: self.parts[joint].order)
            for a, b in pairwise(ray):
                self._join(a, b)
        starts = sorted((self.parts[ray[0]].order, ray[0]) for ray in rays.values())
        hand = [joint for joint in main if self._rank(joint) in range(PALM, DIGIT)]
        carrier = None
        if len(starts) > 2 and starts[0][0] < starts[1][0] and self.parts[starts[0][1]].part != "thumb":
            # A finger that begins before the others carries them: its first bone is that of the hand.
            carrier = starts[0][1]
        wrist = [joint for joint in main if self._rank(joint) == WRIST and self._rank(main[-1]) == PALM]
        for _, first in starts:
            part = self.parts[first].part
            key = (part, self.parts[first].number)
            if carrier is not None and first != carrier:
                self._join(carrier, first)
            elif wrist and hand and len(rays) > 1 and self.parts[first].order == MIDDLE and len(rays[key]) > 3:
                # Metacarpals begin at the wrist; the palm is a point of its own.
                self._join(wrist[0], first)
            elif part == "thumb" and hand:
                self._join(hand[0], first)
            elif main:
                self._join(main[-1], first)
            elif first != starts[0][1]:
                self._join(starts[0][1], first)
        return main[0] if main else starts[0][1]

    def _wing(self, joints: list[int], hand: int | None = None) -> int:
        """Joins the rays of one wing, at the hand or at the first ray; returns the wing's first joint."""
        rays: dict[int, list[int]] = {}
        for joint in sorted(joints, key=lambda joint: self.parts[joint].order):
            rays.setdefault(self.parts[joint].number, []).append(joint)
        first = next(iter(rays.values()))[0]
        for ray in rays.values():
            self._join(first if hand is None else hand, ray[0])
            for a, b in pairwise(ray):
                self._join(a, b)
        return first

    def _box(self, roots: dict[tuple[str, int], int]) -> None:
        """No trunk and no neck: shoulders, hips, shoulder to hip, and ear or nose to shoulder, as COCO joins them."""
        for girdle in ("fore", "hind"):
            self._join(roots[girdle, 1], roots[girdle, -1])
        for side in (1, -1):
            self._join(roots["fore", side], roots["hind", side])
            ears = [ear for ear in self._of("ear") if self.parts[ear].side == side]
            ears.sort(key=lambda ear: self.parts[ear].order)
            above = ears[:1] or self.trunk[-1:] or self._of("eye")[:1]
            if above:
                self._join(above[0], roots["fore", side])
        eyes = self._of("eye")
        if len(eyes) == 2:
            self._join(*eyes)

    # The head

    def _features(self, roots: dict[tuple[str, int], int]) -> None:
        """Joins eyes, ears, jaws and horns to the head or its substitute, and joins parts at the trunk's sides."""
        groups: dict[tuple[str, int, int], list[int]] = {}
        for joint, part in self.parts.items():
            is_landmark = part.part == "face" and self.has_landmarks
            if is_landmark or (part.part not in TRUNK_PARTS and part.part not in LIMB_PARTS):
                groups.setdefault((part.part, part.side, part.number), []).append(joint)
        ordered = sorted(groups.items(), key=lambda group: (group[0][0] != "eye", group[0][0] != "ear"))
        for (kind, side, _), joints in ordered:
            joints.sort(key=lambda joint: self.parts[joint].order)
            for a, b in pairwise(joints):
                self._join(a, b)
            host = self._nearest(SPINE) if kind in ("side", "belly") else self._head(kind, side, groups)
            if host is None and roots:
                host = next(iter(roots.values()))
            if host is not None:
                self._join(host, joints[0])

    def _head(self, part: str, side: int, groups: dict[tuple[str, int, int], list[int]]) -> int | None:
        head = next((joint for joint in self.trunk if self._rank(joint) == HEAD), None)
        nose = next((joint for joint in self.trunk if self._rank(joint) < HEAD), None)
        neck = next((joint for joint in self.trunk if self._rank(joint) == NECK), None)
        is_full = neck is not None and {"spine", "pelvis"} <= {self.parts[joint].part for joint in self.trunk}
        if head is not None:
            return nose if part == "eye" and nose is not None and self.parts[nose].part == "nose" else head
        if part == "ear" and not is_full and (part_eyes := groups.get(("eye", side, 0))):
            return part_eyes[-1]
        if neck is not None and (is_full or nose is None or part in ("crown", "ear")):
            return neck
        return nose if nose is not None else self._nearest(NOSE)

    def _join_pieces(self) -> None:
        """Joins the remaining pieces to the trunk, or without a trunk to the first joint."""
        piece = {joint: joint for joint in self.parts}
        for a, b in self.joined:
            old, new = piece[a], piece[b]
            piece = {joint: new if label == old else label for joint, label in piece.items()}
        hub = self._nearest(SPINE)
        if hub is None:
            hub = next(iter(self.parts))
        for joint, label in piece.items():
            if label != piece[hub] and joint == next(other for other in piece if piece[other] == label):
                self._join(hub, joint)
