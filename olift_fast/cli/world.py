"""`olift world`: bring a lifted result to the world frame: upright, on a floor, in meters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from olift_fast.cli.checks import check_image_size, check_lifted, check_result
from olift_fast.cli.console import about, print_json, reported, say, tell, warn
from olift_fast.cli.options import Debug, Json, Pitch, View, pitch_told
from olift_fast.cli.world_options import (
    Bone,
    CalibrationFile,
    CalibrationUnit,
    CameraName,
    Focal,
    Fov,
    Height,
    Length,
    MmPerPixel,
    NoFloor,
    UpOption,
)
from olift_fast.errors import InputError
from olift_fast.finishing import WorldOptions

if TYPE_CHECKING:
    from olift_fast.bodies import Body


@reported
def world(
    result: Annotated[
        Path, typer.Argument(help="A result of `olift lift` (.npz).", show_default=False, readable=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The new result; RESULT.world.npz by default.", show_default=False, readable=False
        ),
    ] = None,
    pitch: Pitch = None,
    view: View = None,
    up: UpOption = None,
    no_floor: NoFloor = False,
    bone: Bone = None,
    length: Length = None,
    height: Height = None,
    mm_per_pixel: MmPerPixel = None,
    body: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --bone: take the size from the millimeters in this body.json of `olift adapt`.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    focal: Focal = None,
    fov: Fov = None,
    calibration: CalibrationFile = None,
    camera: CameraName = None,
    calibration_unit: CalibrationUnit = None,
    image_size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Width and height of the picture in pixels, if RESULT has none; for --focal and --fov.",
            show_default=False,
            metavar="WIDTH HEIGHT",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Bring a lifted result to the world frame: z up, the floor at 0, in meters if a length is known.

    [bold]Examples[/bold]
      olift world dog.lifted.npz
      olift world dog.lifted.npz --pitch 20 --bone shoulder-elbow=16cm -o dog.csv
      olift world walk.lifted.npz --height 1.75m --fov 65
      olift world bird.lifted.npz --no-floor --up 0,-1,0
    """
    from olift_fast.io import read_lifted, write_lifted
    from olift_fast.world import lens_warning
    from olift_fast.world.report import describe, facts

    options = WorldOptions(
        up=up,
        floor=not no_floor,
        bones=bone or (),
        stretches=length or (),
        height=height,
        mm_per_pixel=mm_per_pixel,
        focal=focal,
        fov=fov,
        calibration=calibration,
        camera=camera,
        calibration_unit=calibration_unit,
    )
    known = None if body is None else _sizing_body(body, options)
    check_image_size(image_size)
    check_lifted(result)
    target = out or result.with_name(f"{result.name.removesuffix('.npz').removesuffix('.lifted')}.world.npz")
    check_result(target, result)
    lifted = read_lifted(result)
    if image_size is not None:
        lifted = replace(lifted, image_size=image_size)
    told = pitch_told(pitch, view)
    with about(result, lifted.source):
        placed = options.placed(lifted, told, known)
    write_lifted(placed, target)
    warnings = list(placed.warnings[len(lifted.warnings) :])
    if lifted.calibration is None and (bent := lens_warning(lifted, placed.calibration)) is not None:
        warnings.append(bent)
    if as_json:
        print_json(
            {
                "input": str(result),
                "output": str(target),
                "frame": placed.frame,
                "units": placed.units,
                "world": facts(placed),
                "warnings": warnings,
            }
        )
        return
    for warning in warnings:
        warn(warning)
    say(f"placed: {target} ({placed.units}: {placed.axes})")
    for line in describe(placed):
        tell(line)


def _sizing_body(path: Path, options: WorldOptions) -> Body:
    """The body that gives the size; raises InputError if it has no millimeters, or if another option gives a size."""
    from olift_fast.bodies import read_body

    if options.tells_size:
        raise InputError(f"--body and {options.tells_size[0]} tell the size: leave out one")
    body = read_body(path)
    if body.millimeters is None:
        raise InputError(
            f"{path}: holds no millimeters, which `olift adapt --bone hip-knee=31mm` writes: give --bone here"
        )
    return body
