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

# The stack level of the line to name: the one that called the function that calls `warn_of_…`.
_CALLER = 3
_reported: ContextVar[bool] = ContextVar("_reported", default=False)


def warn_of_tracks(recordings: Sequence[KeypointTracks]) -> None:
    """Warns if tracks of these recordings have no bones. The line names the tracks and what gives them bones."""
    if _reported.get():
        return
    lacking = [(tracks, found) for tracks in recordings if (found := tracks_without_bones(tracks))]
    if not lacking:
        return
    sources = list(dict.fromkeys(tracks.source for tracks, _ in lacking if tracks.source))
    where = f"{listed(sources)}: " if sources else ""
    names = [name for _, own in lacking for name in own]
    who = f"track {names[0]} has" if len(names) == 1 else f"tracks {listed(names)} have"
    way_out = _way_out([tracks for tracks, _ in lacking])
    warnings.warn(f"{where}{who} no bones: {COST}; {way_out}", stacklevel=_CALLER)


def _way_out(lacking: Sequence[KeypointTracks]) -> str:
    """What gives recordings bones. Those that have some edges, or for which none could be inferred, need a skeleton."""
    if all(tracks.skeleton.edges for tracks in lacking):
        return "the skeleton's edges join other joints, so give one with edges for these"
    if all(tracks.skeleton.edges or any(note.startswith(NONE_INFERRED) for note in tracks.notes) for tracks in lacking):
        return "none could be inferred, so give a skeleton with edges"
    return "olift_fast.tracks.with_inferred_skeleton(tracks) infers bones from the joints' names"


def warn_of_skeleton(skeleton: Skeleton) -> None:
    """`warn_of_tracks` for tracks of which only the skeleton is known, as in a stream."""
    if skeleton.edges or skeleton.num_joints < 2 or _reported.get():
        return
    who = f"skeleton {skeleton.name!r}" if skeleton.name else "the skeleton"
    way_out = "olift_fast.tracks.draft_skeleton infers bones from the joints' names and some keypoints"
    warnings.warn(f"{who} has no bones: {COST}; {way_out}", stacklevel=_CALLER)


@contextmanager
def bones_reported() -> Iterator[None]:
    """No such warning within the block, for a caller that reports missing bones in its own words."""
    token = _reported.set(True)
    try:
        yield
    finally:
        _reported.reset(token)


def tracks_without_bones(tracks: KeypointTracks) -> list[str]:
    """The names of the tracks that have two joints or more, and no bone between any of them.

    A joint that no track of the recording has does not count.
    """
    there = ~tracks.absent()
    seen = (np.isfinite(tracks.keypoints).all(axis=-1) & (tracks.confidence > 0)).any(axis=(0, 1))
    edges = np.array(tracks.skeleton.edges, dtype=np.int64).reshape(-1, 2)
    joined = np.any(np.all(there[:, edges], axis=2), axis=1)
    several = (there & seen).sum(axis=1) > 1
    return [name for name, lacking in zip(tracks.tracks, several & ~joined, strict=True) if lacking]
