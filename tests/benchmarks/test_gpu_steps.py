"""The steps of a run on a GPU machine: in order, each within its time, logged, and none in vain."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import Step, run_steps

ENVIRONMENT = dict(os.environ)


def python(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", code


def test_commands_of_a_step_share_a_log_and_an_order(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    steps = [
        Step("first", (python("print('one')"), python("print('two')")), 60, decides=True),
        Step("second", (python("import sys; print('bad'); sys.exit(3)"),), 60),
        Step("third", (python("print('good')"),), 60),
    ]
    assert run_steps(steps, tmp_path / "out", ENVIRONMENT, 300) == 1
    assert (tmp_path / "out/first.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "out/second.log").read_text() == "bad\n\nended with 3\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "first.log", "second.log", "summary.json", "third.log",
    ]  # fmt: skip
    told = json.loads((tmp_path / "out/summary.json").read_text())
    assert [line.split()[0] for line in told.values()] == ["ok", "FAILED", "ok"]
    assert "== second: FAILED" in capsys.readouterr().out


def test_after_a_deciding_step_that_failed_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    touched = tmp_path / "touched"
    steps = [
        Step("every_op", (python("raise SystemExit(1)"),), 60, decides=True),
        Step("tests", (python(f"open({str(touched)!r}, 'w')"),), 60),
    ]
    assert run_steps(steps, tmp_path / "out", ENVIRONMENT, 300) == 1
    assert not touched.exists()
    assert "tests        left out: every_op failed" in capsys.readouterr().out


def test_a_step_is_interrupted_at_its_limit_and_keeps_what_it_has(tmp_path: Path) -> None:
    code = "import time\ntry: time.sleep(100)\nexcept KeyboardInterrupt: print('kept')"
    assert run_steps([Step("slow", (python(code),), 3)], tmp_path, ENVIRONMENT, 300) == 1
    log = (tmp_path / "slow.log").read_text()
    assert log.startswith("kept") and "ended with 124 at its time limit" in log


def test_no_time_left_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_steps([Step("late", (python("pass"),), 60)], tmp_path, ENVIRONMENT, 4) == 1
    assert "late         left out: no time was left" in capsys.readouterr().out


def test_the_run_keeps_to_its_limits() -> None:
    steps = gpu.gpu_steps(Path("out"), 16)
    assert [step.name for step in steps] == ["build", "every_op", "tests", "benchmarks"]
    assert [step.name for step in gpu.rehearsal_steps()] == [step.name for step in steps]
    assert all(step.seconds < gpu.LIMIT_SECONDS <= 480 for step in steps)
    logs = [step.name for step in (*steps, *gpu.sanitizer_steps())]
    assert len({*logs, "benchmarks.json", "summary.json"}) <= gpu.MOST_FILES
    scripts = [word for step in steps for command in step.commands for word in command if word.startswith("tests/")]
    assert scripts and all((gpu.ROOT / script).exists() for script in scripts)
