"""`olift archive`: what it prints, its exit codes, and bad arguments in one line."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.cli.archive import shard_of, time_of
from olift_fast.errors import InputError
from olift_fast.io import read_lifted

from .conftest import Run


@pytest.fixture
def archive(run: Run, random_model: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `olift archive` with the random model, in this process."""
    from olift_fast.archive import archiving
    from olift_fast.archive.lifting import Lifting

    def here(packs: Any, setup: Any, stop: Any) -> Any:
        lifting = Lifting(setup)
        for pack in packs:
            yield from lifting.lift(pack)

    monkeypatch.setattr(archiving, "_executor", lambda *_: here)
    return lambda *arguments: run("archive", *arguments, "--model", random_model)


@pytest.fixture
def folder(mouse: Path, tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for name in ("a/mouse.csv", "b/mouse.csv"):
        (source / name).parent.mkdir(parents=True)
        shutil.copy(mouse, source / name)
    return source


def test_a_folder_is_lifted_and_the_second_time_there_is_nothing_to_do(
    archive: Run, folder: Path, tmp_path: Path
) -> None:
    outcome = archive(folder, "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    assert "2 recordings found, 0 done before" in outcome.stdout
    assert "lifted: 2 files, 60 frames" in outcome.stdout and "manifest.csv" in outcome.stdout
    assert read_lifted(tmp_path / "out" / "a" / "mouse.lifted.npz").num_frames == 30
    again = archive(folder, "-o", tmp_path / "out")
    assert "2 recordings found, 2 done before\nlifted: 0 files" in again.stdout


def test_options_of_the_result_are_those_of_olift_lift(
    archive: Run, run: Run, random_model: str, folder: Path, tmp_path: Path
) -> None:
    options = ("--fps", 30, "--smooth", 0.3, "--rigid", "--world", "--bone", "nose-tail=35mm", "--up", "0,-1,0")
    assert archive(folder, "--out", tmp_path / "out", *options).exit_code == 0
    alone = tmp_path / "alone.npz"
    assert run("lift", folder / "a" / "mouse.csv", "-o", alone, *options, "--model", random_model).exit_code == 0
    result, wanted = read_lifted(tmp_path / "out" / "a" / "mouse.lifted.npz"), read_lifted(alone)
    assert result.units == "meters" and len(result.notes) == len(wanted.notes) >= 2
    np.testing.assert_array_equal(result.joints, wanted.joints)
    # Other options: all are lifted anew.
    other = archive(folder, "--out", tmp_path / "out", *options[:5])
    assert "lifted anew: 2 (the settings changed)" in other.stdout
    assert not np.array_equal(read_lifted(tmp_path / "out" / "a" / "mouse.lifted.npz").joints, wanted.joints)


def test_options_of_olift_lift_that_archives_lack_are_few() -> None:
    """docs/archives.md tells why they lack these."""
    lift, archive = (
        set(inspect.signature(getattr(importlib.import_module(f"olift_fast.cli.{name}"), name)).parameters)
        for name in ("lift", "archive")
    )
    assert lift - archive == {"files", "html", "open_", "backend", "threads", "no_infer", "output"}


def test_failures_are_told_and_exit_with_3(archive: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "bad.json").write_text("{")
    outcome = archive(folder, "--out", tmp_path / "out", "--format-out", ".csv")
    assert outcome.exit_code == 3
    assert "bad.json: not valid JSON" in outcome.stderr and "failed: 1 × not valid JSON" in outcome.stdout
    assert (tmp_path / "out" / "a" / "mouse.lifted.csv").exists()
    again = archive(folder, "--out", tmp_path / "out", "--format-out", ".csv")
    assert again.exit_code == 3 and "failed before: 1; --retry-failed" in again.stdout


def test_json_is_a_line_for_each_event(archive: Run, folder: Path, tmp_path: Path) -> None:
    outcome = archive(folder, "--out", tmp_path / "out", "--json")
    events = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [event["event"] for event in events] == ["planned", "file", "file", "done"]
    assert events[-1]["done"] == 2 and events[1]["output"].endswith("mouse.lifted.npz")


def test_a_dry_run_says_what_there_is_to_do(archive: Run, folder: Path, tmp_path: Path) -> None:
    outcome = archive(folder, "--out", tmp_path / "out", "--dry-run")
    assert re.search(
        r"^to lift: 2 files, 0\.0 MB, about [1-9]\d* (second|minute|hour)s? here$", outcome.stdout, re.MULTILINE
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("hours", "told"),
    [(0, "1 second"), (0.0001, "1 second"), (0.01, "36 seconds"), (0.5, "30 minutes"), (34.2, "34 hours")],
)
def test_estimates_have_a_unit_that_fits(hours: float, told: str) -> None:
    assert time_of(hours) == told


def test_shards_and_their_tables(archive: Run, run: Run, folder: Path, tmp_path: Path) -> None:
    found = 0
    for part in (1, 2):
        outcome = archive(folder, "--out", tmp_path / "out", "--shard", f"{part}/2")
        assert outcome.exit_code == 0 and "olift archive --merge" in outcome.stderr
        assert not (tmp_path / "out" / "manifest.csv").exists()
        found += int(outcome.stdout.split()[0])
    assert found == 2
    merged = run("archive", "--merge", tmp_path / "out")
    assert merged.exit_code == 0 and merged.stdout.startswith("2 files done, 0 failed: ")
    assert len((tmp_path / "out" / "manifest.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["x"], "--out DEST is missing"),
        (["--out", "y"], "wanted one of SOURCE, --merge DEST and --report DEST, got none"),
        (["x", "--merge", "y"], "got SOURCE, --merge"),
        (["absent", "--out", "y"], "absent: no such file or folder"),
        (["absent", "--out", "y", "--shard", "0/3"], "--shard must be K/N with 1 <= K <= N, as 3/100, got '0/3'"),
        (["absent", "--out", "y", "--height", "1.7m"], "--height needs --world"),
        (["absent", "--out", "y", "--world", "--frame", "object"], "--world and --frame object ask for two frames"),
        (["absent", "--out", "y", "--body", "b.json"], "b.json: no such file"),
        (["absent", "--out", "y", "--smooth", "0"], "--smooth must be a positive number of seconds, got 0"),
        (["absent", "--out", "y", "--min-confidence", "2"], "--min-confidence must be within 0 … 1"),
        (["absent", "--out", "y", "--format-out", "csv"], "--format-out must be an ending, as .csv, got 'csv'"),
        (["absent", "--out", "y", "--format-out", ".mp4"], "--format-out must end in .npz, "),
    ],
)
def test_bad_arguments_are_one_line(archive: Run, tmp_path: Path, monkeypatch: Any, arguments: Any, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = archive(*arguments)
    assert outcome.exit_code == 2 and told in outcome.stderr and len(outcome.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_folder_that_is_named_as_home(
    archive: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow would look for it in the home folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    archive(folder, "--out", "~/lifted")
    assert {path.name for path in (tmp_path / "~/lifted").glob("manifest.*")} >= {"manifest.csv", "manifest.parquet"}


def test_merging_what_is_no_archive(run: Run, tmp_path: Path) -> None:
    for place, told in ((tmp_path / "absent", "no such folder"), (tmp_path, "has no manifest")):
        outcome = run("archive", "--merge", place)
        assert outcome.exit_code == 2 and told in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_parts_of_a_shard() -> None:
    assert shard_of("3/100") == (3, 100) and shard_of(None) is None
    for text in ("3", "/", "a/b", "4/3", "-1/3", "1/0"):
        with pytest.raises(InputError, match="--shard must be K/N"):
            shard_of(text)
