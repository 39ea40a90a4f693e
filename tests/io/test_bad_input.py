"""What no reader can use: one line with the file's name and the cause, whatever the file is."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import formats, read_keypoints, read_lifted, write_lifted
from olift_fast.tracks.containers import LiftedTracks


@pytest.mark.slow
def test_reading_brings_in_neither_torch_nor_the_extra() -> None:
    heavy = {"torch", "pandas", "xarray", "scipy", "movement"}
    code = f"import sys, olift_fast.io; print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


def _refused(path: Path, message: str, **options: object) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_keypoints(path, **options)  # type: ignore[arg-type]
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"[]", "holds no tracks: the list is empty"),
        (b"{}", "a JSON object of no known format, with keys none"),
        (b'{"frames": [], "fps": 3}', "a JSON object of no known format, with keys fps, frames"),
        (b"[1, 2, 3]", "a JSON list of no known format"),
        (b'{"people": [', r"not valid JSON \(cut short\?\)"),
        (b"[" * 100_000, "JSON"),
        (b"scorer,\xff\xfe", "not UTF-8 text: byte 0xff at 7"),
        (b"\x00\x01\x02garbage", "binary data in no format that is known here"),
        (b"PK\x03\x04 cut short", r"not a readable NumPy file \(cut short\?\)"),
        (b"\x93NUMPY\x01\x00", "not a readable NumPy file"),
        (b"\x89HDF\r\n\x1a\n" + b"\x00" * 40, r"not a readable HDF5 file \(cut short\?\)"),
        (b"1,2,3\n4,5,6\n", "no header row of a known format.*the first line is '1,2,3'"),
        (b"nose_x,nose_y,nose_z,nose_score,fnum\n1,2,3,0.5,0\n", "holds 3D points"),
        (b"track,frame_idx,instance.score\na,0,1\n", "header lacks 'columns NAME.x and NAME.y'"),
        (b"track,frame_idx,A.x,A.y\na,0,1\n", "line 2 has 3 cells, wanted 4"),
        (b"track,frame_idx,A.x,A.y\na,zero,1,2\n", "frame_idx must be a whole number below 2\\^63, got 'zero'"),
        (b"track,frame_idx,A.x,A.y\na,0,,\n", "no keypoint is visible"),
    ],
)
def test_content_that_is_no_keypoints(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    _refused(path, message)


def test_missing_files_folders_and_forbidden_files(tmp_path: Path) -> None:
    _refused(tmp_path / "absent.csv", "no such file or folder")
    _refused(tmp_path, "a folder without files")
    _refused(tmp_path, "is a folder, wanted a npz file", format="npz")
    path = tmp_path / "mine.csv"
    path.write_text("x")
    _refused(tmp_path, "its files are mine.csv; to lift each of them, use `olift archive`")
    path.chmod(0)
    if not os.access(path, os.R_OK):
        _refused(path, "Permission denied")


def test_hdf5_cut_short_at_any_place_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    with h5py.File(whole, "w") as file:
        file["tracks"], file["node_names"] = np.ones((1, 2, 3, 400)), np.array(["a", "b", "c"], dtype="S")
    assert read_keypoints(whole).num_frames == 400
    data = whole.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        path = tmp_path / "part.h5"
        path.write_bytes(data[: int(len(data) * share)])
        _refused(path, "not a readable HDF5 file")


def test_hdf5_of_unknown_content_names_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = [1]
    _refused(tmp_path / "a.h5", "an HDF5 file of no known format, holding images")


def test_wrong_extension_reads_and_forced_format_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "table.h5"
    path.write_text("scorer,s,s\nbodyparts,a,a\ncoords,x,y\n0,1,2\n")
    assert read_keypoints(path).format == "deeplabcut"
    assert read_keypoints(path, format="deeplabcut").format == "deeplabcut"
    _refused(path, "header names a column twice", format="sleap-csv")
    _refused(path, "a text table, not npz", format="npz")
    with pytest.raises(InputError, match="unknown format 'dlc'; known: deeplabcut, "):
        read_keypoints(path, format="dlc")


def test_forced_json_format_on_other_content_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    values = [{}, [], [{}], [[]], [None], {"people": 3}, {"annotations": 3}, {"instance_info": [{}]}, "x", 3, None]
    names = [known.name for known in formats() if ".json" in known.extensions]
    assert len(names) > 8
    for name in names:
        for value in values:
            path.write_text(json.dumps(value))
            _refused(path, ".", format=name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stored.npz", "packed.npz", "lifted.npz", "bare.npy", "analysis.h5"])
def test_flipped_bytes_never_escape_as_another_error(
    tmp_path: Path, make_lifted: Callable[[], LiftedTracks], kind: str
) -> None:
    whole = tmp_path / kind
    points = np.random.default_rng(0).uniform(0, 99, (1, 20, 3, 2))
    if kind == "analysis.h5":
        with h5py.File(whole, "w") as file:
            file["tracks"] = points.transpose(0, 3, 2, 1)
            file["node_names"] = np.array(["a", "b", "c"], dtype="S")
    elif kind == "bare.npy":
        np.save(whole, points[0])
    elif kind == "lifted.npz":
        write_lifted(make_lifted(), whole)
    else:
        save = np.savez if kind == "stored.npz" else np.savez_compressed
        save(whole, keypoints=points, names=["a", "b", "c"])
    read = read_lifted if kind == "lifted.npz" else read_keypoints
    data, draw, refused = whole.read_bytes(), random.Random(3), 0
    path = tmp_path / "damaged"
    for _ in range(120):
        damaged = bytearray(data)
        for _ in range(draw.choice([1, 5, 25])):
            damaged[draw.randrange(min(len(data), 2000))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
    assert refused > 15


@pytest.mark.slow
def test_damaged_files_of_every_kind_never_escape_as_another_error(tmp_path: Path) -> None:
    """Valid small files with one piece cut out or replaced: read, or refused in one line."""
    pose = [1.0, 2.0, 0.5] * 17
    texts = [
        "scorer,s,s,s\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,0.5\n1,3,4,0.5\n",
        "track,frame_idx,instance.score,A.x,A.y,A.score\na,0,1,2,3,0.5\nb,1,1,2,3,0.5\n",
        json.dumps([{"image_id": 3, "category_id": 1, "keypoints": pose, "score": 1}]),
        json.dumps([{"image_id": "3.jpg", "keypoints": pose, "score": 1, "idx": 1}]),
        json.dumps({"people": [{"person_id": [-1], "pose_keypoints_2d": pose}]}),
        json.dumps(
            {"instance_info": [{"frame_id": 1, "instances": [{"keypoints": [[1, 2]], "keypoint_scores": [1]}]}]}
        ),
        json.dumps({"points": {"2d": [[[1, 2]]]}, "connections": [], "model": "m", "animation": "a"}),
        json.dumps([{"image_path": "1.jpg", "joints": [[1, 2]] * 37, "visibility": [True] * 37}]),
    ]
    draw = random.Random(5)
    outcomes = {"read": 0, "refused": 0}
    path = tmp_path / "damaged"
    for text in texts:
        path.write_text(text)
        read_keypoints(path)
        for _ in range(60):
            start = draw.randrange(len(text))
            piece = draw.choice(["", "", '"', "null", "-1", "1e400", "x", "[", "}", ",", "\n", "9" * 30])
            path.write_text(text[:start] + piece + text[start + draw.randrange(4) :])
            try:
                read_keypoints(path)
                outcomes["read"] += 1
            except InputError as error:
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 50
