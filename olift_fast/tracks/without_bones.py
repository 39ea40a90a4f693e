"""A warning, once for each call, if keypoints are lifted without bones."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from olift_fast.errors import listed
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.draft import NONE_INFERRED
from olift_fast.tracks.skeleton import Skeleton

COST = "without bones, errors are up to four times as large"

_reported: ContextVar[bool] = ContextVar("_reported", default=False)


def warn_of_tracks(recordings: Sequence[KeypointTracks], *, stacklevel: int = 3) -> None:
    """Warns if tracks of these recordings have no bones. The line names the tracks and the function that infers bones.

    Args:
        recordings: that are lifted.
        stacklevel: 3 warns at the caller of the function that calls this.
    """
    lacking = [(tracks, found) for tracks in recordings if (found := tracks_without_bones(tracks))]
    if not lacking or _reported.get():
        return
    first = lacking[0][0]
    where = f"{first.source}: " if first.source else ""
    names = [name for _, own in lacking for name in own]
    who = f"track {names[0]} has" if len(names) == 1 else f"tracks {listed(names)} have"
    way_out = "olift_fast.tracks.with_inferred_skeleton(tracks) infers bones from the joints' names"
    if all(any(note.startswith(NONE_INFERRED) for note in tracks.notes) for tracks, _ in lacking):
        way_out = "none could be inferred, so give a skeleton with edges"
    warnings.warn(f"{where}{who} no bones: {COST}; {way_out}", stacklevel=stacklevel)


def warn_of_skeleton(skeleton: Skeleton, *, stacklevel: int = 3) -> None:
    """`warn_of_tracks` for tracks of which only the skeleton is known, as in a stream."""
    if skeleton.edges or skeleton.num_joints < 2 or _reported.get():
        return
    who = f"skeleton {skeleton.name!r}" if skeleton.name else "the skeleton"
    way_out = "olift_fast.tracks.draft_skeleton infers bones from the joints' names and some keypoints"
    warnings.warn(f"{who} has no bones: {COST}; {way_out}", stacklevel=stacklevel)


@contextmanager
def bones_reported() -> Iterator[None]:
    """No such warning within the block, for a caller that reports missing bones in its own words."""
    token = _reported.set(True)
    try:
        yield
    finally:
        _reported.reset(token)


def tracks_without_bones(tracks: KeypointTracks) -> list[str]:
    """The names of the tracks of which two joints or more are ever visible, and no bone joins any of them."""
    there = np.asarray(tracks.visible().any(axis=1), dtype=np.bool_)
    edges = np.array(tracks.skeleton.edges, dtype=np.int64).reshape(-1, 2)
    joined = np.any(np.all(there[:, edges], axis=2), axis=1)
    return [name for name, own, bones in zip(tracks.tracks, there, joined, strict=True) if own.sum() > 1 and not bones]
