"""Tracks of 2D keypoints, which the readers return, and of 3D joints, which the model returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton, check_writable
from olift_fast.tracks.world_frame import Calibration, WorldFrame

CoordinateFrame = Literal["camera", "object"]
"""The frames of coordinates that a lift can give."""

ResultFrame = CoordinateFrame | Literal["world"]
"""The frames of coordinates of a result, see `LiftedTracks.frame`."""

AXES = {
    "camera": "x right, y down, z away from the camera",
    "object": "the object's own frame",
    "world": "x right, y away from the camera, z up",
}
_CALIBRATED_AXES = "those of the calibration's world"

MAX_COORDINATE = 1e9
"""The most pixels from the origin. Sums of many such squares are still far below the largest float32."""


@dataclass(frozen=True, eq=False)
class KeypointTracks:
    """2D keypoints of N tracks over T frames, as in a file.

    Args:
        keypoints: (N, T, J, 2) x to the right and y down, pixels; NaN where nothing was detected.
        confidence: (N, T, J) from 0 to 1. If the file has none, 1 where there is a keypoint; 0 where there is none.
        skeleton: the J joints; its edges are () if the file has none.
        tracks: (N) track names.
        fps: frames a second, if known.
        frames: (T) frame numbers in the original video, increasing; None means 0 … T-1.
        image_size: width and height in pixels, if known.
        source: where the tracks come from, for messages.
        format: the format that was read.
        notes: choices made when the file was read, for `olift info`: its convention, and what was left out.
        warnings: likely faults of the keypoints, which every command shows.

    Raises:
        InputError: shapes that disagree, or impossible values, such as coordinates beyond `MAX_COORDINATE`. The message
            begins with `source`.
    """

    keypoints: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    skeleton: Skeleton
    tracks: tuple[str, ...]
    fps: float | None = None
    frames: npt.NDArray[np.int64] | None = None
    image_size: tuple[int, int] | None = None
    source: str | None = None
    format: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _set(self, "keypoints", np.asarray(self.keypoints, dtype=np.float32))
        _set(self, "confidence", np.asarray(self.confidence, dtype=np.float32))
        _settle_shared(self)
        tracks, frames, joints = self.num_tracks, self.num_frames, self.skeleton.num_joints
        _check_shape(self.source, "confidence", self.confidence, (tracks, frames, joints))
        _check_range(self)

    @property
    def num_tracks(self) -> int:
        """The number of tracks, N."""
        return len(self.tracks)

    @property
    def num_frames(self) -> int:
        """The number of frames, T."""
        return int(self.keypoints.shape[1])

    def visible(self, min_confidence: float = 0.3) -> npt.NDArray[np.bool_]:
        """(N, T, J) True where a keypoint is finite and its confidence is at least `min_confidence`."""
        finite = np.isfinite(self.keypoints).all(axis=-1)
        return np.asarray(finite & (self.confidence >= min_confidence), dtype=np.bool_)

    def absent(self) -> npt.NDArray[np.bool_]:
        """(N, J) True where a track never has a joint that another track has.

        These are the body parts of another kind of animal: a file has one list of joints for all tracks. A track
        without any keypoint counts as having all joints.
        """
        has = np.asarray((np.isfinite(self.keypoints).all(axis=-1) & (self.confidence > 0)).any(axis=1))
        return np.asarray(~has & has.any(axis=0) & has.any(axis=1, keepdims=True), dtype=np.bool_)


@dataclass(frozen=True, eq=False, kw_only=True)
class LiftedTracks:
    """3D joints of N tracks over T frames, with the 2D input that they were lifted from.

    Args:
        joints: (N, T, J, 3) in the axes of `frame`, in `units`. NaN in frames of a track without a visible keypoint in
            the model's receptive field, and for joints that the track never has but another track has
            (`KeypointTracks.absent`). Finite everywhere else.
        keypoints, confidence, skeleton, tracks, fps, frames, image_size, source, format, notes, warnings: the input
            (`KeypointTracks`).
        visible: (N, T, J) True for keypoints that the model saw.
        frame: "camera": x right, y down, z away from the camera; x and y overlay the input's pixels, z is depth in
            pixels relative to the animal's center. "object": the model's own frame and unit. "world": z up, against
            gravity; x to the camera's right and y away from it, both level; or the axes of the calibration's world
            (`WorldFrame.calibrated`).
        scale: (N) pixels in one model unit.
        centers: (N, T, 2) the center in pixels that normalization subtracted.
        rotation: (N, 3, 3) the rotation from the object's to the camera's frame that was applied.
        pitch: degrees by which the camera looks down (90: straight down, negative: up from below), as given to the
            model; None if none was given.
        model: the name of the model.
        version: its version.
        uncertainty: (N, T, J) the standard deviation of z, in the unit of `joints`: in about two of three cases the
            truth is within one standard deviation. NaN where the joint is NaN. None from models that give none. In the
            world frame it is the standard deviation along the camera's viewing direction.
        uncertainty_xy: (N, T, J) the standard deviation of x and of y, in the camera's axes.
        meters_per_pixel: (N) the size of a pixel at each animal, if a length is known; `joints` are then in meters.
            None if no length is known.
        contacts: (N, T, J) True where a joint stands on the floor; None if no floor was looked for.
        world: how the joints got into the world frame; None in other frames.
        calibration: the camera of the recording, if known; its lens distortion is removed from the keypoints.

    Raises:
        InputError: shapes that disagree, or impossible values. The message begins with `source`.
    """

    joints: npt.NDArray[np.float32]
    keypoints: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    skeleton: Skeleton
    tracks: tuple[str, ...]
    fps: float | None = None
    frames: npt.NDArray[np.int64] | None = None
    image_size: tuple[int, int] | None = None
    source: str | None = None
    format: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    frame: ResultFrame = "camera"
    scale: npt.NDArray[np.float32]
    centers: npt.NDArray[np.float32]
    rotation: npt.NDArray[np.float32]
    pitch: float | None = None
    model: str
    version: str
    uncertainty: npt.NDArray[np.float32] | None = None
    uncertainty_xy: npt.NDArray[np.float32] | None = None
    meters_per_pixel: npt.NDArray[np.float32] | None = None
    contacts: npt.NDArray[np.bool_] | None = None
    world: WorldFrame | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        for name in ("joints", "keypoints", "confidence", "scale", "centers", "rotation"):
            _set(self, name, np.asarray(getattr(self, name), dtype=np.float32))
        _set(self, "visible", np.asarray(self.visible, dtype=np.bool_))
        _settle_shared(self)
        tracks, frames, joints = self.num_tracks, self.num_frames, self.skeleton.num_joints
        _check_shape(self.source, "joints", self.joints, (tracks, frames, joints, 3))
        _check_shape(self.source, "confidence", self.confidence, (tracks, frames, joints))
        _check_shape(self.source, "visible", self.visible, (tracks, frames, joints))
        _check_shape(self.source, "scale", self.scale, (tracks,))
        _check_shape(self.source, "centers", self.centers, (tracks, frames, 2))
        _check_shape(self.source, "rotation", self.rotation, (tracks, 3, 3))
        if (self.uncertainty is None) != (self.uncertainty_xy is None):
            raise _error(self.source, "uncertainty and uncertainty_xy must both be given, or neither")
        for name in ("uncertainty", "uncertainty_xy"):
            if getattr(self, name) is not None:
                _set(self, name, np.asarray(getattr(self, name), dtype=np.float32))
                _check_shape(self.source, name, getattr(self, name), (tracks, frames, joints))
        if self.frame not in AXES:
            raise _error(self.source, f"frame must be 'camera', 'object' or 'world', got {self.frame!r}")
        if self.meters_per_pixel is not None:
            _set(self, "meters_per_pixel", np.asarray(self.meters_per_pixel, dtype=np.float32))
            _check_shape(self.source, "meters_per_pixel", self.meters_per_pixel, (tracks,))
        if self.contacts is not None:
            _set(self, "contacts", np.asarray(self.contacts, dtype=np.bool_))
            _check_shape(self.source, "contacts", self.contacts, (tracks, frames, joints))
        if self.world is not None:
            if self.frame != "world":
                raise _error(self.source, f"world is of joints in the frame 'world', got those in {self.frame!r}")
            _check_shape(self.source, "world.origin", self.world.origin, (tracks, 3))
        if self.pitch is not None:
            _set(self, "pitch", float(self.pitch))
            check_pitch(self.pitch, f"{self.source}: pitch" if self.source else "pitch")

    @property
    def num_tracks(self) -> int:
        """The number of tracks, N."""
        return len(self.tracks)

    @property
    def num_frames(self) -> int:
        """The number of frames, T."""
        return int(self.keypoints.shape[1])

    @property
    def units(self) -> str:
        """The unit of `joints`: "meters" if a length is known, else "pixels".

        In the object frame without a known length it is "model units": one is `scale` pixels.
        """
        if self.meters_per_pixel is not None:
            return "meters"
        return "model units" if self.frame == "object" else "pixels"

    @property
    def axes(self) -> str:
        """The axes of `joints`, in words."""
        return _CALIBRATED_AXES if self.world is not None and self.world.calibrated else AXES[self.frame]

    @property
    def camera(self) -> str | None:
        """The pitch in words, "camera looks down by 60°"; None if the model was given none."""
        if self.pitch is None:
            return None
        return f"camera looks {'up' if self.pitch < 0 else 'down'} by {abs(self.pitch):g}°"


def check_pitch(pitch: float | None, name: str = "pitch") -> None:
    """Raises InputError, which begins with `name`, unless the camera's pitch is None or from -90 to 90 degrees."""
    if pitch is not None and not -90 <= pitch <= 90:
        wanted = "from -90 (the camera looks straight up) to 90 degrees (straight down)"
        raise InputError(f"{name} must be {wanted}, got {pitch:g}")


def _settle_shared(value: KeypointTracks | LiftedTracks) -> None:
    """Checks the fields of both classes, and turns lists and numpy scalars into the documented types."""
    source = value.source
    for name in ("tracks", "notes", "warnings"):
        _set(value, name, tuple(str(text) for text in getattr(value, name)))
    check_writable(f"{source}: track names" if source else "track names", value.tracks)
    if value.keypoints.ndim != 4 or value.keypoints.shape[-1] != 2:
        raise _error(source, f"keypoints must be (tracks, frames, joints, 2), got {value.keypoints.shape}")
    frames = value.keypoints.shape[1]
    _check_shape(source, "keypoints", value.keypoints, (len(value.tracks), frames, value.skeleton.num_joints, 2))
    if len(set(value.tracks)) != len(value.tracks):
        raise _error(source, f"track names must be distinct, got {', '.join(value.tracks)}")
    if value.fps is not None:
        _set(value, "fps", float(value.fps))
        if not 0 < float(value.fps) < float("inf"):
            raise _error(source, f"fps must be a positive number, got {value.fps}")
    if value.frames is not None:
        _set(value, "frames", np.asarray(value.frames, dtype=np.int64))
        _check_shape(source, "frames", value.frames, (frames,))
        if (np.diff(value.frames) <= 0).any():
            raise _error(source, "frame numbers must increase")
    if value.image_size is not None:
        width, height = (int(side) for side in value.image_size)
        if width <= 0 or height <= 0:
            raise _error(source, f"image size must be positive (width, height), got ({width}, {height})")
        _set(value, "image_size", (width, height))


def _check_range(value: KeypointTracks) -> None:
    """Raises InputError if a finite coordinate is beyond `MAX_COORDINATE`; others are not keypoints."""
    if not (np.abs(value.keypoints) > MAX_COORDINATE).any():
        return
    points = np.where(np.isfinite(value.keypoints), np.abs(value.keypoints), 0)
    track, frame, joint, axis = np.unravel_index(int(points.argmax()), points.shape)
    seen = float(value.keypoints[track, frame, joint, axis])
    if abs(seen) > MAX_COORDINATE:
        where = f"joint {value.skeleton.names[joint]!r} of track {value.tracks[track]!r}, frame {frame}"
        raise _error(value.source, f"keypoints must be within ±{MAX_COORDINATE:.0e} pixels, got {seen:.4g} ({where})")


def _check_shape(source: str | None, name: str, value: npt.NDArray[Any], wanted: tuple[int, ...]) -> None:
    if value.shape != wanted:
        raise _error(source, f"{name} must have shape {wanted}, got {value.shape}")


def _error(source: str | None, message: str) -> InputError:
    return InputError(f"{source}: {message}" if source else message)


def _set(instance: object, name: str, value: object) -> None:
    object.__setattr__(instance, name, value)
