"""Options that bring a result to the world frame, which `olift world`, `olift lift` and `olift archive` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WorldFlag = Annotated[
    bool, typer.Option("--world", help="Bring the result to the world frame: z up, on a floor (see `olift world`).")
]
UpOption = Annotated[
    str | None,
    typer.Option(
        "--up",
        help="Which way is up: x,y,z in the camera's axes (0,-1,0 for a level camera), or a pair of joints, hip-neck.",
        show_default=False,
        metavar="X,Y,Z|JOINT-JOINT",
    ),
]
NoFloor = Annotated[
    bool, typer.Option("--no-floor", help="Don't look for a floor: for animals that climb, swim or fly.")
]
Bone = Annotated[
    list[str] | None,
    typer.Option(
        help="A known distance between two joints: shoulder-elbow=310mm; can be repeated.",
        show_default=False,
        metavar="A-B=LENGTH",
    ),
]
Length = Annotated[
    list[str] | None,
    typer.Option(
        help="A known distance between two joints at full stretch of the animal: nose-tail_base=85mm.",
        show_default=False,
        metavar="A-B=LENGTH",
    ),
]
Height = Annotated[
    str | None, typer.Option(help="How tall the person is: 1.75m.", show_default=False, metavar="LENGTH")
]
MmPerPixel = Annotated[float | None, typer.Option(help="Millimeters in a pixel, at the animal.", show_default=False)]
Focal = Annotated[
    float | None, typer.Option(help="Focal length in pixels; with it the root path has depth.", show_default=False)
]
Fov = Annotated[
    float | None,
    typer.Option(
        help="Instead of --focal: degrees that the camera sees across the picture's width.", show_default=False
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
CameraName = Annotated[
    str | None, typer.Option("--camera", help="The name of a camera in --calibration.", show_default=False)
]
CalibrationUnit = Annotated[
    str | None,
    typer.Option(
        help="Unit of the calibration's translations: m, cm or mm; by default guessed from their size.",
        show_default=False,
    ),
]
