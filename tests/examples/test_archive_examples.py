"""The examples of archives on clusters: their syntax everywhere, and a run of each where its program is installed."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "archives"
SLURM = EXAMPLES / "slurm_array.sh"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "my recordings"
    folder.mkdir()
    for number in range(6):
        rows = [f"{t}.5,{t + number},{2 * t},{t}" for t in range(5)]
        (folder / f"mouse{number}.csv").write_text("\n".join(["nose_x,nose_y,tail_x,tail_y", *rows]))
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `olift` is this interpreter's."""
    program = tmp_path / "bin" / "olift"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m olift_fast "$@"\n')
    program.chmod(0o755)
    return os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


def test_the_scripts_can_be_parsed() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    for script in EXAMPLES.glob("*.py"):
        ast.parse(script.read_text())


@pytest.mark.slow
def test_an_array_on_slurm_lifts_each_file_in_one_task(
    recordings: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """With a dry run first, as a user would."""
    found = 0
    for task in ("1", "2"):
        told = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2"}
        for more in (["--dry-run"], []):
            command = ["bash", str(SLURM), str(recordings), str(tmp_path / "out"), *more]
            done = subprocess.run(command, env=environment | told, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        found += int(done.stdout.split()[0])
    assert found == 6 and len(list((tmp_path / "out").glob("*.lifted.npz"))) == 6


def test_an_array_outside_of_slurm_says_so(recordings: Path, tmp_path: Path) -> None:
    command = ["bash", str(SLURM), str(recordings), str(tmp_path / "out")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "run this with sbatch" in done.stderr


@pytest.mark.slow
def test_the_commands_of_the_nextflow_processes(recordings: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """As Nextflow gives them to bash, with its variables filled in; Nextflow itself is not run."""
    told = {"params.recordings": str(recordings), "params.lifted": str(tmp_path / "out"), "params.shards": "2"}
    shard, tables = re.findall(r'"""\n(.*?)"""', (EXAMPLES / "lift.nf").read_text(), re.DOTALL)
    for script in ((shard, "1"), (shard, "2"), (tables, "")):
        filled = told | {"part": script[1], "task.cpus": "1"}
        # A backslash joins lines where it ends one, and keeps a $ for bash.
        command = re.sub(r"(?<!\\)\$\{([\w.]+)\}", lambda found, filled=filled: filled[found[1]], script[0])
        command = command.replace("\\\n", "").replace("\\$", "$")
        subprocess.run(["bash", "-ue", "-c", command], env=environment, check=True, capture_output=True)
    assert len(list((tmp_path / "out").glob("*.lifted.npz"))) == 6
    assert (tmp_path / "out" / "manifest.csv").exists() and (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_a_snakemake_workflow(recordings: Path, environment: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("snakemake") is None:
        pytest.skip("could not import snakemake: it is not installed")
    settings = [f"recordings={recordings}", f"lifted={tmp_path / 'out'}", "shards=2"]
    command = [
        "snakemake",
        "-s",
        str(EXAMPLES / "Snakefile"),
        "--cores",
        "2",
        "-d",
        str(tmp_path),
        "--config",
        *settings,
    ]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert (tmp_path / "out" / "report.html").exists()
