"""Draft skeletons: the bones between joints that nobody wrote any down for, from names and from motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.skeleton import Skeleton

Source = Literal["name", "motion"]
"""What an edge was inferred from."""
Infer = Literal["names", "motion", "none"]
"""What edges are inferred from: names alone, names completed by motion, or nothing."""

FEWEST_FRAMES = 20
"""So many frames at least must show a pair of joints before motion tells bones."""

Edge = tuple[int, int]
Points = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


class Draft(NamedTuple):
    """A skeleton whose edges were all inferred; for each edge its source, and a confidence within 0 … 1."""

    skeleton: Skeleton
    sources: tuple[Source, ...]
    confidence: tuple[float, ...]

    @property
    def said(self) -> str:
        """Where the edges come from, in one line: "edges: 21 inferred from names, 2 from motion"."""
        named, moved = self.sources.count("name"), self.sources.count("motion")
        if not named:
            return f"edges: {moved} inferred from motion"
        return f"edges: {named} inferred from names" + (f", {moved} from motion" if moved else "")


def draft_skeleton(names: Sequence[str], keypoints: Points, visible: Mask, *, by_motion: bool = True) -> Draft | None:
    """The bones that names tell, completed to one piece by those that motion tells; None where neither tells any.

    Joints are joined by motion only where some frame shows both: those of two animals, of which no track has both,
    stay apart. `draft_or_reason` says why there is no draft.

    Args:
        names: (J) distinct joint names.
        keypoints: (N, T, J, 2) x to the right and y down, pixels; hidden ones may hold anything.
        visible: (N, T, J).
        by_motion: False to take the edges of names alone.

    Raises:
        InputError: names that are not distinct, or shapes that disagree.
    """
    draft = draft_or_reason(names, keypoints, visible, by_motion=by_motion)
    return None if isinstance(draft, str) else draft


def draft_or_reason(names: Sequence[str], keypoints: Points, visible: Mask, *, by_motion: bool = True) -> Draft | str:
    """As `draft_skeleton`, with the reason in place of None: "the names tell no bones, and 12 frames are too few …"."""
    skeleton = Skeleton(tuple(names))
    keypoints, visible = np.asarray(keypoints), np.asarray(visible, dtype=np.bool_)
    if keypoints.shape != (*visible.shape, 2) or visible.ndim != 3 or visible.shape[-1] != skeleton.num_joints:
        raise InputError(
            f"keypoints must be (N, T, {skeleton.num_joints}, 2) and visible (N, T, {skeleton.num_joints}), "
            f"got {keypoints.shape} and {visible.shape}"
        )
    named = _edges_by_name(skeleton.names)
    moved: dict[Edge, float] = {}
    if by_motion:
        for joints, points, seen in _kinds(keypoints, visible):
            moved |= _completed(named, joints, points, seen)
    if not named and not moved:
        return _reason(visible, by_motion)
    edges = (*named, *moved)
    sources: tuple[Source, ...] = (*("name" for _ in named), *("motion" for _ in moved))
    confidence = (*(1.0 for _ in named), *moved.values())
    return Draft(replace(skeleton, edges=edges, inferred=(True,) * len(edges)), sources, confidence)


def with_inferred_skeleton(
    tracks: KeypointTracks, infer: Infer = "names", *, min_confidence: float = 0.3
) -> KeypointTracks:
    """The tracks with edges: their own where there are any, else inferred ones, and a note that says so.

    Edges that leave the joints of a track in several pieces are kept, with a warning.

    Args:
        tracks: as `read_keypoints` returns them.
        infer: "names": from the joints' names; "motion": from names, completed to one piece by motion; "none": no edge.
        min_confidence: keypoints below it count as hidden.

    Raises:
        InputError: `infer` is none of the three.
    """
    return with_draft(tracks, draft_of(tracks, infer, min_confidence))


def draft_of(tracks: KeypointTracks, infer: Infer, min_confidence: float = 0.3) -> Draft | str | None:
    """The draft for tracks without edges, with the sides and the name of their skeleton.

    The reason where there is no draft; None where none is asked for, or the edges are given.
    """
    if infer not in get_args(Infer):
        raise InputError(f"infer must be {' or '.join(map(repr, get_args(Infer)))}, got {infer!r}")
    skeleton = tracks.skeleton
    if infer == "none" or skeleton.edges:
        return None
    visible, by_motion = tracks.visible(min_confidence), infer == "motion"
    draft = draft_or_reason(skeleton.names, tracks.keypoints, visible, by_motion=by_motion)
    if isinstance(draft, str):
        return draft
    edges, inferred = draft.skeleton.edges, draft.skeleton.inferred
    return draft._replace(skeleton=replace(skeleton, edges=edges, inferred=inferred))


def with_draft(tracks: KeypointTracks, draft: Draft | str | None) -> KeypointTracks:
    """The tracks with what `draft_of` found for them, a note of it, and a warning of a skeleton in several pieces."""
    if isinstance(draft, Draft):
        tracks = replace(tracks, skeleton=draft.skeleton, notes=(*tracks.notes, draft.said))
    elif draft is not None:
        tracks = replace(tracks, notes=(*tracks.notes, f"edges: none inferred: {draft}"))
    warning = _pieces_told(tracks)
    return replace(tracks, warnings=(*tracks.warnings, warning)) if warning else tracks


def _edges_by_name(names: tuple[str, ...]) -> tuple[Edge, ...]:
    from olift_fast.tracks.anatomy import edges_by_name

    return edges_by_name(names)


def _edges_by_motion(points: Points, seen: Mask, start: tuple[Edge, ...]) -> tuple[tuple[Edge, ...], tuple[float, ...]]:
    from olift_fast.tracks.rigid_pairs import edges_by_motion

    return edges_by_motion(points, seen, start=start)


def _kinds(keypoints: Points, visible: Mask) -> Iterator[tuple[npt.NDArray[np.intp], Points, Mask]]:
    """The joints (K) that tracks have together, and those tracks' points (F, K, 2), visible (F, K) as one recording.

    Only frames that show a pair of joints are kept, and what fewer than `FEWEST_FRAMES` show is left out.
    """
    has = visible.any(axis=1)
    joints_left: Mask = np.asarray(has.any(axis=0))
    while joints_left.any():
        kind = np.zeros_like(joints_left)
        kind[np.argmax(joints_left)] = True
        while (grown := has[(has & kind).any(axis=1)].any(axis=0) | kind).sum() > kind.sum():
            kind = grown
        joints_left &= ~kind
        tracks, joints = (has & kind).any(axis=1), np.flatnonzero(kind)
        points = keypoints[tracks][:, :, joints].reshape(-1, len(joints), 2)
        seen = visible[tracks][:, :, joints].reshape(-1, len(joints))
        frames = seen.sum(axis=1) >= 2
        if frames.sum() >= FEWEST_FRAMES:
            yield joints, points[frames], seen[frames]


def _completed(named: tuple[Edge, ...], joints: npt.NDArray[np.intp], points: Points, seen: Mask) -> dict[Edge, float]:
    """The edges that motion adds to those of names between these joints, with their confidence."""
    place = {int(joint): index for index, joint in enumerate(joints)}
    start = tuple((place[a], place[b]) for a, b in named if a in place and b in place)
    known = {frozenset(edge) for edge in start}
    together = seen.T.astype(np.float32) @ seen.astype(np.float32) > 0
    edges, confidence = _edges_by_motion(points, seen, start)
    return {
        (int(joints[a]), int(joints[b])): float(sure)
        for (a, b), sure in zip(edges, confidence, strict=True)
        if frozenset((a, b)) not in known and together[a, b]
    }


def _reason(visible: Mask, by_motion: bool) -> str:
    if not by_motion:
        return "the names tell no bones; --infer motion (infer= in Python) asks their motion"
    if not visible.any():
        return "the names tell no bones, and no keypoint is visible"
    frames = int((visible.sum(axis=-1) >= 2).sum())
    return (
        f"the names tell no bones, and {frames} frame{'' if frames == 1 else 's'} that show a pair of joints are too "
        f"few to tell them by motion, wanted at least {FEWEST_FRAMES}"
    )


def _pieces_told(tracks: KeypointTracks) -> str | None:
    """A warning where bones leave the joints of a track in several pieces."""
    most: list[list[str]] = []
    for lacks in tracks.absent():
        names = [name for name, missing in zip(tracks.skeleton.names, lacks, strict=True) if not missing]
        own = tracks.skeleton.subset(names)
        pieces = [[names[joint] for joint in piece] for piece in own.pieces()] if own.edges else []
        most = max(most, pieces, key=len)
    if len(most) < 2:
        return None
    told = [", ".join(piece[:3]) + (", …" if len(piece) > 3 else "") for piece in sorted(most, key=len)[:-1]]
    shown = "; ".join(told[:4]) + ("; …" if len(told) > 4 else "")
    way_out = "; --infer motion (infer= in Python) joins them" if tracks.skeleton.inferred else ""
    return f"the skeleton is in {len(most)} pieces; apart from the largest: {shown}{way_out}"
