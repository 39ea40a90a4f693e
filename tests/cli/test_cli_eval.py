"""`olift eval`: the table, the file, the plot, and what it can't do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .conftest import Run
from .test_cli_errors import assert_one_line


@pytest.mark.slow
def test_table_file_and_plot(run: Run, random_model: str, recordings: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs the extra `bench`")
    out, plot = tmp_path / "scores.json", tmp_path / "scores.png"
    outcome = run("eval", random_model, recordings, "--out", out, "--plot", plot)
    assert outcome.exit_code == 0, outcome.stderr
    rows = json.loads(out.read_text())
    assert {row["source"] for row in rows} == {"chain"} and rows[0]["method"] == "flat guess"
    for row in rows:
        line = next(line for line in outcome.stdout.splitlines() if f" {row['method']} " in line)
        shown = f"{row['sa_mpjpe']:.2f}" if row["sa_mpjpe"] < 10 else f"{row['sa_mpjpe']:.1f}"
        assert shown in line
    assert plot.read_bytes()[:4] == b"\x89PNG" and plot.stat().st_size > 10_000


@pytest.mark.slow
def test_two_checkpoints_at_several_delays_as_json(run: Run, random_model: str, recordings: Path) -> None:
    options = ("--beside", "small-causal", "--latency-frames", 0, "--delay", 2, "--noise", "--json")
    outcome = run("eval", random_model, recordings, *options)
    assert outcome.exit_code == 0, outcome.stderr
    rows = json.loads(outcome.stdout)
    assert [row["method"] for row in rows][-2:] == ["small-causal, 0 frames later", "small-causal, 2 frames later"]
    assert len(rows) == 5 and len({row["sa_mpjpe"] for row in rows}) == 5


@pytest.mark.slow
def test_json_with_a_file_name_still_works(run: Run, random_model: str, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    out.write_text("old")
    outcome = run("eval", random_model, recordings, "--delay", 0, "--json", out)
    assert outcome.exit_code == 0 and f"--json {out} is now --out {out}" in outcome.stderr
    assert len(json.loads(out.read_text())) == 2 and "SA-MPJPE" in outcome.stdout
    other = tmp_path / "scores.txt"
    outcome = run("eval", "--json", other, random_model, recordings, "--delay", 0)
    assert outcome.exit_code == 0 and f"--json {other} is now --out {other}" in outcome.stderr
    assert other.read_text() == out.read_text()


def test_arguments_may_stand_behind_json(run: Run, random_model: str, recordings: Path) -> None:
    outcome = run("eval", random_model, "--delay", 0, "--json", recordings)
    assert outcome.exit_code == 0 and outcome.stderr == "" and len(json.loads(outcome.stdout)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--delay", "-2"], ["--latency-frames", "-2"]),
        (["--dtype", "float16"], ["float16 is for GPUs"]),
        (["--plot", "scores.xyz"], ["scores.xyz", ".png"]),
        (["--out", "nowhere/scores.json"], ["nowhere/scores.json"]),
        (["--beside", "no-such-model"], ["no-such-model"]),
    ],
    ids=" ".join,
)
def test_bad_option(run: Run, random_model: str, recordings: Path, options: list[str], words: list[str]) -> None:
    assert_one_line(run("eval", random_model, recordings, *options), *words)


@pytest.mark.slow
def test_checkpoints_of_one_name_keep_their_rows(run: Run, random_model: str, recordings: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name / "mine" for name in ("one", "two")]
    for folder in folders:
        shutil.copytree(random_model, folder)
    outcome = run("eval", folders[0], recordings, "--beside", folders[1], "--beside", "small", "--delay", 0, "--json")
    shown = [row["method"] for row in json.loads(outcome.stdout)]
    assert shown == ["flat guess", *(f"{name}, 0 frames later" for name in (*folders, "small"))]


def test_edges_that_are_not_the_true_ones(run: Run, random_model: str, recordings: Path) -> None:
    outcome = run(
        "eval", random_model, recordings, "--edges", "absent", "--edges", "named", "--edges", "damaged", "--json"
    )
    assert outcome.exit_code == 0, outcome.stderr
    own, absent, named, damaged = (
        next(row["sa_mpjpe"] for row in json.loads(outcome.stdout) if row["method"].endswith(method))
        for method in ("random", "no edges", "edges from names", "damaged edges")
    )
    # The names "joint0" … say nothing, so they give no edges.
    assert absent == named and len({own, absent, damaged}) == 3


def test_folder_without_recordings(run: Run, random_model: str, tmp_path: Path) -> None:
    outcome = run("eval", random_model, tmp_path)
    assert_one_line(outcome, f"olift: {tmp_path}", "motion3d")
