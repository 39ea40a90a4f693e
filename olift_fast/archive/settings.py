"""The options with which an archive's recordings are lifted: for all of them, and for those that differ."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from olift_fast.archive.hashes import hash_of
from olift_fast.camera_views import PITCHES
from olift_fast.errors import InputError
from olift_fast.finishing import AS_LIFTED, WorldOptions, check_frames
from olift_fast.io.read import formats
from olift_fast.io.write import kind_of
from olift_fast.model.alignment import check_frame
from olift_fast.model.loading import check_dtype
from olift_fast.tracks.containers import CoordinateFrame, check_pitch
from olift_fast.tracks.draft import Infer
from olift_fast.tracks.rigs import rig_names


@dataclass(frozen=True, kw_only=True)
class LiftSettings:
    """The options of `olift lift` for the files of an archive.

    Args:
        model: a checkpoint's folder, or the name of a shipped one or of one on the Hub.
        format: of the files; by default recognized by their content.
        skeleton: a rig's name, or a file that `read_skeleton` reads.
        infer: how missing bones are inferred: "names", "motion" or "none".
        fps: frames a second, instead of the files' own rates.
        image_size: width and height of the picture in pixels, instead of the files' own.
        min_confidence: keypoints with a lower confidence count as hidden.
        frame: "camera" or "object", see `lift_tracks`.
        mirror: also lift the mirror image, and take the mean.
        smooth: seconds over which the joints are smoothed.
        rigid: give each bone one length for a whole track.
        body: a `body.json` of `olift adapt`: bones get its lengths, and the world frame its millimeters.
        tracks: names of the tracks to lift; by default all.
        pitch: degrees by which the camera looks down, for models that take it, and for the world frame.
        world: how results are brought to the world frame, and calibrated cameras; by default they stay as lifted.
        device: where the model runs: "cpu", "cuda", …
        dtype: the rounding of the model's products: "float32", "bfloat16", "int16" or "float16".
        allow_pickle: open pickled Python objects, which can run any code.
        suffix: ending of the results, which chooses their format: ".npz", ".csv" or another one of `write_lifted`.

    Raises:
        InputError: a value is out of range or unknown.
    """

    model: str = "small"
    format: str | None = None
    skeleton: str | None = None
    infer: Infer = "names"
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    min_confidence: float = 0.3
    frame: CoordinateFrame = "camera"
    mirror: bool = False
    smooth: float | None = None
    rigid: bool = False
    body: str | None = None
    tracks: tuple[str, ...] = ()
    pitch: float | None = None
    world: WorldOptions = AS_LIFTED
    device: str = "cpu"
    dtype: str = "float32"
    allow_pickle: bool = False
    suffix: str = ".npz"

    def __post_init__(self) -> None:
        known = {one.name for one in formats()}
        if self.format is not None and self.format not in known:
            raise InputError(f"format must be one of {', '.join(sorted(known))}, got {self.format!r}")
        if self.infer not in ("names", "motion", "none"):
            raise InputError(f"infer must be names, motion or none, got {self.infer!r}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise InputError(f"fps must be a positive number, got {self.fps:g}")
        if self.image_size is not None and min(self.image_size) < 1:
            raise InputError(f"image_size must be a width and a height in pixels, got {self.image_size}")
        if not 0 <= self.min_confidence <= 1:
            raise InputError(f"min_confidence must be within 0 … 1, got {self.min_confidence:g}")
        if self.smooth is not None and not 0 < self.smooth < math.inf:
            raise InputError(f"smooth must be a positive number of seconds, got {self.smooth:g}")
        check_dtype(self.dtype)
        check_frame(self.frame)
        check_frames(self.world, self.frame)
        check_pitch(self.pitch)
        kind_of(Path(f"result{self.suffix}"))

    def told(self) -> dict[str, Any]:
        """All on which a result depends but the input and the model's weights, as JSON holds it.

        The files of skeletons, bodies and calibrations count by their content.

        Raises:
            InputError: one of these files can't be read.
        """
        told = asdict(self)
        del told["model"]
        told |= told.pop("world")
        told |= {name: list(value) for name, value in told.items() if isinstance(value, tuple)}
        files = {"skeleton": self.skeleton, "body": self.body, "calibration": self.world.calibration}
        if self.skeleton in rig_names():
            del files["skeleton"]
        for name, path in files.items():
            if path is not None:
                told[name] = f"{path} ({_content(name, str(path))})"
        return told


def with_changes(settings: LiftSettings, changes: Mapping[str, Any]) -> LiftSettings:
    """The settings with those of one file, by the names of `LiftSettings` and of `WorldOptions`."""
    if not changes:
        return settings
    of_world = {name: value for name, value in changes.items() if name in _OF_WORLD}
    own = {name: value for name, value in changes.items() if name not in _OF_WORLD}
    return replace(settings, **own, world=replace(settings.world, **of_world) if of_world else settings.world)


_OF_WORLD = {field.name for field in fields(WorldOptions)}


def _content(name: str, path: str) -> str:
    """The hash of a file that a setting names; taken once, unless the file changes."""
    try:
        return _hash(path, stamp_of(path))
    except OSError as error:
        raise InputError(f"{name} {path}: {error.strerror or error}") from error


@lru_cache(maxsize=1024)
def _hash(path: str, stamp: tuple[int, ...]) -> str:
    return hash_of(Path(path))[:16]


def stamp_of(path: str) -> tuple[int, ...]:
    """What differs once a file has been changed; () where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def parsed_change(column: str, text: str, folder: Path) -> tuple[str, Any]:
    """The setting that a cell of a list stands for: its name and its value.

    Args:
        column: one of `COLUMNS`.
        text: of the cell.
        folder: what the paths of skeletons, bodies and calibrations are relative to.

    Raises:
        InputError: the cell can't be of that column.
    """
    name, parse, wanted = COLUMNS[column]
    try:
        value = parse(text)
    except ValueError:
        raise InputError(f"{column} must be {wanted}, got {text!r}") from None
    if name == "body" or (name == "skeleton" and value not in rig_names()):
        value = str(folder / value)
    elif name == "calibration":
        value = folder / value
    return name, value


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d+)\s*[x× ,]\s*(\d+)\s*", text)
    if not found:
        raise ValueError
    return int(found[1]), int(found[2])


def _switch(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.strip().lower()]


def _several(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())


def _view(text: str) -> float:
    return PITCHES[text.strip().lower()]


def _known(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """The function, with a ValueError where it finds no such word."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except KeyError:
            raise ValueError from None

    return parsed


COLUMNS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "format": ("format", str.strip, "a format's name"),
    "skeleton": ("skeleton", str.strip, "a rig's name or a file"),
    "infer": ("infer", str.strip, "names, motion or none"),
    "fps": ("fps", float, "a number"),
    "image_size": ("image_size", _size, "WIDTHxHEIGHT"),
    "min_confidence": ("min_confidence", float, "a number"),
    "frame": ("frame", str.strip, "camera or object"),
    "mirror": ("mirror", _known(_switch), "true or false"),
    "smooth": ("smooth", float, "a number of seconds"),
    "rigid": ("rigid", _known(_switch), "true or false"),
    "body": ("body", str.strip, "a file"),
    "track": ("tracks", _several, "names of tracks, with ; between them"),
    "pitch": ("pitch", float, "a number of degrees"),
    "view": ("pitch", _known(_view), ", ".join(PITCHES)),
    "world": ("world", _known(_switch), "true or false"),
    "up": ("up", str.strip, "x,y,z or JOINT-JOINT"),
    "no_floor": ("floor", _known(lambda text: not _switch(text)), "true or false"),
    "bone": ("bones", _several, "lengths, A-B=31mm, with ; between them"),
    "length": ("stretches", _several, "lengths, A-B=85mm, with ; between them"),
    "height": ("height", str.strip, "a length"),
    "mm_per_pixel": ("mm_per_pixel", float, "a number"),
    "focal": ("focal", float, "a number of pixels"),
    "fov": ("fov", float, "a number of degrees"),
    "calibration": ("calibration", str.strip, "a file"),
    "camera": ("camera", str.strip, "a camera's name"),
    "calibration_unit": ("calibration_unit", str.strip, "m, cm or mm"),
}
"""Columns that a list of recordings may have beside the path: the setting, what reads a cell, what a cell must be."""
