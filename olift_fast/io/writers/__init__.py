"""The formats that a result is written in.

To add a format, write a file with its writer and its `OutputFormat` record, and add the record to `OUTPUT_FORMATS`.
Then run `make report`, which adds the format to docs/formats.md.
"""

from __future__ import annotations

from olift_fast.io.format import OutputFormat
from olift_fast.io.writers import (
    anipose,
    bvh,
    c3d,
    csv_tables,
    dannce,
    deeplabcut_h5,
    gltf,
    movement,
    npz,
    nwb,
    parquet,
    slp,
    trc,
)

#: Every output format, in the order in which messages and docs list them.
OUTPUT_FORMATS: tuple[OutputFormat, ...] = (
    npz.OUTPUT,
    csv_tables.LONG_CSV,
    csv_tables.CSV,
    deeplabcut_h5.OUTPUT,
    movement.NETCDF,
    nwb.OUTPUT,
    parquet.OUTPUT,
    bvh.OUTPUT,
    gltf.GLB,
    gltf.GLTF,
    trc.OUTPUT,
    c3d.OUTPUT,
    slp.OUTPUT,
    anipose.POINTS3D,
    anipose.CSV,
    dannce.OUTPUT,
)
