"""JABS: poses of mice in an open field, ``VIDEO_pose_est_v2.h5`` to ``_v8.h5``."""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.hdf5 import array
from olift_fast.io.open_container import HDF5
from olift_fast.io.parsed import Parsed, check_size

_NAMES = (
    *("NOSE", "LEFT_EAR", "RIGHT_EAR", "BASE_NECK", "LEFT_FRONT_PAW", "RIGHT_FRONT_PAW", "CENTER_SPINE"),
    *("LEFT_REAR_PAW", "RIGHT_REAR_PAW", "BASE_TAIL", "MID_TAIL", "TIP_TAIL"),
)
_EDGES = ((3, 0), (3, 6), (6, 9), (9, 10), (10, 11), (0, 1), (0, 2), (6, 4), (6, 5), (9, 7), (9, 8))


def read_jabs(file: h5py.File) -> Parsed:
    """The poses, which are stored as (y, x), by identity.

    Version 2 holds one mouse: points (T, 12, 2). Later versions have several poses a frame: points (T, N, 12, 2). In
    version 3, `instance_track_id` tells the tracklet of a pose, and each tracklet is a track. Since version 4,
    `instance_embed_id` tells the mouse: a pose has one if this id is above 0 and `id_mask` is 0. Poses without a mouse
    are left out.

    Raises:
        InputError: other shapes, or no pose with an identity.
    """
    group = file["poseest"]
    points = array(group, "points")
    if points.ndim == 3:
        points = points[:, None]
    if points.ndim != 4 or points.shape[-1] != 2 or points.dtype.kind not in "fiu":
        raise InputError(f"poseest/points must be (frames, poses, joints, 2) numbers, got {points.shape}")
    frames, poses, joints = points.shape[:3]
    confidence = array(group, "confidence")
    if confidence.size != frames * poses * joints:
        raise InputError(f"poseest/confidence must be {points.shape[:3]}, got {confidence.shape}")
    confidence = confidence.reshape(points.shape[:3])
    known = joints == len(_NAMES)
    names, edges = (_NAMES, _EDGES) if known else (None, ())
    ids, notes = _identities(group, frames, poses)
    if ids is None:
        xy = points.transpose(1, 0, 2, 3)[..., ::-1]
        return Parsed(xy, confidence.transpose(1, 0, 2), names, edges, tracks=["track_0"])
    found = np.unique(ids[ids >= 0])
    if not len(found):
        raise InputError(f"no pose of {frames} frames has an identity, wanted at least one animal")
    check_size(len(found), frames, joints)
    keypoints = np.full((len(found), frames, joints, 2), np.nan, np.float32)
    scores = np.zeros(keypoints.shape[:3], np.float32)
    frame, pose = np.nonzero(ids >= 0)
    track = np.searchsorted(found, ids[frame, pose])
    keypoints[track, frame] = points[frame, pose][..., ::-1]
    scores[track, frame] = confidence[frame, pose]
    return Parsed(keypoints, scores, names, edges, tracks=[str(number) for number in found], notes=notes)


def _identities(group: h5py.Group, frames: int, poses: int) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    """The identity (frames, poses) of each pose, -1 for none, and notes. The identities are None for one mouse."""
    count = array(group, "instance_count").ravel() if "instance_count" in group else np.full(frames, poses)
    if count.shape != (frames,):
        raise InputError(f"poseest/instance_count must have {frames} values, got {len(count)}")
    present = np.arange(poses) < count[:, None]
    name = next((key for key in ("instance_embed_id", "instance_track_id") if key in group), None)
    if name is None:
        if poses > 1:
            raise InputError(f"poseest has {poses} poses a frame but neither instance_embed_id nor instance_track_id")
        return None, ()
    ids = array(group, name).astype(np.int64).reshape(frames, poses)
    if name == "instance_track_id":
        return np.where(present, ids, -1), ("each tracklet is a track",)
    assigned = ids > 0
    if "id_mask" in group:
        assigned &= array(group, "id_mask").reshape(frames, poses) == 0
    left_out = int((present & ~assigned).sum())
    return np.where(assigned, ids, -1), (f"{left_out} poses without an identity are left out",) * (left_out > 0)


FORMAT = Format(
    name="jabs",
    extensions=(".h5",),
    example="mouse_pose_est_v4.h5",
    extra=None,
    description="JABS poses of mice (`_pose_est_v2.h5` and later)",
    containers=(HDF5,),
    matches=lambda file: isinstance(file.get("poseest"), h5py.Group) and "points" in file["poseest"],
    read=read_jabs,
    recognized_by="HDF5 with `poseest/points`",
    takes="points (y before x), confidence, the 12 joints of the mouse with edges; identities of version 4 and later, "
    "tracklets of version 3",
    hint="JABS",
)
