"""The results of a recording: arrays that are filled track by track, and the `LiftedTracks` made from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast._version import __version__
from olift_fast.errors import InputError
from olift_fast.model.any_lifter import AnyLifter
from olift_fast.tracks.containers import CoordinateFrame, KeypointTracks, LiftedTracks
from olift_fast.tracks.upside_down import view_warnings

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ResultBuffers:
    """A recording that is being lifted, and the arrays for its results.

    Args:
        tracks: the recording.
        visible: ``(N, T, J)``.
        absent: ``(N, J)``, True for joints that a track never has.
        joints: ``(N, T, J, 3)``.
        deviations: ``(N, T, J, 2)`` of x and y, and of z; ``(N, T, J, 0)`` from a model that gives none.
        centers: ``(N, T, 2)`` pixels.
        rotation: ``(N, 3, 3)``.
        scale: ``(N,)``.
    """

    tracks: KeypointTracks
    visible: Mask
    absent: Mask
    joints: Array
    deviations: Array
    centers: Array
    rotation: Array
    scale: Array

    @classmethod
    def of(cls, model: AnyLifter, tracks: KeypointTracks, min_confidence: float) -> ResultBuffers:
        """Empty buffers for a recording; raises InputError if no keypoint is visible."""
        visible = visible_of(tracks, min_confidence)
        shape = visible.shape
        return cls(
            tracks=tracks,
            visible=visible,
            absent=tracks.absent(),
            joints=np.full((*shape, 3), np.nan, np.float32),
            deviations=np.full((*shape, 2 if model.config.uncertainty else 0), np.nan, np.float32),
            centers=np.empty((*shape[:2], 2), np.float32),
            rotation=np.empty((shape[0], 3, 3), np.float32),
            scale=np.empty(shape[0], np.float32),
        )

    def keep(
        self,
        index: int,
        centers: Array,
        part: Array,
        placement: tuple[Array, Array, np.float32],
        frame: CoordinateFrame,
    ) -> None:
        """Stores a track's joints and their placement (`inference.place`)."""
        there = ~self.absent[index]
        placed_joints, self.rotation[index], self.scale[index] = placement
        self.joints[index][:, there] = placed_joints
        unit = self.scale[index] if frame == "camera" else np.float32(1)
        self.deviations[index][:, there] = part[..., 3:] * unit
        self.centers[index] = centers

    def result(
        self, model: AnyLifter, min_confidence: float, frame: CoordinateFrame, pitch: float | None
    ) -> LiftedTracks:
        """The result, after `keep` was called for all tracks."""
        deviations = np.moveaxis(self.deviations, -1, 0)
        return lifted_of(
            model,
            self.tracks,
            min_confidence=min_confidence,
            pitch=pitch,
            visible=self.visible,
            joints=self.joints,
            frame=frame,
            scale=self.scale,
            centers=self.centers,
            rotation=self.rotation,
            **dict(zip(("uncertainty_xy", "uncertainty"), deviations, strict=False)),
        )


Indexed = tuple[ResultBuffers, int]
"""A recording and the number of one of its tracks."""


def groups_of(order: Sequence[Indexed], most: int) -> Iterator[list[Indexed]]:
    """The tracks in groups of at most `most` frames; a longer track is a group by itself."""
    group: list[Indexed] = []
    frames = 0
    for recording, index in order:
        more = recording.tracks.num_frames
        if group and frames + more > most:
            yield group
            group, frames = [], 0
        group.append((recording, index))
        frames += more
    if group:
        yield group


def visible_of(tracks: KeypointTracks, min_confidence: float) -> Mask:
    """``(N, T, J)``, True for visible keypoints; raises InputError if there are none."""
    visible = tracks.visible(min_confidence)
    if not visible.any():
        where = f"{tracks.source}: " if tracks.source else ""
        raise InputError(f"{where}no keypoint is visible at min_confidence {min_confidence:g}")
    return visible


def lifted_of(
    model: AnyLifter, tracks: KeypointTracks, *, min_confidence: float, pitch: float | None, **found: Any
) -> LiftedTracks:
    """The result, with the tracks' own fields (names, skeleton, rate); `found` has the other fields."""
    looks = view_warnings(tracks, min_confidence, takes_pitch=model.config.pitch, pitch_told=pitch is not None)
    return LiftedTracks(
        keypoints=tracks.keypoints,
        confidence=tracks.confidence,
        skeleton=tracks.skeleton,
        tracks=tracks.tracks,
        fps=tracks.fps,
        frames=tracks.frames,
        image_size=tracks.image_size,
        source=tracks.source,
        format=tracks.format,
        notes=tracks.notes,
        warnings=(*tracks.warnings, *looks),
        pitch=pitch,
        model=model.name,
        version=__version__,
        **found,
    )
