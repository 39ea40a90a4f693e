"""Files of results with standard deviations."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olift_fast.io import read_lifted, write_lifted
from olift_fast.tracks.containers import LiftedTracks

Make = Callable[..., LiftedTracks]


@pytest.fixture
def result(make_lifted: Make) -> LiftedTracks:
    shape = make_lifted().visible.shape
    deviations = np.random.default_rng(7).uniform(0.1, 30, (2, *shape)).astype(np.float32)
    deviations[:, -1, -1] = np.nan
    return make_lifted(uncertainty=deviations[0], uncertainty_xy=deviations[1])


def test_npz_holds_them_exactly(result: LiftedTracks, make_lifted: Make, tmp_path: Path) -> None:
    read = read_lifted(write_lifted(result, tmp_path / "lifted.npz"))
    np.testing.assert_array_equal(read.uncertainty, result.uncertainty)
    np.testing.assert_array_equal(read.uncertainty_xy, result.uncertainty_xy)
    assert read_lifted(write_lifted(make_lifted(), tmp_path / "plain.npz")).uncertainty is None


def test_long_csv_has_two_columns_more(result: LiftedTracks, make_lifted: Make, tmp_path: Path) -> None:
    with write_lifted(result, tmp_path / "lifted.long.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("uncertainty", "uncertainty_xy"):
        values = np.array([row[name] or "nan" for row in rows], np.float32).reshape(result.visible.shape)
        np.testing.assert_array_equal(values, getattr(result, name))
    with write_lifted(make_lifted(), tmp_path / "plain.long.csv").open() as file:
        assert file.readline() == "track,frame,time,joint,x,y,z,confidence,visible\n"


@pytest.mark.slow
def test_netcdf_has_variables_of_movements_form(result: LiftedTracks, tmp_path: Path) -> None:
    pytest.importorskip("movement", reason="netCDF needs the extra `io`")
    import xarray

    path = write_lifted(result, tmp_path / "lifted.nc")
    with xarray.open_dataset(path) as dataset:
        for name in ("uncertainty", "uncertainty_xy"):
            assert dataset[name].dims == dataset.confidence.dims
            np.testing.assert_array_equal(dataset[name].values, getattr(result, name).transpose(1, 2, 0))
