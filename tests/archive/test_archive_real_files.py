"""Real recordings in a folder, and broken ones: each good one gets what `olift lift` gives, each bad one a row."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from archives import alone, lift_with, records, same

from olift_fast.io import read_lifted

COPIES = 10 if os.environ.get("OLIFT_SOAK") else 1


@pytest.mark.slow
def test_real_recordings_are_lifted_as_they_are_alone(real_data: Path, model: str, tmp_path: Path) -> None:
    pytest.importorskip("sleap_io")
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(COPIES):
        shutil.copytree(real_data / "keypoints2d", source / str(number), copy_function=shutil.copyfile)
    whole = sorted((source / "0" / "sleap").glob("*.slp"))[0].read_bytes()
    (source / "cut.slp").write_bytes(whole[: len(whole) // 2])
    (source / "empty.csv").write_bytes(b"")
    (source / "nonsense.json").write_bytes(b'{"a": [1, 2')
    summary = lift_with(model, source, out)
    found = records(out)
    assert {name for name, record in found.items() if record["status"] == "failed"} == {
        "cut.slp",
        "empty.csv",
        "nonsense.json",
    }
    assert summary.failed == 3 and summary.done == summary.found - 3 >= 30 * COPIES
    for record in found.values():
        if record["status"] == "done":
            assert same(read_lifted(out / record["output"]), alone(model, Path(record["path"]))), record["path"]
