"""Human3.6M-style archives of VideoPose3D: pickled dictionaries, opened only if the caller allows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.numpy_files import Archive
from olift_fast.io.open_container import ARCHIVE
from olift_fast.io.parsed import Parsed, check_size

#: The built-in rig of the joints, by VideoPose3D's name of their layout.
_RIGS = {"h36m": "human36m_17", "coco": "coco_17"}


def read_human36m(archive: Archive) -> Parsed:
    """VideoPose3D's data_2d_*.npz: positions_2d[subject][action][camera] (T, J, 2). Each array is a track; shorter ones
    are padded at their end.

    A third value of a point is its confidence. The dictionaries are pickled, and a pickle can run any code when it is
    opened, so the archive must have been opened with `allow_pickle`.

    Raises:
        PickledError: the archive was opened without `allow_pickle`.
        InputError: no sequence, sequences that differ in their joints.
    """
    positions = archive["positions_2d"].item() if archive["positions_2d"].ndim == 0 else None
    if not isinstance(positions, Mapping) or not all(isinstance(actions, Mapping) for actions in positions.values()):
        raise InputError("positions_2d must be a dictionary of subjects, each a dictionary of actions")
    metadata = archive["metadata"].item() if "metadata" in archive else {}
    found: dict[str, npt.NDArray[Any]] = {}
    for subject, actions in positions.items():
        for action, cameras in actions.items():
            views = cameras if isinstance(cameras, list | tuple) or getattr(cameras, "ndim", 3) == 4 else [cameras]
            for camera, view in enumerate(views):
                name = f"{subject}/{action}" + (f"/camera_{camera}" if len(views) > 1 else "")
                found[name] = np.asarray(view, dtype=np.float32)
    if not found:
        raise InputError("holds no tracks: positions_2d has no sequence")
    shapes = sorted({view.shape[1:] for view in found.values()})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise InputError(f"sequences must all be (frames, joints, 2), got (…, {shapes})")
    joints, width = shapes[0]
    if width not in (2, 3):
        raise InputError(f"sequences must be (frames, joints, 2), got a last dimension of {width}")
    longest = max(len(view) for view in found.values())
    check_size(len(found), longest, joints)
    keypoints = np.full((len(found), longest, joints, 3), np.nan, np.float32)
    for track, view in enumerate(found.values()):
        keypoints[track, : len(view), :, :width] = view
    layout = str(metadata.get("layout_name", ""))
    sizes = {(int(video["w"]), int(video["h"])) for video in (metadata.get("video_metadata") or {}).values()}
    return Parsed(
        keypoints[..., :2],
        keypoints[..., 2] if width == 3 else None,
        None,
        tracks=tuple(found),
        image_size=sizes.pop() if len(sizes) == 1 else None,
        rig_name=_RIGS.get(layout) if joints == 17 else None,
    )


FORMAT = Format(
    name="human36m",
    extensions=(".npz",),
    example="data_2d_custom_walk.npz --allow-pickle",
    extra=None,
    description="Human3.6M-style dictionaries of VideoPose3D (pickled)",
    containers=(ARCHIVE,),
    matches=lambda archive: "positions_2d" in archive,
    read=read_human36m,
    recognized_by="NumPy archive with `positions_2d`",
    takes="every subject, action and camera as a track, padded with hidden frames. Its dictionaries are pickled, and "
    "opening a pickle can run any code: refused unless `allow_pickle=True`",
)
