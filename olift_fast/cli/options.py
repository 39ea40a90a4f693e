"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from olift_fast.camera_views import PITCHES
from olift_fast.errors import InputError

# `readable=False`: typer must not check paths itself, because its message takes five lines, and ours one.
KeypointFile = Annotated[
    Path, typer.Argument(help="Keypoint file, or a folder of OpenPose JSON.", show_default=False, readable=False)
]
FormatName = Annotated[
    str | None,
    typer.Option("--format", help="Format of FILE; by default recognized from its content.", show_default=False),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        help="Checkpoint: a shipped name, a folder (./small if its name is a shipped one), or owner/name on the Hub.",
    ),
]
SkeletonName = Annotated[
    str | None,
    typer.Option(
        "--skeleton",
        help="Edges and sides: a built-in rig's name, a JSON file, a DeepLabCut project's config.yaml, or a keypoint "
        "file that has them (.slp, .nwb, COCO).",
        show_default=False,
    ),
]


class InferName(StrEnum):
    """The source of bones if none are given."""

    names = "names"
    motion = "motion"
    none = "none"


InferOption = Annotated[
    InferName,
    typer.Option(
        "--infer",
        help="If no bones are given, infer them: names: from the joints' names; motion: also from motion, for joints "
        "whose names don't tell.",
    ),
]
NoInfer = Annotated[bool, typer.Option("--no-infer", help="The same as --infer none: lift without bones.")]
ImageSize = Annotated[
    tuple[int, int] | None,
    typer.Option(
        "--image-size",
        help="Width and height of the picture in pixels, instead of FILE's own; coordinates within 0…1 are scaled by "
        "them.",
        show_default=False,
        metavar="WIDTH HEIGHT",
    ),
]
MinConfidence = Annotated[
    float, typer.Option("--min-confidence", help="Keypoints with a lower confidence count as hidden.")
]


class FrameName(StrEnum):
    """The frame of the joints' coordinates."""

    camera = "camera"
    object = "object"


FrameOption = Annotated[
    FrameName,
    typer.Option("--frame", help="camera: x, y overlay the input's pixels, z is depth in pixels; object: model units."),
]
OldFrame = Annotated[FrameName | None, typer.Option("--output", hidden=True)]
"""The old name of `FrameOption`, for one release: see `console.old_option`."""


class ViewName(StrEnum):
    """Rough positions of the camera: the keys of `PITCHES`."""

    top = "top"
    level = "level"
    below = "below"


Pitch = Annotated[
    float | None,
    typer.Option(
        "--pitch",
        help="Degrees by which the camera looks down (90: straight down, negative: up from below), for models that "
        "take it (small-all), and for the world frame.",
        show_default=False,
        metavar="DEGREES",
    ),
]
View = Annotated[
    ViewName | None,
    typer.Option(
        "--view",
        help=f"Instead of --pitch: {', '.join(f'{view} ({pitch:g})' for view, pitch in PITCHES.items())}.",
        show_default=False,
    ),
]

VideoFile = Annotated[
    Path | None,
    typer.Option("--video", help="The video of the keypoints, drawn below them.", show_default=False, readable=False),
]
VideoOffset = Annotated[
    int | None,
    typer.Option(
        "--offset",
        help="Frame n of the result is frame n + OFFSET of the video; needed if the two differ in length.",
        show_default=False,
    ),
]


class DtypeName(StrEnum):
    """The rounding of the model's products."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    int16 = "int16"
    float16 = "float16"


DeviceName = Annotated[str, typer.Option("--device", help="Where the model runs: cpu, cuda, cuda:1, …")]
Dtype = Annotated[
    DtypeName,
    typer.Option(
        "--dtype",
        help="Rounding of the model's products. bfloat16 is for GPUs and CPUs with AVX512-BF16: faster, and joints "
        "move by about 0.4% of the animal's size; int16 is for x86-64 CPUs, and joints move by 0.1%; float16 "
        "is for GPUs.",
    ),
]
Mirror = Annotated[
    bool, typer.Option("--mirror", help="Also lift the mirror image, and take the mean: more accurate, twice the work.")
]
Smooth = Annotated[
    float | None,
    typer.Option(
        "--smooth",
        help="Smooth the joints over this many seconds (Savitzky-Golay, without lag; extra `smooth`).",
        show_default=False,
        metavar="SECONDS",
    ),
]
Rigid = Annotated[
    bool, typer.Option("--rigid", help="Give each bone one length for the whole track; joints move a little.")
]
BodyFile = Annotated[
    Path | None,
    typer.Option(
        "--body",
        help="Give each bone its length in this body.json of `olift adapt`; if the file has millimeters, --world takes "
        "the size from them.",
        show_default=False,
        readable=False,
    ),
]
TrackNames = Annotated[
    list[str] | None, typer.Option("--track", help="Lift this track only; can be repeated.", show_default=False)
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Read NumPy files with pickled objects: these can run code.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, and nothing else.")]
JsonFile = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="Write the JSON to this file.", show_default=False, readable=False),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def pitch_told(pitch: float | None, view: ViewName | None) -> float | None:
    """The camera's pitch in degrees, from the option that gives it; None if neither does.

    Raises:
        InputError: both are given, or the pitch is out of range.
    """
    from olift_fast.tracks.containers import check_pitch

    if pitch is not None and view is not None:
        raise InputError(f"--pitch {pitch:g} and --view {view.value} tell the same: leave out one")
    check_pitch(pitch, "--pitch")
    return pitch if view is None else PITCHES[view]


def inferring(infer: InferName, no_infer: bool) -> Literal["names", "motion", "none"]:
    """The source of inferred edges, from these two options."""
    return "none" if no_infer else infer.value
