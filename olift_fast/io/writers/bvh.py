"""Writes BVH: a skeleton at rest and the rotations of its joints, for Blender, Maya, Unreal and MotionBuilder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.axes import units_in_meter, y_up
from olift_fast.io.writers.rotations import euler_zxy
from olift_fast.io.writers.skeletal_motion import SkeletalMotion, skeletal_motion
from olift_fast.io.writers.timing import timeline
from olift_fast.io.writers.trunk import with_trunk
from olift_fast.tracks.containers import LiftedTracks

_PLACE = ("Xposition", "Yposition", "Zposition")
_TURN = ("Zrotation", "Xrotation", "Yrotation")
# BVH continues a limb beyond its last joint, so that this joint has a direction: here by this share of the last bone.
_END = 0.25


def write_bvh(result: LiftedTracks, path: Path) -> None:
    """Writes the motion of one track, with y up, in meters, or in model units if the size is not known.

    Each bone has one length, and in each frame the direction that it has in the result. If several bones begin at a
    joint, the joint's own rotation turns the bone with the most joints behind it. Each other bone gets an added joint
    in the same place, such as "neck_to_shoulder". If an edge joins the hips, the trunk gets a joint in the middle
    (`with_trunk`). A skeleton in several pieces gets an added root "scene", and each piece has its own position.

    Raises:
        InputError: no joint is known in any frame.
    """
    times = timeline(result)
    joints = times.spread(y_up(result.joints[0], result.frame)) / units_in_meter(result)
    if not np.isfinite(joints).all(axis=-1).any():
        raise InputError(f"BVH needs a joint in at least one frame, track {result.tracks[0]!r} has none")
    skeleton, joints = with_trunk(result.skeleton, joints)
    motion = skeletal_motion(joints, skeleton)
    names = _names(skeleton.names)
    with path.open("wb") as file:
        lines = ["HIERARCHY", *_hierarchy(motion, names)]
        lines += ["MOTION", f"Frames: {times.length}", f"Frame Time: {1 / times.rate:.9g}"]
        file.write(("\n".join(lines) + "\n").encode())
        values = _values(motion)
        before = "0 0 0 0 0 0 " if len(motion.tree.roots) > 1 else ""
        template = before + " ".join(["%.9g"] * values.shape[1]) + "\n"
        for row in values:
            file.write((template % tuple(row.tolist())).encode())


class _Joint(NamedTuple):
    """A joint of the file: the skeleton's joint `joint`, or one that is added there for the bone to joint `bone`."""

    joint: int
    bone: int | None
    depth: int


def _walk(motion: SkeletalMotion) -> Iterator[_Joint]:
    """The joints of the file; each is followed by all joints below it."""
    together = len(motion.tree.roots) > 1
    waiting = [_Joint(root, None, int(together)) for root in reversed(motion.tree.roots)]
    while waiting:
        here = waiting.pop()
        yield here
        if here.bone is not None:
            waiting.append(_Joint(here.bone, None, here.depth + 1))
            continue
        first, *others = motion.tree.children[here.joint] or (None,)
        waiting += [_Joint(here.joint, child, here.depth + 1) for child in reversed(others)]
        waiting += [] if first is None else [_Joint(first, None, here.depth + 1)]


def _hierarchy(motion: SkeletalMotion, names: Sequence[str]) -> Iterator[str]:
    """The lines of the part HIERARCHY: the joints at rest."""
    taken, depth = list(names), 0
    if len(motion.tree.roots) > 1:
        yield from (f"ROOT {_free('scene', names)}", "{", "\tOFFSET 0 0 0", f"\t{_channels(_PLACE + _TURN)}")
        depth = 1
    for here in _walk(motion):
        yield from ("\t" * level + "}" for level in range(depth - 1, here.depth - 1, -1))
        depth = here.depth + 1
        name = names[here.joint]
        if here.bone is not None:
            name = _free(f"{name}_to_{names[here.bone]}", taken)
            taken.append(name)
        yield from ("\t" * here.depth + line for line in _opened(motion, here, name))
    yield from ("\t" * level + "}" for level in range(depth - 1, -1, -1))


def _opened(motion: SkeletalMotion, here: _Joint, name: str) -> Iterator[str]:
    """The lines of a joint before those of its children; for a joint without children, with its end."""
    joint, parent = here.joint, motion.tree.parents[here.joint]
    offset = np.zeros(3)
    if here.bone is None:
        # One of several roots is at rest in its mean position, a single root at the origin.
        offset = (
            motion.rest[joint] - motion.rest[parent] if parent is not None else motion.joints[:, joint].mean(axis=0)
        )
    yield from (f"{'JOINT' if here.depth else 'ROOT'} {name}", "{")
    yield f"\tOFFSET {_numbers(offset if here.depth else np.zeros(3))}"
    yield f"\t{_channels((*_PLACE, *_TURN) if parent is None and here.bone is None else _TURN)}"
    if here.bone is None and not motion.tree.children[joint]:
        end = offset if parent is not None else np.array([0.0, motion.length, 0.0])
        yield from ("\tEnd Site", "\t{", f"\t\tOFFSET {_numbers(_END * end)}", "\t}")


def _values(motion: SkeletalMotion) -> np.ndarray:
    """(T, channels) in the order of the joints' lines."""
    columns = []
    added: dict[int, np.ndarray] = {}
    for joint, bone, _ in _walk(motion):
        parent = motion.tree.parents[joint]
        if bone is not None:
            added[bone] = motion.turned(joint, bone)
            columns.append(euler_zxy(added[bone]))
            continue
        if parent is None:
            columns.append(motion.joints[:, joint])
        turn = motion.local(joint)
        columns.append(euler_zxy(np.swapaxes(added[joint], -1, -2) @ turn if joint in added else turn))
    return np.concatenate(columns, axis=-1)


def _channels(names: Sequence[str]) -> str:
    return f"CHANNELS {len(names)} {' '.join(names)}"


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.9g}" for value in values.tolist())


def _names(names: Sequence[str]) -> list[str]:
    """The names without blanks and braces, which end a name in BVH; all different."""
    plain: list[str] = []
    for name in names:
        plain.append(_free(re.sub(r"[\s{}]+", "_", name) or "joint", plain))
    return plain


def _free(name: str, taken: Sequence[str]) -> str:
    """The name, with a number if it is taken."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


OUTPUT = OutputFormat(
    name="bvh",
    suffix=".bvh",
    extra=None,
    description="a skeleton with rotations, for Blender, Maya and game engines; Y up; one track",
    holds="directions of all bones as rotations, their median lengths, the root's place, fps; in meters, or in the "
    "model's unit where no size is known",
    drops="changes of bones' lengths, edges that close loops, which frames were not known (they are bridged), "
    "confidence, visibility, uncertainty, frame numbers, how it was lifted",
    write=write_bvh,
    title="BVH",
    wants=("one track", "fps", "bones"),
    check=timeline,
)
