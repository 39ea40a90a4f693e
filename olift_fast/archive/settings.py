"""How the recordings of an archive are lifted, for all of them and for each that differs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from olift_fast.archive.hashes import hash_of
from olift_fast.camera_views import PITCHES
from olift_fast.errors import InputError
from olift_fast.io.read import formats
from olift_fast.io.write import kind_of
from olift_fast.model.alignment import check_frame
from olift_fast.model.loading import check_dtype
from olift_fast.tracks.containers import CoordinateFrame, check_pitch
from olift_fast.tracks.draft import Infer
from olift_fast.tracks.rigs import rig_names


@dataclass(frozen=True, kw_only=True)
class LiftSettings:
    """What `olift lift` is told of a file, for the files of an archive.

    Args:
        model: a checkpoint's folder, or the name of a shipped one or of one on the Hub.
        format: of the files; recognized by their content by default.
        skeleton: a rig's name, or a file that `read_skeleton` reads.
        infer: what bones are inferred from where nobody gives any: "names", "motion" or "none".
        fps: frames a second, in place of what the files say.
        image_size: width and height of the picture in pixels, in place of what the files say.
        min_confidence: keypoints below it count as hidden.
        frame: "camera" or "object", see `lift_tracks`.
        mirror: lift the mirror image, too, and average.
        pitch: degrees by which the camera looks down, for models that can be told.
        device: where the model runs: "cpu", "cuda", …
        dtype: what the model's products are rounded to: "float32", "bfloat16", "int16" or "float16".
        allow_pickle: open pickled Python objects, which can run any code.
        suffix: ending of the results, which tells their format: ".npz", ".csv" or another one of `write_lifted`.

    Raises:
        InputError: a value that can't be.
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
    pitch: float | None = None
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
        check_dtype(self.dtype)
        check_frame(self.frame)
        check_pitch(self.pitch)
        kind_of(Path(f"result{self.suffix}"))

    def told(self) -> dict[str, Any]:
        """All on which a result depends but the input and the model's weights, as JSON holds it.

        A skeleton's file counts by its content.

        Raises:
            InputError: the skeleton's file can't be read.
        """
        told = asdict(self)
        del told["model"]
        told["image_size"] = list(self.image_size) if self.image_size else None
        if self.skeleton is not None and self.skeleton not in rig_names():
            told["skeleton"] = f"{self.skeleton} ({_content(self.skeleton)})"
        return told


def with_changes(settings: LiftSettings, changes: Mapping[str, Any]) -> LiftSettings:
    """The settings with those of one file."""
    return replace(settings, **changes) if changes else settings


@lru_cache(maxsize=1024)
def _content(path: str) -> str:
    try:
        return hash_of(Path(path))[:16]
    except OSError as error:
        raise InputError(f"skeleton {path}: {error.strerror or error}") from error


def parsed_change(column: str, text: str, folder: Path) -> tuple[str, Any]:
    """The setting that a cell of a list stands for: its name and its value.

    Args:
        column: one of `COLUMNS`.
        text: of the cell.
        folder: what a skeleton's path is relative to.

    Raises:
        InputError: the cell can't be of that column.
    """
    name, parse, wanted = COLUMNS[column]
    try:
        value = parse(text)
    except ValueError:
        raise InputError(f"{column} must be {wanted}, got {text!r}") from None
    if name == "skeleton" and value not in rig_names():
        value = str(folder / value)
    return name, value


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d+)\s*[x× ,]\s*(\d+)\s*", text)
    if not found:
        raise ValueError
    return int(found[1]), int(found[2])


def _switch(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.strip().lower()]


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
    "pitch": ("pitch", float, "a number of degrees"),
    "view": ("pitch", _known(_view), ", ".join(PITCHES)),
}
"""Columns that a list of recordings may have beside the path: the setting, what reads a cell, what a cell must be."""
