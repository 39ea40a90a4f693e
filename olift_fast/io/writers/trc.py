"""Writes TRC, OpenSim's text file of markers, with Y up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from olift_fast.errors import InputError, printable
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.axes import y_up
from olift_fast.io.writers.timing import timeline
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

# OpenSim converts lengths in "m". If it does not know the unit, it keeps the numbers as they are.
_UNITS = {"meters": "m", "pixels": "px", "model units": "model_units"}


def write_trc(result: LiftedTracks, path: Path) -> None:
    """Writes the joints of one track as markers. Frame numbers that the result skips become frames without markers."""
    names, times = result.skeleton.names, timeline(result)
    rate, first, count = f"{times.rate:.9g}", times.first, times.length
    joints = times.spread(y_up(result.joints[0], result.frame)).reshape(count, -1)
    head = [
        f"PathFileType\t4\t(X/Y/Z)\t{printable(f'olift-fast {result.model} {result.version}')}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{count}\t{len(names)}\t{_UNITS[result.units]}\t{rate}\t{first}\t{count}",
        "Frame#\tTime\t" + "".join(f"{name}\t\t\t" for name in names),
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ"),
        "",
    ]
    # Nine significant digits restore a float32 exactly.
    template = "%d\t%.9g" + "\t%.9g" * joints.shape[1] + "\n"
    seconds = times.numbers / result.fps if result.fps else np.zeros(count)
    with path.open("wb") as file:
        file.write(("\n".join(head) + "\n").encode())
        for frame, time, row in zip(times.numbers.tolist(), seconds.tolist(), joints, strict=True):
            file.write((template % (frame, time, *row.tolist())).encode())


def _check(tracks: KeypointTracks | LiftedTracks) -> None:
    """Raises InputError for frames that are far apart, and for a joint's name that is empty or has a tab or newline."""
    timeline(tracks)
    for name in tracks.skeleton.names:
        if not name.strip() or len(name.splitlines()) > 1 or "\t" in name:
            raise InputError(f"TRC can't hold an empty joint name, or one with a tab or a line's end, got {name!r:.60}")


OUTPUT = OutputFormat(
    name="trc",
    suffix=".trc",
    extra=None,
    description="OpenSim's markers; Y up; one track",
    holds="joints, float32 exactly; frame numbers, times, fps, units (`m`, `px`); `nan` where a joint is not known",
    drops="edges, confidence, visibility, uncertainty, all but the model's name",
    write=write_trc,
    title="TRC",
    wants=("one track", "fps"),
    check=_check,
)
