"""The manifest outlives kills, full disks and damage: a line that is cut off is lifted again, others stay."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from olift_fast.archive.destination import Destination
from olift_fast.archive.manifest import Manifest
from olift_fast.archive.records import COLUMNS
from olift_fast.errors import InputError


def record(path: str, **more: Any) -> dict[str, Any]:
    tracks = [{"track": name, "frames": 3, "joints": 2, "hidden_share": 0.5} for name in ("a", "b")]
    return {"path": path, "status": "done", "tracks": tracks, "settings": {"fps": None}, **more}


def kept(out: Path, *records: dict[str, Any]) -> None:
    with Manifest(Destination(str(out))) as manifest:
        manifest.add(records)


def loaded(out: Path) -> tuple[dict[str, Any], int]:
    with Manifest(Destination(str(out))) as manifest:
        manifest.load()
        return {one["path"]: one for one in manifest.records()}, manifest.damaged


def test_the_last_record_of_a_file_counts(tmp_path: Path) -> None:
    kept(tmp_path, record("x", why="new"), record("y"))
    kept(tmp_path, record("x", why="changed"))
    found, damaged = loaded(tmp_path)
    assert [found["x"]["why"], list(found), damaged] == ["changed", ["x", "y"], 0]


def test_what_was_just_added_is_known(tmp_path: Path) -> None:
    with Manifest(Destination(str(tmp_path))) as manifest:
        manifest.add([record("x")])
        manifest.add([record("x", why="again")])
        assert manifest.record("x") == record("x", why="again") and manifest.record("y") is None


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_is_cut_off_is_left_out(tmp_path: Path, cut: int) -> None:
    kept(tmp_path, record("x"), record("y"))
    part = next((tmp_path / "manifest").glob("*.jsonl"))
    part.write_bytes(part.read_bytes()[:-cut])
    found, damaged = loaded(tmp_path)
    assert (list(found), damaged) == (["x"], 1)


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    kept(tmp_path, record("x"), record("y"))
    part = next((tmp_path / "manifest").glob("*.jsonl"))
    bad = [
        b"[]",
        b'{"path": 3}',
        b"\xff\x00",
        b'{"path": "z", "status": "?"}',
        b'{"path": "z", "status": "done", "tracks": 3}',
    ]
    part.write_bytes(b"\n".join([*bad, part.read_bytes()]))
    found, damaged = loaded(tmp_path)
    assert (list(found), damaged) == (["x", "y"], len(bad))


def test_a_full_disk_keeps_records_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, full = os.write, [False]

    def half(file: int, data: Any) -> int:
        if full[0]:
            write(file, bytes(data[:10]))
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", half)
    with Manifest(Destination(str(tmp_path))) as manifest:
        manifest.add([record("x")])
        full[0] = True
        manifest.add([record("y")])
        full[0] = False
        manifest.add([record("z")])
    assert loaded(tmp_path)[0].keys() == {"x", "y", "z"} and loaded(tmp_path)[1] == 0
    full[0] = True
    with pytest.raises(InputError, match="1 records could not be written: the disk is full"):
        kept(tmp_path, record("w"))
    full[0] = False
    assert loaded(tmp_path)[0].keys() == {"x", "y", "z"}


def test_parts_become_one_without_what_is_old(tmp_path: Path) -> None:
    kept(tmp_path, record("y"), record("x", why="new"))
    kept(tmp_path, record("x", why="changed"))
    before = loaded(tmp_path)
    with Manifest(Destination(str(tmp_path))) as manifest:
        manifest.load()
        manifest.compact()
        assert manifest.record("x") == record("x", why="changed")
    parts = list((tmp_path / "manifest").iterdir())
    assert len(parts) == 1 and len(parts[0].read_bytes().splitlines()) == 2
    assert loaded(tmp_path) == before


def test_tables_have_a_row_for_each_file_and_track(tmp_path: Path) -> None:
    failed = {"path": "b\udcff", "status": "failed", "error": "is empty", "settings": {}}
    kept(tmp_path, failed, record("a", model="small", input_bytes=7))
    with Manifest(Destination(str(tmp_path))) as manifest:
        manifest.load()
        tables = manifest.write_tables()
    with (tmp_path / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["path"], row["track"], row["status"], row["error"]) for row in rows] == [
        ("a", "a", "done", ""),
        ("a", "b", "done", ""),
        ("b\\udcff", "", "failed", "is empty"),
    ]
    assert [rows[0][name] for name in ("model", "input_bytes", "frames", "hidden_share")] == ["small", "7", "3", "0.5"]
    pq = pytest.importorskip("pyarrow.parquet")
    assert tables == ["manifest.csv", "manifest.parquet"]
    read = pq.read_table(tmp_path / "manifest.parquet").to_pylist()
    assert [row["track"] for row in read] == ["a", "b", None]
    assert read[0]["frames"] == 3 and read[2]["error"] == "is empty"
