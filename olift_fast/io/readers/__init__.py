"""The formats that are read, one file for each tool, and the order in which a file is shown to them.

To add a format, write a file with its reader and its `Format` record, list the record in `FORMATS`, and `make report`,
which adds it to docs/formats.md.
"""

from __future__ import annotations

from olift_fast.io.format import Format
from olift_fast.io.readers import (
    alphapose,
    alphapose_pictures,
    alphatracker,
    animalsyn3d,
    badja,
    coco,
    deeplabcut,
    deeplabcut_h5,
    detectron,
    human36m,
    labelme,
    leap,
    mars,
    mediapipe,
    mmpose,
    movement,
    npz,
    nwb,
    openpifpaf,
    openpose,
    sleap,
    sleap_labels,
    superanimal,
    ultralytics,
    vitpose,
)

#: Every format. Of those that share a container, the first that matches reads the file: the more specific comes first.
FORMATS: tuple[Format, ...] = (
    deeplabcut.FORMAT,
    sleap.ANALYSIS,
    sleap.CSV,
    sleap_labels.LABELS,
    sleap_labels.JSON_LABELS,
    leap.FORMAT,
    mmpose.FORMAT,
    coco.ANNOTATIONS,
    mmpose.PICTURES,
    openpose.FORMAT,
    openpose.LIST,
    alphapose_pictures.FORMAT,
    alphapose.FORMAT,
    coco.RESULTS,
    animalsyn3d.FORMAT,
    badja.FORMAT,
    alphatracker.FORMAT,
    superanimal.FORMAT,
    ultralytics.RESULTS,
    openpifpaf.LINES,
    vitpose.FORMAT,
    mars.FORMAT,
    labelme.FORMAT,
    openpifpaf.PICTURES,
    ultralytics.LABELS,
    mediapipe.JSON_FRAMES,
    mediapipe.NPY,
    human36m.FORMAT,
    detectron.FORMAT,
    npz.NPZ,
    npz.NPY,
    nwb.FORMAT,
    deeplabcut_h5.FORMAT,
    movement.FORMAT,
)
