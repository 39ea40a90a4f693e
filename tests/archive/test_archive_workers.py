"""Processes that lift: those that are killed, runs that are killed or interrupted, and what is left of them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from archives import JOINTS, Run, archive_of, as_lifted_alone, lasting, lift_with, records, same, table

from olift_fast.archive import WorldOptions, archiving, local
from olift_fast.archive.archiving import LOCK
from olift_fast.errors import InputError
from olift_fast.io import read_lifted

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")]
EXECUTOR = archiving._executor
KILLS = 20 if os.environ.get("OLIFT_SOAK") else 3
DEADLY = """
import os, pathlib
from olift_fast.archive import lifting
read = lifting.Lifting._read

def deadly(self, job):
    marks = pathlib.Path(MARKS)
    if job.entry.name.endswith("mouse 2") and len(list(marks.iterdir())) < TIMES:
        (marks / str(os.getpid())).touch()
        os.kill(os.getpid(), 9)
    return read(self, job)

lifting.Lifting._read = deadly
"""
"""A worker that kills itself at the third file, so many times."""


def deadly(monkeypatch: pytest.MonkeyPatch, marks: Path, times: int) -> None:
    marks.mkdir()
    patch = DEADLY.replace("MARKS", repr(str(marks))).replace("TIMES", str(times))
    before, serve = local._PROGRAM.split("; from olift_fast", 1)
    program = f"{before}\nexec({patch!r})\nfrom olift_fast{serve}"
    monkeypatch.setattr(local, "_PROGRAM", program)


def test_workers_lift_as_one_process_does(model: str, tmp_path: Path) -> None:
    source, out = archive_of(tmp_path / "in"), tmp_path / "out"
    for number in range(2):
        table(source / f"long {number}.csv", frames=300 + number, seed=50 + number)
    summary = lift_with(model, source, out, workers=2)
    assert (summary.done, summary.failed) == (7, 1)
    assert as_lifted_alone(out, summary, model)


def test_workers_finish_results_as_one_process_does(run: Run, model: str, tmp_path: Path) -> None:
    """Bodies, calibrations and options of the world frame go to them."""
    source, cameras, body = archive_of(tmp_path / "in", count=3), tmp_path / "cameras.json", tmp_path / "body.json"
    cameras.write_text('{"K": [[800, 0, 320], [0, 800, 240], [0, 0, 1]], "dist": [-0.2, 0, 0, 0]}')
    (tmp_path / "bones.json").write_text(json.dumps({"names": JOINTS, "edges": [[0, 1], [0, 2], [0, 3]]}))
    rows = [
        {"joints": ["nose", name], "length": 1.0, "spread": 0.0, "frames": 9, "millimeters": 9.0} for name in JOINTS[1:]
    ]
    body.write_text(json.dumps({"format": "olift-fast body", "format_version": 2, "bones": rows}))
    world = WorldOptions(up="0,-1,0", calibration=cameras)
    settings = {"skeleton": str(tmp_path / "bones.json"), "body": str(body), "fps": 30.0, "smooth": 0.3, "world": world}
    assert run(source, tmp_path / "here", **settings).done == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archiving, "_executor", EXECUTOR)
        assert lift_with(model, source, tmp_path / "out", workers=2, **settings).done == 3
    for record in records(tmp_path / "here").values():
        if record["status"] == "done":
            result = read_lifted(tmp_path / "out" / record["output"])
            assert result.units == "meters" and result.calibration is not None
            assert same(result, read_lifted(tmp_path / "here" / record["output"]))


@pytest.mark.parametrize(("times", "done"), [(1, 5), (9, 4)])
def test_a_killed_worker_costs_no_other_file(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, done: int
) -> None:
    deadly(monkeypatch, tmp_path / "marks", times)
    source, out = archive_of(tmp_path / "in"), tmp_path / "out"
    summary = lift_with(model, source, out, workers=1)
    assert (summary.done, summary.failed) == (done, 6 - done)
    told = records(out)["mouse 2.csv"].get("error")
    assert told == (
        None if done == 5 else "2 processes ended, killed by signal 9, while they lifted it (not enough memory?)"
    )
    assert len(list((tmp_path / "marks").iterdir())) == min(times, 2)
    assert as_lifted_alone(out, summary, model)


def test_workers_that_end_while_they_start_are_told_in_a_line(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"import os, pathlib; pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch(); os.kill(os.getpid(), 9)"
    monkeypatch.setattr(local, "_PROGRAM", program)
    with pytest.raises(InputError, match="3 processes ended while they loaded the model"):
        lift_with(model, archive_of(tmp_path / "in", count=1), tmp_path / "out", workers=1)
    assert sum(path.name.isdecimal() for path in tmp_path.iterdir()) == 3


def test_an_unusable_device_is_told_once(model: str, tmp_path: Path) -> None:
    source = archive_of(tmp_path / "in", count=1)
    with pytest.raises(InputError, match=r"device must be .*, got 'nonsense'"):
        lift_with(model, source, tmp_path / "out", workers=2, device="nonsense")


def command(model: str, source: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """The program in a process group of its own, which tells of each file as soon as it is done."""
    arguments = ["archive", str(source), "--out", str(out), "--model", model, "--workers", "2", "--json", *more]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "olift_fast", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )


def many(folder: Path, count: int = 40) -> Path:
    for number in range(count):
        # Each is a pack of its own.
        table(folder / f"{number % 3}" / f"mouse {number}.csv", frames=3000, seed=number)
    (folder / "0" / "broken.csv").write_text("no,keypoints\n1,2\n")
    return folder


def kept(out: Path) -> dict[str, Any]:
    """All that a run leaves but times: records and bytes of results."""
    found = {name: lasting(record) for name, record in records(out).items()}
    return found | {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.npz"))}


def test_kills_at_any_moment_lose_nothing(model: str, tmp_path: Path) -> None:
    source = many(tmp_path / "in", count=12)
    lift_with(model, source, tmp_path / "undisturbed", workers=2)
    out, draw = tmp_path / "out", random.Random(3)
    for _ in range(KILLS):
        with command(model, source, out) as process:
            assert process.stdout is not None and process.stderr is not None
            # The first line comes once the source is looked at: then workers start, and lift.
            process.stdout.readline()
            time.sleep(draw.random() * 3)
            process.kill()
            process.stdout.read()
            process.stderr.read()
    with command(model, source, out) as process:
        _, told = process.communicate()
    assert process.returncode == 3, told
    assert kept(out) == kept(tmp_path / "undisturbed")
    left = [path.name for path in out.rglob("*") if ".tmp" in path.name or path.name == LOCK]
    assert left == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_finishes_what_is_in_work(model: str, tmp_path: Path, number: int) -> None:
    source, out = many(tmp_path / "in"), tmp_path / "out"
    with command(model, source, out) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        os.killpg(process.pid, number)
        rest, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    events = [*lines, *rest.splitlines()]
    files = sum(b'"event": "file"' in line for line in events)
    assert 2 <= files < 40 and len(records(out)) == files
    assert (out / "manifest.csv").exists() and not (out / LOCK).exists()
    assert b'"interrupted": true' in events[-1]


def test_no_worker_outlives_a_run_that_is_given_up(model: str, tmp_path: Path) -> None:
    source = many(tmp_path / "in", count=4)
    before, children_before = threading.active_count(), children()

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "file":
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        lift_with(model, source, tmp_path / "out", workers=2, on_event=stop)
    assert threading.active_count() <= before + 2
    assert children() <= children_before


def children() -> set[str]:
    """The processes that this one, by any of its threads, has started and not seen end; none where Linux isn't."""
    numbers: set[str] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # A thread that has just ended: its processes are listed under another.
            numbers.update(path.read_text().split())
    return numbers
