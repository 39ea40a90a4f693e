"""The formats that are read, one file for each tool, and the order in which a file is shown to them.

To add a format, write a file with its reader and its `Format` record, list the record in `FORMATS`, and `make report`,
which adds it to docs/formats.md.
"""

from __future__ import annotations

from olift_fast.io.format import Format
from olift_fast.io.readers import (
    alphapose,
    alphatracker,
    animalsyn3d,
    badja,
    coco,
    deeplabcut,
    deeplabcut_h5,
    facemap,
    flat_csv,
    human36m,
    jabs,
    leap,
    long_csv,
    mediapipe_csv,
    mmpose,
    movement,
    npz,
    nwb,
    openpose,
    sleap,
)

#: Every format. Of those that share a container, the first that matches reads the file: the more specific comes first.
FORMATS: tuple[Format, ...] = (
    deeplabcut.FORMAT,
    sleap.ANALYSIS,
    mediapipe_csv.FORMAT,
    long_csv.FORMAT,
    sleap.CSV,
    flat_csv.CSV,
    flat_csv.PARQUET_TABLE,
    sleap.LABELS,
    sleap.JSON_LABELS,
    leap.FORMAT,
    mmpose.FORMAT,
    coco.ANNOTATIONS,
    openpose.FORMAT,
    alphapose.FORMAT,
    coco.RESULTS,
    animalsyn3d.FORMAT,
    badja.FORMAT,
    alphatracker.FORMAT,
    human36m.FORMAT,
    npz.NPZ,
    npz.NPY,
    nwb.FORMAT,
    deeplabcut_h5.FORMAT,
    facemap.FORMAT,
    jabs.FORMAT,
    movement.FORMAT,
)
