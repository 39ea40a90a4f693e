"""NWB files with poses of the extension ndx-pose, opened by pynwb and read by movement."""

from __future__ import annotations

import h5py

from olift_fast.io.extra import quiet, released, require
from olift_fast.io.format import Format
from olift_fast.io.open_container import HDF5
from olift_fast.io.parsed import Parsed
from olift_fast.io.readers.movement import from_dataset


def read_nwb(file: h5py.File) -> Parsed:
    """The poses of one animal.

    Raises:
        InputError: 3D points.
        MissingExtraError: the extra `io` is not installed.
    """
    path = released(file)
    with quiet():
        load = require("movement.io.load_poses", "reading NWB files")
        pynwb = require("pynwb", "reading NWB files")
        # movement would open only files whose name ends in .nwb.
        with pynwb.NWBHDF5IO(str(path), mode="r") as opened:
            return from_dataset(load.from_nwb_file(opened.read()))


FORMAT = Format(
    name="nwb",
    extensions=(".nwb",),
    extra="io",
    description="NWB with ndx-pose",
    containers=(HDF5,),
    matches=lambda file: "nwb_version" in file.attrs,
    read=read_nwb,
    recognized_by="HDF5 with `nwb_version`",
    takes="ndx-pose series of one animal",
    hint="NWB",
)
