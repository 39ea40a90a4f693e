"""NumPy archives: our own keypoints and Human3.6M-style dictionaries; nothing pickled runs unless allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.parsed import UNUSABLE, Parsed, check_size, refuse_3d

_H36M_RIGS = {"h36m": "human36m_17", "coco": "coco_17"}


def read_npz(archive: Mapping[str, Any]) -> Parsed:
    """Our own keys: keypoints (N, T, J, 2) or (T, J, 2); optional confidence, names, edges, tracks, fps, frames,
    image_size.

    Raises:
        InputError: no `keypoints`, another shape, 3D points.
    """
    keys = sorted(archive)
    if "joints" in keys and "keypoints" in keys:
        raise InputError("is a lifted result and holds 3D points (x, y, z); needs 2D: open it with read_lifted")
    if "keypoints" not in keys:
        if {"positions", "positions_3d", "joints"} & set(keys):
            raise refuse_3d()
        raise InputError(f"wanted an array 'keypoints' (tracks, frames, joints, 2), got {', '.join(keys) or 'nothing'}")
    content = {key: archive[key] for key in keys}
    parsed = from_array(content["keypoints"], content.get("confidence"))
    tracks, joints = len(parsed.keypoints), parsed.keypoints.shape[2]
    if "tracks" in content and content["tracks"].shape != (tracks,):
        raise InputError(f"tracks must be {tracks} names, got shape {content['tracks'].shape}")
    if "names" in content and content["names"].shape != (joints,):
        raise InputError(f"names must be {joints} names, got shape {content['names'].shape}")
    size = content["image_size"].tolist() if "image_size" in content else None
    return Parsed(
        "npz",
        parsed.keypoints,
        parsed.confidence,
        [str(name) for name in content["names"]] if "names" in content else None,
        content["edges"].reshape(-1, 2).tolist() if "edges" in content else (),
        [str(name) for name in content["tracks"]] if "tracks" in content else parsed.tracks,
        content["frames"].astype(np.int64) if "frames" in content else None,
        fps=_fps(content["fps"]) if "fps" in content else None,
        image_size=(int(size[0]), int(size[1])) if size else None,
    )


def read_human36m(archive: Mapping[str, Any], allow_pickle: bool) -> Parsed:
    """VideoPose3D's data_2d_*.npz: positions_2d[subject][action][camera] (T, J, 2); each is a track, padded at its end.

    Its dictionaries are pickled, and opening a pickle runs whatever it says, hence `allow_pickle`.

    Raises:
        InputError: `allow_pickle` is not set, no sequence, sequences that differ in their joints.
    """
    if not allow_pickle:
        raise InputError(
            "holds pickled Python objects (Human3.6M style), which can run code when opened; "
            "pass allow_pickle=True if you trust it"
        )
    positions = archive["positions_2d"].item()
    metadata = archive["metadata"].item() if "metadata" in archive else {}
    found: dict[str, npt.NDArray[Any]] = {}
    for subject, actions in positions.items():
        for action, cameras in actions.items():
            views = cameras if isinstance(cameras, list | tuple) or getattr(cameras, "ndim", 3) == 4 else [cameras]
            for camera, view in enumerate(views):
                name = f"{subject}/{action}" + (f"/camera_{camera}" if len(views) > 1 else "")
                found[name] = np.asarray(view, dtype=np.float32)
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
        "human36m",
        keypoints[..., :2],
        keypoints[..., 2] if width == 3 else None,
        None,
        tracks=tuple(found),
        image_size=sizes.pop() if len(sizes) == 1 else None,
        rig_name=_H36M_RIGS.get(layout) if joints == 17 else None,
    )


def from_array(points: npt.ArrayLike, confidence: npt.ArrayLike | None = None) -> Parsed:
    """Tracks of an array (T, J, 2|3) or (N, T, J, 2|3), the third value being the confidence.

    Raises:
        InputError: another shape, a type that is no real number.
    """
    array = np.asarray(points)
    if array.dtype == object or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise InputError(f"keypoints must be numbers, got dtype {array.dtype}")
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] not in (2, 3):
        raise InputError(f"keypoints must be ([tracks,] frames, joints, 2 or 3), got {np.shape(points)}")
    given = None if confidence is None else np.asarray(confidence, dtype=np.float32)
    if given is not None and given.ndim == 2:
        given = given[None]
    if array.shape[-1] == 3:
        if given is not None:
            raise InputError("keypoints have 3 values beside their confidence: are these 3D points? Needs 2D (x, y)")
        third = array[..., 2]
        # A confidence lies in [0, 1]; some tools exceed it slightly. Depth does not stay there.
        if np.isfinite(third).any() and (np.nanmin(third) < -0.01 or np.nanmax(third) > 2):
            raise InputError(
                f"the third value must be a confidence in [0, 1], got {np.nanmin(third):.4g} … {np.nanmax(third):.4g}; "
                "are these 3D points? Needs 2D (x, y)"
            )
        given = third
    if given is not None and given.shape != array.shape[:3]:
        raise InputError(f"confidence must be {array.shape[:3]}, got {given.shape}")
    names = tuple(f"track_{track}" for track in range(len(array)))
    return Parsed("array", array[..., :2], given, None, tracks=names)


def _fps(value: Any) -> float | None:
    """The stored rate; NaN stands for unknown."""
    rate = float(value)
    return None if np.isnan(rate) else rate


def open_npz(path: Any, allow_pickle: bool) -> Any:
    """The archive, each array read when it is asked for.

    Raises:
        InputError: not a readable archive.
    """
    try:
        return np.load(path, allow_pickle=allow_pickle)
    except UNUSABLE as error:
        raise InputError(f"not a readable NumPy file (cut short?): {' '.join(str(error).split())}") from error
