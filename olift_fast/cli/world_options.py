"""Options that bring a result to the world frame, which `olift world` and `olift lift --world` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from olift_fast.cli.console import by_option
from olift_fast.errors import InputError

if TYPE_CHECKING:
    from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
    from olift_fast.tracks.skeleton import Skeleton
    from olift_fast.tracks.world_frame import Calibration
    from olift_fast.world import KnownLength

UpOption = Annotated[
    str | None,
    typer.Option(
        "--up",
        help="Which way is up: x,y,z in the camera's axes (0,-1,0 for a level camera), or a pair of joints, hip-neck.",
        show_default=False,
        metavar="X,Y,Z|JOINT-JOINT",
    ),
]
NoFloor = Annotated[bool, typer.Option("--no-floor", help="Look for no floor: animals that climb, swim or fly.")]
Bone = Annotated[
    list[str] | None,
    typer.Option(
        help="A known distance of two joints: shoulder-elbow=310mm; can be repeated.",
        show_default=False,
        metavar="A-B=LENGTH",
    ),
]
Length = Annotated[
    list[str] | None,
    typer.Option(
        help="A known distance of two joints when the animal is stretched out: nose-tail_base=85mm.",
        show_default=False,
        metavar="A-B=LENGTH",
    ),
]
Height = Annotated[
    str | None, typer.Option(help="How tall the person is: 1.75m.", show_default=False, metavar="LENGTH")
]
MmPerPixel = Annotated[float | None, typer.Option(help="Millimeters in a pixel, at the animal.", show_default=False)]
Focal = Annotated[
    float | None, typer.Option(help="Focal length in pixels: then the root path has depth.", show_default=False)
]
Fov = Annotated[
    float | None,
    typer.Option(
        help="In place of --focal: degrees that the camera sees across the picture's width.", show_default=False
    ),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Calibrated cameras: TOML of Anipose or Pose2Sim, or JSON.",
        show_default=False,
        readable=False,
    ),
]
CameraName = Annotated[str | None, typer.Option("--camera", help="Which camera of --calibration.", show_default=False)]
CalibrationUnit = Annotated[
    str | None,
    typer.Option(
        help="Unit of the calibration's translations: m, cm or mm; told from their size by default.", show_default=False
    ),
]


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """What the options say; `world` is False where only the lens distortion is to be taken out."""

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
        """The calibrated camera, if one is named; raises InputError where its file is unusable."""
        from olift_fast.world import read_calibration

        if self.calibration is None:
            return None
        with by_option(str(self.calibration), f"--calibration {self.calibration}"):
            return read_calibration(self.calibration, self.camera)

    def prepared(self, tracks: KeypointTracks) -> KeypointTracks:
        """Keypoints without lens distortion; raises InputError for lengths and joints that the skeleton has not."""
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
        """The known lengths; raises InputError for joints that the skeleton has not, and for what is no length."""
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
        if len(numbers) != 3:
            raise InputError(f"--up must be x,y,z in the camera's axes or a pair of joints, hip-neck, got {self.up!r}")
        return numbers

    def placed(self, result: LiftedTracks, pitch: float | None) -> LiftedTracks:
        """The result in the world frame, or, without `world`, as it is with its calibration.

        Raises:
            InputError: see `to_world`.
        """
        from dataclasses import replace

        from olift_fast.world import focal_of, to_world
        from olift_fast.world.lengths import UNITS

        calibration = self.of_camera or result.calibration
        if not self.world:
            return replace(result, calibration=calibration)
        return to_world(
            result,
            pitch=pitch,
            up=self.direction(),
            lengths=self.lengths(result.skeleton),
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

    split_pair(pair, skeleton, f"--up {pair}")
