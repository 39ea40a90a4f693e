"""Draft skeletons: infers bones from the joints' names and from motion, for files without edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.tracks.anatomy import edges_by_name
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.rigid_pairs import MIN_FRAMES, edges_by_motion
from olift_fast.tracks.skeleton import Skeleton

Source = Literal["name", "motion"]
"""The source of an inferred edge."""
Infer = Literal["names", "motion", "none"]
"""How edges are inferred: from names alone, from names and motion, or not at all."""

ENOUGH_JOINED = 0.9
"""Edges are used if they join at least this share of an animal's joints: an animal with bones at only some joints is
lifted worse than one without any. Chosen on human_cmu, rat_dannce23, fly_df3d_30, human_uiprmd, qs_horse, qs_wolf and
qs_dog_shiba, with the names of some joints hidden."""

NONE_INFERRED = "edges: none inferred"
"""The beginning of a note in tracks for which `with_inferred_skeleton` found no edges."""

Edge = tuple[int, int]
Joints = npt.NDArray[np.intp]
Points = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


class Draft(NamedTuple):
    """A skeleton whose edges were all inferred. Each edge has its source, and a confidence within 0 … 1."""

    skeleton: Skeleton
    sources: tuple[Source, ...]
    confidence: tuple[float, ...]

    @property
    def said(self) -> str:
        """One line about the edges' sources: "edges: 21 inferred from names, 2 from motion"."""
        named, moved = self.sources.count("name"), self.sources.count("motion")
        if not named:
            return f"edges: {moved} inferred from motion"
        return f"edges: {named} inferred from names" + (f", {moved} from motion" if moved else "")


def draft_skeleton(
    names: Sequence[str], keypoints: Points, visible: Mask, *, by_motion: bool = True, least: float = 0.0
) -> Draft | None:
    """Bones inferred from names, completed to one piece by bones inferred from motion; None if there are none.

    Motion joins two joints only if some frame shows both. So the joints of two kinds of animals, which no track has
    together, stay apart. `draft_or_reason` says why there is no draft.

    Args:
        names: (J) distinct joint names.
        keypoints: (N, T, J, 2) x to the right and y down, pixels; hidden ones may have any value.
        visible: (N, T, J).
        by_motion: False to infer from names alone.
        least: an animal gets edges only if they join at least this share of its joints.

    Raises:
        InputError: names that are not distinct, or shapes that disagree.
    """
    draft = draft_or_reason(names, keypoints, visible, by_motion=by_motion, least=least)
    return None if isinstance(draft, str) else draft


def draft_or_reason(
    names: Sequence[str], keypoints: Points, visible: Mask, *, by_motion: bool = True, least: float = 0.0
) -> Draft | str:
    """`draft_skeleton`, but returns the reason instead of None: "the names tell no bones, and bones by motion …"."""
    skeleton = Skeleton(tuple(names))
    keypoints, visible = np.asarray(keypoints), np.asarray(visible, dtype=np.bool_)
    if keypoints.shape != (*visible.shape, 2) or visible.ndim != 3 or visible.shape[-1] != skeleton.num_joints:
        raise InputError(
            f"keypoints must be (N, T, {skeleton.num_joints}, 2) and visible (N, T, {skeleton.num_joints}), "
            f"got {keypoints.shape} and {visible.shape}"
        )
    named: list[Edge] = []
    moved: dict[Edge, float] = {}
    told = 0
    for joints, tracks in _kinds(visible):
        start = edges_by_name(tuple(skeleton.names[joint] for joint in joints))
        by_name = [(int(joints[a]), int(joints[b])) for a, b in start]
        added = _completed(start, joints, keypoints[tracks], visible[tracks]) if by_motion else {}
        told += _joined(by_name)
        if _joined([*by_name, *added]) >= least * len(joints):
            named += by_name
            moved |= added
    if not named and not moved:
        return _reason(told, visible, by_motion)
    edges = (*named, *moved)
    sources: list[Source] = ["name" for _ in named]
    sources += ["motion" for _ in moved]
    confidence = (*(1.0 for _ in named), *moved.values())
    return Draft(replace(skeleton, edges=edges, inferred=(True,) * len(edges)), tuple(sources), confidence)


def with_inferred_skeleton(
    tracks: KeypointTracks, infer: Infer = "names", *, min_confidence: float = 0.3
) -> KeypointTracks:
    """The tracks with edges: their own if they have some, else inferred ones, with a note about them.

    If the edges leave the joints of a track in several pieces, there is a warning.

    Args:
        tracks: from `read_keypoints`.
        infer: "names": from the joints' names; "motion": from names, completed to one piece by motion; "none": no
            edges. Edges are used if they join nine tenths of an animal's joints.
        min_confidence: keypoints with a lower confidence count as hidden.

    Raises:
        InputError: `infer` has another value.
    """
    return with_draft(tracks, draft_of(tracks, infer, min_confidence))


def draft_of(
    tracks: KeypointTracks, infer: Infer, min_confidence: float = 0.3, *, least: float = ENOUGH_JOINED
) -> Draft | str | None:
    """The draft for tracks without edges, with the sides and the name of their skeleton.

    If there is no draft, the reason. None if none is asked for, or if the tracks have edges.
    """
    if infer not in get_args(Infer):
        raise InputError(f"infer must be {' or '.join(map(repr, get_args(Infer)))}, got {infer!r}")
    skeleton = tracks.skeleton
    if infer == "none" or skeleton.edges:
        return None
    visible, by_motion = tracks.visible(min_confidence), infer == "motion"
    draft = draft_or_reason(skeleton.names, tracks.keypoints, visible, by_motion=by_motion, least=least)
    if isinstance(draft, str):
        return draft
    edges, inferred = draft.skeleton.edges, draft.skeleton.inferred
    return draft._replace(skeleton=replace(skeleton, edges=edges, inferred=inferred))


def with_draft(tracks: KeypointTracks, draft: Draft | str | None) -> KeypointTracks:
    """The tracks with the draft of `draft_of`, a note of it, and a warning if the skeleton is in several pieces."""
    if isinstance(draft, Draft):
        tracks = replace(tracks, skeleton=draft.skeleton, notes=(*tracks.notes, draft.said))
    elif draft is not None:
        tracks = replace(tracks, notes=(*tracks.notes, f"{NONE_INFERRED}: {draft}"))
    warning = _pieces_told(tracks)
    return replace(tracks, warnings=(*tracks.warnings, warning)) if warning else tracks


def _kinds(visible: Mask) -> list[tuple[Joints, Mask]]:
    """For each kind of animal, the joints (K) that its tracks have, and which tracks (N) are of the kind.

    If there is only one kind, it has all joints, even those that are never seen.
    """
    has: Mask = np.asarray(visible.any(axis=1))
    left: Mask = np.asarray(has.any(axis=0))
    kinds: list[tuple[Joints, Mask]] = []
    while left.any():
        kind = np.arange(len(left)) == left.argmax()
        while (grown := has[has[:, kind].any(axis=1)].any(axis=0)).sum() > kind.sum():
            kind = grown
        left &= ~kind
        kinds.append((np.asarray(np.flatnonzero(kind)), np.asarray(has[:, kind].any(axis=1))))
    if len(kinds) > 1:
        return kinds
    return [(np.arange(visible.shape[-1]), np.asarray(has.any(axis=1)))]


def _completed(start: tuple[Edge, ...], joints: Joints, keypoints: Points, visible: Mask) -> dict[Edge, float]:
    """The edges that motion adds to `start`, with their confidence.

    Args:
        start: edges from names, as places in `joints`.
        joints: (K) indices of the joints of one kind of animal.
        keypoints: (N, T, J, 2) of the tracks of that kind.
        visible: (N, T, J).
    """
    points, seen = keypoints[:, :, joints], visible[:, :, joints]
    if (seen.sum(axis=-1) >= 2).sum() < MIN_FRAMES:
        return {}
    flat = seen.reshape(-1, len(joints)).astype(np.float32)
    together = flat.T @ flat > 0
    known = {frozenset(edge) for edge in start}
    edges, confidence = edges_by_motion(points, seen, start=start)
    return {
        (int(joints[a]), int(joints[b])): float(sure)
        for (a, b), sure in zip(edges, confidence, strict=True)
        if frozenset((a, b)) not in known and together[a, b]
    }


def _joined(edges: Iterable[Edge]) -> int:
    """The number of joints at the ends of these edges."""
    return len({joint for edge in edges for joint in edge})


def _reason(told: int, visible: Mask, by_motion: bool) -> str:
    """Why there are no edges; `told` is the number of joints that names alone would join."""
    joints = visible.shape[-1]
    names = f"the names join {told} of {joints} joints, too few to go by" if told else "the names tell no bones"
    frames = int((visible.sum(axis=-1) >= 2).sum())
    if not by_motion:
        return names
    if not visible.any():
        return f"{names}, and no keypoint is visible"
    if frames < MIN_FRAMES:
        needed = f"bones by motion need at least {MIN_FRAMES} frames that show a pair of joints"
        return f"{names}, and {needed}, got {frames}"
    return f"{names}, and motion joins too few of the others"


def _pieces_told(tracks: KeypointTracks) -> str | None:
    """A warning if bones leave the joints of a track in several pieces."""
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
    way_out = "; --infer motion joins them" if tracks.skeleton.inferred else ""
    return f"the skeleton is in {len(most)} pieces; apart from the largest: {shown}{way_out}"
