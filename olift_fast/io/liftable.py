"""Reads a file for lifting: its tracks with bones, or an error that says in one line why it can't be lifted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from olift_fast.errors import InputError
from olift_fast.io.read import read_keypoints
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.draft import Infer, with_inferred_skeleton
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.taking import take_keypoints


def read_liftable(
    path: Path,
    format: str | None = None,
    *,
    skeleton: Skeleton | None = None,
    infer: Infer = "names",
    min_confidence: float = 0.3,
    fps: float | None = None,
    image_size: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    allow_pickle: bool = False,
    threshold: str = "min_confidence",
) -> KeypointTracks:
    """The file's tracks, all or those with these names, with inferred edges if the file has none.

    Args:
        path, format, skeleton, fps, image_size, allow_pickle: as for `read_keypoints`.
        infer: as for `with_inferred_skeleton`.
        min_confidence: keypoints with a lower confidence count as hidden.
        names: the names of the wanted tracks; joints that only other tracks have are left out.
        threshold: what the error calls `min_confidence`: the command line's option, for example.

    Raises:
        InputError: there is only one joint, a track is missing, nothing is visible, or as `read_keypoints`.
        MissingExtraError: the format needs an extra that is not installed.
    """
    tracks = read_keypoints(path, format, fps=fps, skeleton=skeleton, image_size=image_size, allow_pickle=allow_pickle)
    if tracks.skeleton.num_joints < 2:
        joint = tracks.skeleton.names[0]
        raise InputError(f"{path}: has one joint ({joint!r}), wanted at least 2: a point alone has no depth")
    if names:
        try:
            tracks = take_keypoints(tracks, names)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    if not tracks.visible(min_confidence).any():
        best = float(tracks.confidence.max(initial=0))
        raise InputError(f"{path}: no keypoint reaches {threshold} {min_confidence:g}, the best has {best:.2g}")
    return with_inferred_skeleton(tracks, infer, min_confidence=min_confidence)
