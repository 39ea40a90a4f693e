"""Facemap's keypoints of the mouse face, in the form that it writes since version 1 (before: pandas tables)."""

from __future__ import annotations

import h5py
import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.hdf5 import array
from olift_fast.io.open_container import HDF5
from olift_fast.io.parsed import Parsed, check_size


def read_facemap(file: h5py.File) -> Parsed:
    """The body parts: each is a group with arrays x, y and likelihood, which hold a number for each frame.

    Raises:
        InputError: a body part without x or y, or arrays that differ in length.
    """
    group = file["Facemap"]
    names = [name for name, member in group.items() if isinstance(member, h5py.Group)]
    x, y = ([array(group[name], axis).ravel() for name in names] for axis in ("x", "y"))
    scores = [array(group[name], "likelihood").ravel() if "likelihood" in group[name] else None for name in names]
    lengths = {len(values) for values in [*x, *y, *scores] if values is not None}
    if len(lengths) != 1:
        raise InputError(f"body parts must have a value for each frame, got {sorted(lengths) or 'none'} values")
    frames = lengths.pop()
    check_size(1, frames, len(names))
    keypoints = np.stack([np.stack(x, axis=1), np.stack(y, axis=1)], axis=-1)[None].astype(np.float32)
    unknown = np.full(frames, np.nan)
    confidence = np.stack([unknown if score is None else score.astype(np.float32) for score in scores], axis=1)[None]
    return Parsed(keypoints, confidence, names)


def _is_facemap(file: h5py.File) -> bool:
    group = file.get("Facemap")
    members = list(group.values()) if isinstance(group, h5py.Group) else []
    return any(isinstance(member, h5py.Group) and {"x", "y"} <= set(member) for member in members)


FORMAT = Format(
    name="facemap",
    extensions=(".h5",),
    example="mouse_FacemapPose.h5",
    extra=None,
    description="Facemap's keypoints of the mouse face (`_FacemapPose.h5`)",
    containers=(HDF5,),
    matches=_is_facemap,
    read=read_facemap,
    recognized_by="HDF5 with a group `Facemap` of body parts",
    takes="x, y, likelihood",
    hint="Facemap",
)
