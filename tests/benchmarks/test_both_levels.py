"""One command times a CPU on both levels: what it asks for, which files it keeps, and what it leaves out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks import both_levels
from benchmarks.both_levels import STEPS, Step, main, record
from benchmarks.records import FILE_NAME

ONE = Step("ops", ("test_rff", "test_procrustes"), 1.0, chosen="masked")
CORES = os.cpu_count() or 1


class Runs:
    """Stands for pytest: writes results, and keeps what it was asked."""

    def __init__(self, code: int = 0) -> None:
        self.code, self.commands, self.asked, self.seconds = (
            code,
            list[Sequence[str]](),
            list[Mapping[str, str]](),
            list[float](),
        )

    def __call__(self, command: Sequence[str], asked: Mapping[str, str], seconds: float) -> tuple[int, str]:
        self.commands.append(command)
        self.asked.append(asked)
        self.seconds.append(seconds)
        path = next(word.split("=", 1)[1] for word in command if word.startswith("--benchmark-json="))
        Path(path).write_text(json.dumps(dict(asked)))
        return self.code, "one line\nthe last line"


def test_each_level_has_its_own_folder_and_instructions(tmp_path: Path) -> None:
    runs = Runs()
    assert record(tmp_path, "made-up", ["avx512", "avx2"], 20, runs, [ONE]) == 0
    files = sorted(tmp_path.glob("*/*.json"))
    assert [path.parent.name for path in files] == [f"made-up-avx2-{CORES}-cores", f"made-up-avx512-{CORES}-cores"]
    assert all(FILE_NAME.fullmatch(path.name) for path in files)
    lowered, best = (json.loads(path.read_text()) for path in files)
    assert lowered["OLIFT_SIMD"] == lowered["ATEN_CPU_CAPABILITY"] == "avx2" and "OLIFT_SIMD" not in best
    assert lowered["OLIFT_BENCH_THREADS"] == best["OLIFT_BENCH_THREADS"] == str(CORES)
    assert {"benchmarks/test_rff.py", "benchmarks/test_procrustes.py", "--benchmark-only"} <= set(runs.commands[0])
    assert runs.commands[0][runs.commands[0].index("-k") + 1] == "masked"
    assert runs.seconds == pytest.approx([1200, 1200], abs=1), "a step may take all that is left"


def test_what_fails_leaves_no_file_and_its_last_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record(tmp_path, "made-up", ["avx2"], 20, Runs(code=1), [ONE]) == 1
    assert not list(tmp_path.iterdir())
    assert "failed, exit code 1" in (out := capsys.readouterr().out) and "the last line" in out


def test_what_does_not_fit_is_left_out_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = Runs()
    long = Step("models", ("test_lifter",), 60.0, best_only=True)
    assert record(tmp_path, "made-up", ["avx512", "avx2"], 10, runs, [long, ONE]) == 1
    assert f"avx512, models-{CORES}-thread" in (out := capsys.readouterr().out) and "left out" in out
    assert len(runs.commands) == 2, "the step after it fits"


def test_every_suite_is_there_and_all_fits_into_twenty_minutes_or_so() -> None:
    for step in STEPS:
        for suite in step.suites:
            assert (both_levels.ROOT / f"benchmarks/{suite}.py").is_file()
    most = sum(step.minutes * (1 if step.best_only else 2) for step in STEPS)
    assert most <= 40, "these are limits; a step takes about half of its own"


def test_a_name_that_is_no_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["../elsewhere"])
    assert stopped.value.code == 2 and "lower-case words joined by dashes" in capsys.readouterr().err
