"""Facts about public recordings that are not in their files, by the files' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.skeleton import Skeleton

Floats = npt.NDArray[np.float32]
Up = Callable[[Floats, Skeleton], npt.NDArray[np.float64]]


def what_is_known(source: str) -> Known:
    """The facts about the recording of that name. An unknown recording is taken to have Z up."""
    return next((known for name, known in RECORDINGS.items() if fnmatchcase(source, name)), Known())


def _up_is(x: float, y: float, z: float) -> Up:
    return lambda positions, skeleton: np.array([x, y, z])


def _up_from_floor(feet: Sequence[str], trunk: Sequence[str]) -> Up:
    """Up as the normal of the plane that the feet walk on, pointing to the side where the trunk is."""

    def up(positions: Floats, skeleton: Skeleton) -> npt.NDArray[np.float64]:
        place = [skeleton.names.index(name) for name in feet]
        points = positions[:, place].reshape(-1, 3).astype(np.float64)
        on_floor = points
        # Each round leaves out lifted and badly tracked feet: those farther from the plane than twice the median.
        for _ in range(10):
            middle = on_floor.mean(axis=0)
            normal = np.linalg.svd(on_floor - middle, full_matrices=False)[2][2]
            height = np.abs((points - middle) @ normal)
            on_floor = points[height <= 2 * np.median(height)]
        above = positions[:, [skeleton.names.index(name) for name in trunk]].mean(axis=(0, 1)) - middle
        return np.asarray(normal if above @ normal > 0 else -normal)

    return up


class Known(NamedTuple):
    """Facts about a recording that are not in its file.

    Args:
        up: gives the direction that is up, in the file's axes; used only if the file has no `up_axis`.
        up_known: whether up is known to be against gravity.
        forward: the direction that the body faces, in the file's axes; None if it varies or is unknown.
        side: +1 or -1 if all joints are left or right, as those of a hand; else 0.
        mirrored: the end of the names of takes that show the other side; `load_motion` mirrors these takes.
        there_and_back: whether each take is continued by playing it backward, which makes it cyclic.
        held_out: names of the takes to score on.
        notes: what to know before trusting the recording.
    """

    up: Up = _up_is(0, 0, 1)
    up_known: bool = True
    forward: tuple[float, float, float] | None = None
    side: int = 0
    mirrored: str | None = None
    there_and_back: bool = False
    held_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


RECORDINGS: dict[str, Known] = {
    "human_cmu": Known(
        up=_up_is(0, 1, 0),
        held_out=("02_05", "02_06", "02_07", "02_08", "02_09", "02_10"),
        notes=("bones are rigid", "some takes climb and swing, with no ground under the feet"),
    ),
    "rat_dannce23": Known(notes=("fps is assumed", "bone lengths vary by 4.5 %", "stays in place, hardly walks")),
    # Gravity is not recorded. The toes stay within 0.3 mm of a plane over 60 mm, so that plane is the floor, and the
    # trunk is above it. Its normal is 8 degrees off -Y (the axes are a camera's, y down).
    "mouse_salk34": Known(
        up=_up_from_floor(feet=("MTP_L", "MTP_R"), trunk=("Trunk", "Spine")),
        notes=("fps is unknown", "bone lengths vary by 16 %, the fore paws' far more", "up is fitted to the hind toes"),
        up_known=False,
    ),
    # Tethered, so there is no floor. The axes of both are the body's: x forward, y left, z from claws to thorax.
    "fly_df3d_30": Known(notes=("tethered, on a ball", "fps is assumed", "bone lengths vary by 6.5 %")),
    "fly_anipose_17": Known(notes=("tethered", "front half only", "fps is assumed")),
    # Poses in the wrist's axes. In each take the hand goes from rest to a pose in 16 frames.
    **{
        f"hands_{source}_{name}": Known(
            up_known=False, side=side, there_and_back=True, notes=("blended from single poses",)
        )
        for source in ("handy", "xrtools")
        for name, side in (("left", 1), ("right", -1))
    },
    "hands_leap": Known(side=-1, mirrored="_left", notes=("left hands are mirrored",)),
    # Bodies made of boxes; the joints' names tell no sides. All bodies face -Z.
    **dict.fromkeys(("aw_*", "lf_*", "pp_*"), Known(forward=(0, 0, -1), notes=("links between boxes vary",))),
}
