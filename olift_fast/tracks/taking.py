"""Takes some tracks out of a recording or a lifted result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

_OF_JOINTS = ("joints", "keypoints", "confidence", "visible", "uncertainty", "uncertainty_xy", "contacts")
_OF_TRACKS = ("scale", "centers", "rotation", "meters_per_pixel")


def take_tracks(result: LiftedTracks, names: Sequence[str]) -> LiftedTracks:
    """The tracks with these names, in this order; joints that only other tracks have are left out.

    Raises:
        InputError: there is no such track; the message lists all tracks.
    """
    kept = places_of(names, result.tracks)
    finite = np.asarray(np.isfinite(result.joints).all(axis=-1))
    lifted = np.asarray(finite.any(axis=1))
    gone = ~lifted[kept].any(axis=0) & lifted.any(axis=0) & lifted[kept].any()
    joints = np.flatnonzero(~gone)
    changes: dict[str, Any] = {}
    for name in (*_OF_JOINTS, *_OF_TRACKS):
        if (values := getattr(result, name)) is not None:
            changes[name] = values[kept][:, :, joints] if name in _OF_JOINTS else values[kept]
    if result.world is not None:
        changes["world"] = result.world.of_tracks(kept)
    skeleton = result.skeleton.subset([result.skeleton.names[joint] for joint in joints])
    return replace(result, **changes, skeleton=skeleton, tracks=tuple(result.tracks[index] for index in kept))


def take_keypoints(tracks: KeypointTracks, names: Sequence[str]) -> KeypointTracks:
    """`take_tracks` for keypoints, before they are lifted.

    Raises:
        InputError: there is no such track; the message lists all tracks.
    """
    kept = places_of(names, tracks.tracks)
    joints = np.flatnonzero(~tracks.absent()[kept].all(axis=0))
    return replace(
        tracks,
        keypoints=tracks.keypoints[kept][:, :, joints],
        confidence=tracks.confidence[kept][:, :, joints],
        skeleton=tracks.skeleton.subset([tracks.skeleton.names[joint] for joint in joints]),
        tracks=tuple(tracks.tracks[index] for index in kept),
    )


def places_of(names: Sequence[str], tracks: Sequence[str]) -> list[int]:
    """The indices of the tracks with these names; raises InputError, which lists all tracks, if one is missing."""
    missing = [name for name in names if name not in tracks]
    if missing:
        raise InputError(f"has no track {', '.join(map(repr, missing))}; it has {', '.join(tracks)}")
    return [tracks.index(name) for name in dict.fromkeys(names)]
