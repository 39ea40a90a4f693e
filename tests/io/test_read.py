"""How a format is chosen: by the content, in one order, or as asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import formats, read_keypoints
from olift_fast.io.open_container import ARCHIVE, ARRAY, MATLAB, NETCDF, PARQUET, Container

POINTS = np.arange(2 * 5 * 3 * 2, dtype=np.float64).reshape(2, 5, 3, 2) + 1


def test_formats_have_distinct_names_and_say_what_they_are() -> None:
    names = [known.name for known in formats()]
    assert len(set(names)) == len(names)
    for known in formats():
        assert known.extensions and known.extra in (None, "io") and known.containers
        assert known.description and known.recognized_by and known.takes


def test_containers_without_an_error_of_unknown_content_have_a_format_that_takes_all() -> None:
    everything: dict[Container, Any] = {ARRAY: POINTS, ARCHIVE: {}, MATLAB: Path(), NETCDF: Path(), PARQUET: Path()}
    assert {kind for known in formats() for kind in known.containers if kind.unknown is None} == set(everything)
    for container, content in everything.items():
        assert any(known.matches(content) for known in formats() if container in known.containers)


def test_readme_has_the_number_of_formats() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"(\d+) formats", readme) == [str(len(formats()))]


def test_first_format_that_matches_reads_the_file(tmp_path: Path) -> None:
    # Some exporters of MMPose's add the image, as COCO's results have it.
    path = tmp_path / "file.json"
    path.write_text(json.dumps([{"image_id": 3, "keypoints": [[1, 2]], "keypoint_scores": [0.5]}]))
    assert read_keypoints(path).format == "mmpose"
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["tracks"], file["node_names"] = np.ones((1, 2, 3, 4)), np.array(["a", "b", "c"], dtype="S")
        file["position"], file["space"] = [1], [1]
        file.create_group("table").attrs["pandas_type"] = "frame_table"
    assert read_keypoints(tmp_path / "file.h5").format == "sleap-analysis"


def test_format_that_is_asked_for_goes_before_others_that_match(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, keypoints=POINTS, positions_2d=np.array({}, dtype=object))
    with pytest.raises(InputError, match="holds pickled Python objects"):
        read_keypoints(path)
    np.testing.assert_array_equal(read_keypoints(path, format="npz").keypoints, POINTS)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("own.npz", "human36m", "a npz file, not human36m"),
        ("own.npz", "nwb", "a npz file, not nwb"),
        ("bare.npy", "npz", "a npy file, not npz"),
        ("analysis.h5", "sleap-labels", "a sleap-analysis file, not sleap-labels"),
        ("analysis.h5", "deeplabcut", "a sleap-analysis file, not deeplabcut"),
        (
            "other.h5",
            "nwb",
            "an HDF5 file of no known format, holding images; known: SLEAP, NWB, DeepLabCut, Facemap, JABS, netCDF",
        ),
        ("matlab", "npz", "a leap file, not npz"),
        ("cdf", "nwb", "a netcdf file, not nwb"),
        ("object.json", "npz", "a JSON file, not npz"),
        ("object.json", "deeplabcut", "a JSON file, not deeplabcut"),
        ("object.json", "openpose", "not an OpenPose frame: wanted"),
        ("table.csv", "coco", "a text table, not coco"),
        ("table.csv", None, r"wanted .*DeepLabCut's scorer, .*coords.*SLEAP's track,.*; the first line is 'a,b'"),
        ("folder", "npz", "is a folder, wanted a npz file"),
    ],
)
def test_other_format_than_asked_for_is_refused(tmp_path: Path, name: str, asked: str | None, message: str) -> None:
    path = tmp_path / name
    content: dict[str, Any] = {"matlab": b"MATLAB 5.0 MAT-file", "cdf": b"CDF\x01", "table.csv": b"a,b\n1,2\n"}
    if name == "own.npz":
        np.savez(path, keypoints=POINTS)
    elif name == "bare.npy":
        np.save(path, POINTS)
    elif name == "folder":
        path.mkdir()
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["tracks" if name == "analysis.h5" else "images"] = np.ones((1, 2, 3, 4))
            if name == "analysis.h5":
                file["node_names"] = np.array(["a", "b", "c"], dtype="S")
    else:
        path.write_bytes(content.get(name, b'{"images": 3}'))
    with pytest.raises(InputError, match=message) as error:
        read_keypoints(path, format=asked)
    assert str(error.value).startswith(f"{path}: ")
