"""The formats that a result is written in.

To add a format, write a file with its writer and its `OutputFormat` record, list the record in `OUTPUT_FORMATS`, and
`make report`, which adds it to docs/formats.md.
"""

from __future__ import annotations

from olift_fast.io.format import OutputFormat
from olift_fast.io.writers import csv_tables, deeplabcut_h5, movement, npz

#: Every output format, in the order in which messages and docs list them.
OUTPUT_FORMATS: tuple[OutputFormat, ...] = (
    npz.OUTPUT,
    csv_tables.LONG_CSV,
    csv_tables.CSV,
    deeplabcut_h5.OUTPUT,
    movement.NETCDF,
    movement.NWB,
)
