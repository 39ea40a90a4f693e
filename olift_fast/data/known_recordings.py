"""What is known of public recordings besides their files, by the files' names."""

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
    """What is known of the recording of that name; of an unknown one, that it is Z up."""
    return next((known for name, known in RECORDINGS.items() if fnmatchcase(source, name)), Known())


def _up_is(x: float, y: float, z: float) -> Up:
    return lambda positions, skeleton: np.array([x, y, z])


def _up_from_floor(feet: Sequence[str], trunk: Sequence[str]) -> Up:
    """Up as the normal of the plane that the feet walk on, pointing to the side where the trunk is."""

    def up(positions: Floats, skeleton: Skeleton) -> npt.NDArray[np.float64]:
        place = [skeleton.names.index(name) for name in feet]
        points = positions[:, place].reshape(-1, 3).astype(np.float64)
        on_floor = points
        # Each round leaves out lifted and mistracked feet: those farther off the plane than 2 median deviations.
        for _ in range(10):
            middle = on_floor.mean(axis=0)
            normal = np.linalg.svd(on_floor - middle, full_matrices=False)[2][2]
            height = np.abs((points - middle) @ normal)
            on_floor = points[height <= 2 * np.median(height)]
        above = positions[:, [skeleton.names.index(name) for name in trunk]].mean(axis=(0, 1)) - middle
        return np.asarray(normal if above @ normal > 0 else -normal)

    return up


class Known(NamedTuple):
    """What is known of a recording besides its file.

    up: the direction that is up, in the file's axes, where the file doesn't say.
    up_known: whether that, or what the file says, is against gravity.
    forward: where the body faces, in the file's axes; None where it differs or nobody knows.
    side: +1 or -1 where all joints are left or right, as a left or right hand's are; 0 where they are not.
    mirrored: how the names of takes end that were recorded of the other side; `load_motion` mirrors them.
    there_and_back: whether takes end where they can be played backward to their start.
    held_out: names of the takes to score on.
    notes: what to know before trusting it.
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
    # Gravity is not recorded. The toes keep to a plane within 0.3 mm over 60 mm, 8 degrees off -Y (the axes are a
    # camera's, y down): that plane is the floor, and the trunk is above it.
    "mouse_salk34": Known(
        up=_up_from_floor(feet=("MTP_L", "MTP_R"), trunk=("Trunk", "Spine")),
        notes=("fps is unknown", "bone lengths vary by 16 %, the fore paws' far more", "up is fitted to the hind toes"),
        up_known=False,
    ),
    # Tethered, so there is no floor; both are aligned to the body: x forward, y left, z from claws to thorax.
    "fly_df3d_30": Known(notes=("tethered, on a ball", "fps is assumed", "bone lengths vary by 6.5 %")),
    "fly_anipose_17": Known(notes=("tethered", "front half only", "fps is assumed")),
    # Poses in the wrist's frame, each reached from rest in 16 frames.
    **{
        f"hands_{source}_{name}": Known(
            up_known=False, side=side, there_and_back=True, notes=("blended from single poses",)
        )
        for source in ("handy", "xrtools")
        for name, side in (("left", 1), ("right", -1))
    },
    "hands_leap": Known(side=-1, mirrored="_left", notes=("left hands are mirrored",)),
    # Bodies of boxes, whose joints have no telling names. All of them are modeled to face -Z.
    **dict.fromkeys(("aw_*", "lf_*", "pp_*"), Known(forward=(0, 0, -1), notes=("links between boxes vary",))),
}
