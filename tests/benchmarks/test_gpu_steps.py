"""The steps of a run on a GPU machine: in order, each within its time, logged, and none in vain."""

from __future__ import annotations

import json
import os
import subprocess
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


def test_a_slow_step_leaves_what_is_kept_for_a_later_one(tmp_path: Path) -> None:
    steps = [
        Step("tests", (python("import time; time.sleep(100)"),), 100),
        Step("benchmarks", (python("pass"),), 100, kept=60),
    ]
    assert run_steps(steps, tmp_path, ENVIRONMENT, 66) == 1
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["tests"].startswith("FAILED in") and told["benchmarks"].startswith("ok")


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
    assert sum(step.kept or step.seconds for step in steps if step.name != "tests") < gpu.LIMIT_SECONDS - 60


def test_files_whose_tests_may_need_a_gpu_are_collected_and_no_others() -> None:
    chosen = gpu.chosen_tests()[2:]
    assert "tests/ops/test_rff.py" in chosen and "tests/train/test_fit.py" in chosen
    assert "tests/streaming/test_stream_websocket.py" not in chosen, "it needs a package that a GPU machine may lack"
    # A mark that a file takes from elsewhere has its name: no other name may hold one.
    shared = [path for path in (gpu.ROOT / "tests").rglob("*.py") if not path.name.startswith("test_")]
    lines = [line for path in shared for line in path.read_text(encoding="utf-8").splitlines() if ".mark." in line]
    assert [line for line in lines if gpu.NAMES_A_MARK.search(line)] == ["needs_triton = pytest.mark.triton"]


@pytest.mark.parametrize("condition", [True, False])
def test_the_rehearsal_fails_where_a_test_would_skip_on_a_gpu(tmp_path: Path, condition: bool) -> None:
    text = f"import pytest\n@pytest.mark.skipif({condition}, reason='none')\ndef test_one(): pass\n"
    (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
    command = [*gpu.PYTEST, "-p", "claimed_gpu", "--collect-only", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, env=gpu.environment(True), capture_output=True, text=True)
    assert ("test_it.py::test_one" in done.stdout, done.returncode) == (True, int(condition)), done.stdout
