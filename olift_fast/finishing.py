"""What is done with a result before it is written: smoothing, the world frame, and steady bones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olift_fast.errors import InputError, by_option
from olift_fast.stages import Stages

if TYPE_CHECKING:
    from olift_fast.bodies import Body
    from olift_fast.tracks.containers import CoordinateFrame, KeypointTracks, LiftedTracks
    from olift_fast.tracks.skeleton import Skeleton
    from olift_fast.tracks.world_frame import Calibration
    from olift_fast.world import KnownLength

SEVERAL, SEEN = 5, 0.3
"""The size comes from this many of a body's longest bones whose ends are both visible in this share of the frames."""


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """The options of `olift world`: how a result is brought to the world frame.

    Args:
        world: False to remove the lens distortion only.
        up: which way is up: "x,y,z" in the camera's axes, or a pair of joints, "hip-neck".
        floor: whether the animals stand on a floor.
        bones: known distances between two joints, "shoulder-elbow=310mm".
        stretches: the same, at full stretch of the animal.
        height: a person's height, "1.75m".
        mm_per_pixel: millimeters in a pixel, at the animal.
        focal: the focal length in pixels.
        fov: instead of `focal`, the degrees that the camera sees across the picture's width.
        calibration: a file of calibrated cameras.
        camera: the name of one of them.
        calibration_unit: unit of the file's translations, "m", "cm" or "mm"; guessed from their size by default.

    Raises:
        InputError: a value is out of range, or two options give the same quantity.
    """

    world: bool = True
    up: str | None = None
    floor: bool = True
    bones: Sequence[str] = ()
    stretches: Sequence[str] = ()
    height: str | None = None
    mm_per_pixel: float | None = None
    focal: float | None = None
    fov: float | None = None
    calibration: Path | None = None
    camera: str | None = None
    calibration_unit: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("--focal", self.focal), ("--mm-per-pixel", self.mm_per_pixel)):
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"{name} must be a positive number, got {value:g}")
        told = [
            name
            for name, value in (("--focal", self.focal), ("--fov", self.fov), ("--calibration", self.calibration))
            if value is not None
        ]
        if len(told) > 1:
            raise InputError(f"{' and '.join(told)} tell the same: leave out one")
        if self.calibration is None and (self.camera or self.calibration_unit):
            raise InputError("--camera and --calibration-unit are of a --calibration: give its file")
        if self.calibration_unit is not None and self.calibration_unit not in _UNITS:
            raise InputError(f"--calibration-unit must be one of {', '.join(_UNITS)}, got {self.calibration_unit!r}")
        of_world = {
            "--up": self.up is not None,
            "--no-floor": not self.floor,
            "--bone": self.bones,
            "--length": self.stretches,
            "--height": self.height is not None,
            "--focal": self.focal is not None,
            "--fov": self.fov is not None,
            "--mm-per-pixel": self.mm_per_pixel is not None,
        }
        given = [name for name, value in of_world.items() if value]
        if given and not self.world:
            raise InputError(f"{' and '.join(given)} need{'s' if len(given) == 1 else ''} --world")

    @cached_property
    def of_camera(self) -> Calibration | None:
        """The calibrated camera, or None without a `calibration`; raises InputError if the file is unusable."""
        from olift_fast.world import read_calibration

        if self.calibration is None:
            return None
        with by_option(str(self.calibration), f"--calibration {self.calibration}"):
            return read_calibration(self.calibration, self.camera)

    def prepared(self, tracks: KeypointTracks) -> KeypointTracks:
        """Keypoints without lens distortion; raises InputError if an option names joints that the skeleton lacks."""
        from olift_fast.world import focal_of, undistorted

        self.lengths(tracks.skeleton)
        if isinstance(up := self.direction(), str):
            _check_joints(up, tracks.skeleton)
        calibration = self.of_camera
        if calibration is not None:
            return undistorted(tracks, calibration)
        if self.fov is not None:
            focal_of(self.fov, tracks.image_size)
        if self.focal is not None and tracks.image_size is None:
            raise InputError("--focal needs the picture's size: --image-size WIDTH HEIGHT")
        return tracks

    def lengths(self, skeleton: Skeleton) -> list[KnownLength]:
        """The known lengths; raises InputError for joints that the skeleton lacks and for invalid lengths."""
        from olift_fast.world import parse_length

        asked: dict[Literal["bone", "length", "height"], Sequence[str]] = {
            "bone": self.bones,
            "length": self.stretches,
            "height": () if self.height is None else (self.height,),
        }
        found = []
        for kind, texts in asked.items():
            for text in texts:
                with by_option(repr(text), f"--{kind} {text}"):
                    found.append(parse_length(text, kind, skeleton))
        if self.mm_per_pixel is not None:
            found.append(parse_length(f"{self.mm_per_pixel!r}", "pixel", skeleton))
        return found

    def direction(self) -> str | list[float] | None:
        """`--up`: three numbers, or a pair of joints."""
        if self.up is None:
            return None
        try:
            numbers = [float(part) for part in self.up.split(",")]
        except ValueError:
            if "-" in self.up:
                return self.up
            numbers = []
        if len(numbers) != 3 or not any(numbers) or not all(map(math.isfinite, numbers)):
            raise InputError(
                f"--up must be x,y,z in the camera's axes, not all 0, or a pair of joints, hip-neck, got {self.up!r}"
            )
        return numbers

    @property
    def tells_size(self) -> list[str]:
        """Those of the given options from which the animal's size follows."""
        told = (("bone", self.bones), ("length", self.stretches), ("height", self.height))
        of_pixel = [] if self.mm_per_pixel is None else ["--mm-per-pixel"]
        return [f"--{name}" for name, value in told if value] + of_pixel

    def sized_by(self, body: Body | None) -> bool:
        """Whether the size comes from a body's millimeters: the body has some, and no option gives a length."""
        return self.world and body is not None and body.millimeters is not None and not self.tells_size

    def placed(self, result: LiftedTracks, pitch: float | None, body: Body | None = None) -> LiftedTracks:
        """The result in the world frame; without `world` the result as it is, with its calibration.

        Args:
            result: as it was lifted.
            pitch: degrees by which the camera looks down.
            body: its millimeters give the size if no option does.

        Raises:
            InputError: see `to_world`.
        """
        from olift_fast.world import focal_of, to_world
        from olift_fast.world.lengths import UNITS

        calibration = self.of_camera or result.calibration
        if not self.world:
            return replace(result, calibration=calibration)
        lengths = self.lengths(result.skeleton)
        if body is not None and self.sized_by(body):
            lengths = lengths_of_body(body, result)
            result = replace(result, warnings=(*result.warnings, *_sizes_unknown(body, result)))
        up = self.direction()
        if isinstance(up, str):
            _check_joints(up, result.skeleton)
        return to_world(
            result,
            pitch=pitch,
            up=up,
            lengths=lengths,
            focal=self.focal if self.fov is None else focal_of(self.fov, result.image_size),
            calibration=calibration,
            calibration_unit=None if self.calibration_unit is None else UNITS[self.calibration_unit],
            floor=self.floor,
        )


_UNITS = ("m", "cm", "mm")
AS_LIFTED = WorldOptions(world=False)
"""Leaves a result in the camera frame."""


def _check_joints(pair: str, skeleton: Skeleton) -> None:
    from olift_fast.world.lengths import split_pair

    with by_option(repr(pair), f"--up {pair}"):
        split_pair(pair, skeleton, pair)


@dataclass(frozen=True, kw_only=True)
class Finishing:
    """The options of `olift lift` and `olift archive` for what follows the lift.

    Args:
        smooth: seconds over which joints are smoothed (`smooth_joints`).
        rigid: each bone gets one length for a whole track (`steady_bones`).
        body: the bones get the lengths of this body instead of their own.
        placement: how the result is brought to the world frame.
        pitch: degrees by which the camera looks down.
    """

    smooth: float | None = None
    rigid: bool = False
    body: Body | None = None
    placement: WorldOptions = AS_LIFTED
    pitch: float | None = None

    @property
    def steadies(self) -> bool:
        """Whether bones get one length each."""
        return self.rigid or self.body is not None

    @property
    def steadied_by(self) -> str:
        """The option that decides the lengths of bones."""
        return "--rigid" if self.body is None else "--body"

    @property
    def changes_joints(self) -> bool:
        """Whether the model's joints are changed before they are written; this needs all frames at once."""
        return self.smooth is not None or self.steadies or self.placement.world

    def check(self, frame: CoordinateFrame) -> None:
        """Raises InputError or MissingExtraError for an option that fails with any recording."""
        check_frames(self.placement, frame)
        if self.smooth is not None:
            from olift_fast.bodies.smoothing import require_scipy

            require_scipy()

    def prepared(self, tracks: KeypointTracks) -> KeypointTracks:
        """The keypoints to lift; raises InputError if their result can't be finished with these options."""
        from olift_fast.bodies.rigid import check_bones
        from olift_fast.bodies.smoothing import smoothing_of

        tracks = self.placement.prepared(tracks)
        if self.smooth is not None:
            with by_option("smoothing", "--smooth"):
                smoothing_of(tracks, self.smooth)
        if self.steadies:
            check_bones(tracks, self.body)
        return tracks

    def pitch_for_model(self, told: bool) -> float | None:
        """The pitch to give to the model; None if the model does not take it and the world frame does."""
        return self.pitch if told or not self.placement.world else None

    def finished(self, lifted: LiftedTracks, stages: Stages) -> LiftedTracks:
        """The result smoothed, in the world frame and with steady bones, each if asked for."""
        from olift_fast.bodies import smooth_joints, steady_bones

        if self.smooth is not None:
            with stages.measure("steady"):
                lifted = smooth_joints(lifted, self.smooth)
        placed = self.placement.placed(lifted, self.pitch, self.body)
        if self.steadies:
            # After the world frame, which finds depth from how the bones' sizes change in the picture.
            with stages.measure("steady"):
                placed = steady_bones(placed, self.body, sized=self.placement.sized_by(self.body))
        return placed


def check_frames(placement: WorldOptions, frame: CoordinateFrame) -> None:
    """Raises InputError if the options ask for two frames at once."""
    if placement.world and frame != "camera":
        raise InputError(f"--world and --frame {frame} ask for two frames: leave out one")


def lengths_of_body(body: Body, result: LiftedTracks) -> list[KnownLength]:
    """The lengths in millimeters that a body gives for a result: of the `SEVERAL` longest bones seen in it.

    A bone and its twin on the other side count as one, because `to_world` looks at both. The lengths are those that all
    individuals of the body share: their sizes relative to each other are not known.

    Args:
        body: if it has no millimeters, there are no lengths.
        result: must have the bones of the body. Bones seen in less than 30 % of the frames come last, and those that
            are never seen are left out.

    Raises:
        InputError: the result has other bones.
    """
    import numpy as np

    from olift_fast.world import KnownLength
    from olift_fast.world.size import with_twins

    skeleton = result.skeleton
    lengths, _ = body.along(skeleton, result.source)
    if body.millimeters is None:
        return []
    first, second = np.array(skeleton.edges).T
    share = (result.visible[..., first] & result.visible[..., second]).mean(axis=1).max(axis=0)
    shown = np.flatnonzero((share > 0) & np.isfinite(lengths)).tolist()
    found: dict[frozenset[frozenset[int]], KnownLength] = {}
    for bone in sorted(shown, key=lambda bone: (share[bone] <= SEEN, -lengths[bone])):
        pair = skeleton.edges[bone]
        whole = frozenset(frozenset(pair) for pair in with_twins((pair,), skeleton))
        size = float(lengths[bone]) * body.millimeters
        text = f"{skeleton.names[pair[0]]}-{skeleton.names[pair[1]]}={size:.4g}mm"
        found.setdefault(whole, KnownLength("bone", size / 1000, (pair,), text))
    return list(found.values())[:SEVERAL]


def _sizes_unknown(body: Body, result: LiftedTracks) -> Iterator[str]:
    names = list(dict.fromkeys(name for track in result.tracks if (name := body.whose(track, result.source))))
    if names:
        yield (
            f"{body.source or 'the body'}: its millimeters are of what all its individuals share: how large "
            f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''} would be beside the others is not known"
        )
