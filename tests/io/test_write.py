"""Writers: exact round trips, readable tables, and nothing half-written when it fails."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.io import read_keypoints, read_lifted, write_lifted
from olift_fast.io.write import kind_of, part_path, require_writer
from olift_fast.tracks import LiftedTracks, Skeleton

Make = Callable[..., LiftedTracks]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fps": None, "frames": None, "image_size": None, "source": None, "format": None, "notes": (), "warnings": ()},
        {"frame": "object"},
        {"pitch": -12.5},
        {"skeleton": Skeleton(("a", "b", "c", "d"), ((0, 1), (2, 1), (3, 0)), inferred=(False, True, True))},
    ],
)
def test_npz_round_trip_is_exact(make_lifted: Make, tmp_path: Path, changes: dict[str, Any]) -> None:
    result = make_lifted(**changes)
    again = read_lifted(write_lifted(result, tmp_path / "lifted.npz"))
    for field in fields(LiftedTracks):
        before, after = getattr(result, field.name), getattr(again, field.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype, field.name
            np.testing.assert_array_equal(before, after, err_msg=field.name)
        else:
            assert before == after and type(before) is type(after), field.name
    with np.load(tmp_path / "lifted.npz", allow_pickle=False) as archive:
        assert all(archive[key].dtype != object for key in archive)


def test_csv_is_deeplabcuts_table_with_exact_numbers(make_lifted: Make, tmp_path: Path) -> None:
    result = make_lifted()
    path = write_lifted(result, tmp_path / "lifted.csv")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["scorer", "individuals", "bodyparts", "coords", "10", "12", "14", "16", "18"]
    assert set(rows[0][1:]) == {"olift-fast small 1.0"} and rows[1][1] == "left, fly" and rows[1][-1] == "b"
    assert rows[2][1:13:3] == ["nose", "ear_l", "ear_r", "tail"] and rows[3][1:7] == ["x", "y", "z"] * 2
    values = np.array([[float(cell or "nan") for cell in row[1:]] for row in rows[4:]], dtype=np.float32)
    np.testing.assert_array_equal(values, result.joints.transpose(1, 0, 2, 3).reshape(5, -1))
    with pytest.raises(InputError, match="holds 3D points"):
        read_keypoints(path)


def test_csv_of_one_track_has_three_header_rows(make_lifted: Make, tmp_path: Path) -> None:
    path = write_lifted(make_lifted(["solo"]), tmp_path / "lifted.csv")
    assert [line.split(",")[0] for line in path.read_text().splitlines()[:4]] == ["scorer", "bodyparts", "coords", "10"]


def test_long_csv_has_a_row_for_each_joint(make_lifted: Make, tmp_path: Path) -> None:
    result = make_lifted()
    path = write_lifted(result, tmp_path / "lifted.long.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5 * 4
    row = rows[1 * 20 + 2 * 4 + 3]
    assert (row["track"], row["frame"], row["joint"]) == ("b", "14", "tail")
    assert float(row["time"]) == pytest.approx(14 / 29.97, abs=1e-9)
    np.testing.assert_array_equal(np.array([row[axis] for axis in "xyz"], np.float32), result.joints[1, 2, 3])
    assert np.float32(row["confidence"]) == result.confidence[1, 2, 3]
    assert row["visible"] == str(int(result.visible[1, 2, 3]))
    assert rows[-1]["x"] == "" and rows[6]["confidence"] == "0"
    same = write_lifted(result, tmp_path / "other.txt", format="long")
    assert same.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "second"),
    [("out.npz", "out.2.npz"), ("out.long.csv", "out.2.long.csv"), ("a.b.csv", "a.b.2.csv"), ("Out.NPZ", "Out.2.NPZ")],
)
def test_parts_of_a_result_keep_its_ending(name: str, second: str) -> None:
    assert part_path(Path("x") / name, 1) == Path("x") / name
    assert part_path(Path("x") / name, 2) == Path("x") / second


def test_what_writes_a_format_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    needing = {"a.nc": "movement", "A.NWB": "ndx_pose", "a.slp": "sleap_io", "a.c3d": "ezc3d", "a.mat": "scipy"}
    asked: list[str] = []
    monkeypatch.setattr("importlib.util.find_spec", asked.append)  # None: not there
    for name in needing:
        with pytest.raises(MissingExtraError, match=r"writing \.\w+ files needs: pip install 'olift-fast\[io\]'"):
            require_writer(Path(name))
    assert asked == list(needing.values())
    for name in ("a.npz", "a.csv", "a.long.csv", "a.h5", "a.points3d.h5", "a.anipose.csv", "a.bvh", "a.GLB", "a.trc"):
        require_writer(Path(name))
    with pytest.raises(InputError, match=r"a\.xyz: the name must end in"):
        require_writer(Path("a.xyz"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.points3d.h5", "points3d"),
        ("points3d.h5", "h5"),
        ("a.h5", "h5"),
        ("a.anipose.csv", "anipose"),
        ("a.long.csv", "long"),
        ("a.b.CSV", "csv"),
        ("walk.long.npz", "npz"),
    ],
)
def test_the_longest_ending_tells_the_format(name: str, kind: str) -> None:
    assert kind_of(Path(name)) == kind


def test_writing_replaces_an_older_result(make_lifted: Make, tmp_path: Path) -> None:
    path = tmp_path / "lifted.npz"
    path.write_text("older")
    write_lifted(make_lifted(), path)
    assert read_lifted(path).tracks == ("left, fly", "b") and [entry.name for entry in tmp_path.iterdir()] == [
        path.name
    ]


def _refused(result: LiftedTracks, path: Path, message: str, **options: Any) -> None:
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else None
    with pytest.raises(InputError, match=message) as error:
        write_lifted(result, path, **options)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"{path}: ")
    assert before is None or sorted(path.parent.iterdir()) == before, "nothing is left behind"


def test_paths_that_cannot_be_written_are_refused(make_lifted: Make, tmp_path: Path) -> None:
    result = make_lifted()
    (tmp_path / "folder.npz").mkdir()
    _refused(result, tmp_path / "folder.npz", "is a folder")
    _refused(result, tmp_path / "absent" / "lifted.npz", "folder .* does not exist")
    _refused(result, tmp_path / "lifted.xyz", r"the name must end in \.npz, .* got '\.xyz'")
    _refused(result, tmp_path / "lifted.npz", "unknown format 'json'; known: npz", format="json")


def test_folder_without_permission_is_refused(
    make_lifted: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        # The superuser may write anywhere: the system's answer is played.
        def forbid(path: Path, mode: str) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(Path, "open", forbid)
    _refused(make_lifted(), tmp_path / "lifted.npz", "cannot be written: Permission denied")


def test_input_file_is_never_overwritten(make_lifted: Make, tmp_path: Path) -> None:
    source = tmp_path / "clip.csv"
    source.write_text("precious")
    (tmp_path / "link.csv").symlink_to(source)
    result = make_lifted(source=str(source))
    _refused(result, source, "is the input file")
    _refused(result, tmp_path / "link.csv", "is the input file")
    _refused(result, tmp_path / "." / "clip.csv", "is the input file")
    assert source.read_text() == "precious"


@pytest.mark.parametrize("name", ["lifted.npz", "lifted.csv", "lifted.long.csv"])
@pytest.mark.parametrize("older", [b"an older result", None])
def test_full_disk_leaves_what_was_there(
    make_lifted: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, older: bytes | None
) -> None:
    path = tmp_path / name
    if older is not None:
        path.write_bytes(older)

    class FullDisk(io.FileIO):
        left = 100

        def write(self, data: Any) -> int:
            self.left -= len(bytes(data))
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr(Path, "open", lambda path, mode: FullDisk(path, mode))
    _refused(make_lifted(), path, "cannot be written: the disk is full")
    monkeypatch.undo()
    assert path.read_bytes() == older if older is not None else not path.exists()


def test_failed_sync_leaves_nothing(make_lifted: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr(os, "fsync", fail)
    _refused(make_lifted(), tmp_path / "lifted.npz", "the disk quota is used up")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve space")
@pytest.mark.parametrize("suffix", [".h5", ".nc", ".nwb"])
def test_space_is_reserved_before_hdf5_is_written(
    make_lifted: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def fail(descriptor: int, offset: int, size: int) -> None:
        assert size > make_lifted().joints.nbytes
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    _refused(make_lifted(), tmp_path / f"lifted{suffix}", "the disk is full")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "not a lifted result: wanted an .npz"),
        (b"PK\x03\x04 cut", r"not a readable NumPy file \(cut short\?\)"),
        (None, "No such file"),
    ],
)
def test_reading_other_files_as_results_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "lifted.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_lifted(path)


def test_results_of_other_archives_and_newer_versions_are_refused(make_lifted: Make, tmp_path: Path) -> None:
    path = tmp_path / "lifted.npz"
    np.savez(path, keypoints=np.ones(3))
    with pytest.raises(InputError, match=r"not a lifted result: an \.npz with keypoints"):
        read_lifted(path)
    write_lifted(make_lifted(), path)
    with np.load(path) as archive:
        content = dict(archive)
    np.savez(path, **(content | {"content_version": 99}))
    with pytest.raises(InputError, match="written by a newer olift-fast: version 99, known: 1"):
        read_lifted(path)
    del content["scale"]
    np.savez(path, **content)
    with pytest.raises(InputError, match=r"lifted\.npz: not a usable lifted result: 'scale"):
        read_lifted(path)
    write_lifted(make_lifted(), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut short"):
        read_lifted(path)
    with pytest.raises(InputError, match=r"is a lifted result: .* wanted 2D keypoints"):
        read_keypoints(write_lifted(make_lifted(), path))
