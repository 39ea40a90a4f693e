"""Chooses the built-in rig for a file without joint names, by the number of its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from olift_fast.io.parsed import Parsed
from olift_fast.tracks.rigs import rig

#: The rig of a person by the number of points, and how many of the points are the rig's. Sets of the whole body begin
#: with the rig's joints; the points that follow (feet, face and hands) are left out.
PEOPLE = {17: ("coco_17", 17), 26: ("halpe_26", 26), 133: ("coco_17", 17), 136: ("halpe_26", 26)}


def of_people(parsed: Parsed) -> Parsed:
    """`parsed` with the rig of a person that has this number of points; unchanged if there is no such rig.

    17 points may also be AP-10K's animal. That rig is taken if its bones are clearly shorter in the file than COCO's.
    """
    total = parsed.keypoints.shape[2]
    if total not in PEOPLE:
        return parsed
    name, joints = PEOPLE[total]
    if total == 17 and mean_bone_length(parsed.keypoints, "ap10k_17") < 0.8 * mean_bone_length(parsed.keypoints, name):
        name = "ap10k_17"
    taken = f"{total} points without names are taken as {name}" + (
        f": the first {joints} are the body, the others are left out" if joints < total else ""
    )
    return replace(
        parsed,
        keypoints=parsed.keypoints[:, :, :joints],
        confidence=None if parsed.confidence is None else parsed.confidence[:, :, :joints],
        rig_name=name,
        notes=[*parsed.notes, taken],
    )


def shortest_bones(keypoints: npt.NDArray[np.float32], names: Sequence[str]) -> str:
    """The rig of `names` whose bones are the shortest in the keypoints (N, T, J, 2): bones of a wrong rig are longer,
    because they cross the body."""
    return min(names, key=lambda name: mean_bone_length(keypoints, name))


def mean_bone_length(keypoints: npt.NDArray[np.float32], name: str) -> float:
    """The mean of the bones' median lengths in the file, without bones that are never seen; infinite if none is."""
    edges = np.array(rig(name).edges)
    lengths = np.linalg.norm(keypoints[:, :, edges[:, 0]] - keypoints[:, :, edges[:, 1]], axis=-1)
    lengths = lengths.reshape(-1, len(edges))
    seen = [float(np.median(column[np.isfinite(column)])) for column in lengths.T if np.isfinite(column).any()]
    return float(np.mean(seen)) if seen else np.inf
