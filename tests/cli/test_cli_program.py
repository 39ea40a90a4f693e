"""The installed program: it starts fast, runs as a process of its own, and behaves in a pipe."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from olift_fast._version import __version__
from olift_fast.cli.app import COMMANDS

from .conftest import Run

COMMAND = [sys.executable, "-m", "olift_fast"]
# The tree under test, wherever pytest was started.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


NAMES = ["eval" if command.__name__ == "evaluate" else command.__name__ for command in COMMANDS]


def process(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=120, env=ENVIRONMENT, **options
    )  # type: ignore[call-overload]


@pytest.mark.slow
def test_help_is_quick_and_shows_every_command() -> None:
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        outcome = process("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert outcome.returncode == 0
    for command in (*NAMES, "Examples"):
        assert command in outcome.stdout
    # The promise is 0.3 s. Seconds of the processor are counted, since other programs may take it meanwhile.
    assert min(seconds) < 1.0


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, olift_fast.cli; print([m for m in ('torch', 'numpy', 'h5py', 'plotly') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("command", NAMES)
def test_help_of_each_command_shows_an_example(run: Run, command: str) -> None:
    for option in ("--help", "-h"):
        outcome = run(command, option)
        assert outcome.exit_code == 0
        assert f"olift {command}" in outcome.stdout.split("Examples")[1]


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"olift {__version__}\n"


def test_interrupt_while_it_loads_takes_one_line() -> None:
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from olift_fast.__main__ import main\n"
        "main()\n"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert (outcome.returncode, outcome.stderr) == (130, "olift: interrupted\n")


@pytest.mark.slow
def test_process_lifts_and_fails_as_promised(mouse: Path, random_model: str) -> None:
    good = process("lift", str(mouse), "--model", random_model, "--json")
    assert good.returncode == 0, good.stderr
    assert Path(json.loads(good.stdout)["output"]).is_file()
    bad = process("lift", str(mouse.parent / "absent.csv"))
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == f"olift: {mouse.parent / 'absent.csv'}: no such file or folder\n"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes of the shell")
def test_reader_that_leaves_is_no_error(mouse: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        outcome = subprocess.run(
            [*COMMAND, "info", str(mouse)], stdout=gone, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=120
        )
    assert outcome.stderr == ""
