"""A checkout of another commit beside this one: its worktree, its native module, and the times of its benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.records import BadResultsError, Case, read_cases, read_json

LAST_LINES = 25


class CannotCompareError(RuntimeError):
    """Nothing can be compared; the message says why, with the end of the log where a program failed."""


def resolve(root: Path, revision: str) -> str:
    """The commit that a revision of the checkout at `root` names, in full; raises `CannotCompareError`."""
    if shutil.which("git") is None:
        raise CannotCompareError("git is needed to check out the other revision; there is none on the PATH")
    if git(root, "rev-parse", "--git-dir").returncode:
        raise CannotCompareError(f"{root} must be a git checkout, and is none")
    # Without --end-of-options, a revision that begins with a dash would be an option.
    found = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        raise CannotCompareError(f"unknown revision {revision!r}: wanted a commit, branch or tag of {root}")
    return found.stdout.strip()


@contextmanager
def worktree(root: Path, commit: str) -> Iterator[Path]:
    """A temporary checkout of the commit; it is removed at the end, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="olift-base-") as folder:
        tree = (Path(folder) / "tree").resolve()
        try:
            checked(["git", "-C", str(root), "worktree", "add", "--detach", str(tree), commit], "git worktree add")
            yield tree
        finally:
            git(root, "worktree", "remove", "--force", str(tree))
            shutil.rmtree(tree, ignore_errors=True)
            git(root, "worktree", "prune")


def build_native(source: Path, build: Path) -> Path:
    """Builds the native module of a checkout as `make native` does, without installing it; returns its file."""
    programs = Path(sys.executable).parent
    environment = {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}", "CMAKE_GENERATOR": "Ninja"}
    configure = ["cmake", "-S", str(source), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release"]
    options = [f"-DPython_EXECUTABLE={sys.executable}", *([] if has_gpu() else ["-DOLIFT_CUDA=OFF"])]
    checked([*configure, *options], f"cmake of {source}", environment)
    checked(["cmake", "--build", str(build), "--parallel"], f"the build of {source}", environment)
    modules = sorted(build.glob("_native*.so"))
    if len(modules) != 1:
        raise CannotCompareError(f"the build of {source} must leave one _native*.so in {build}, got {len(modules)}")
    return modules[0]


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def time_benchmarks(tree: Path, native: Path | None, chosen: str, must_pass: bool) -> dict[str, Case]:
    """Runs the suites that lie in `tree` once, in a new process, with that tree's package.

    Args:
        tree: the checkout.
        native: its compiled module; None leaves it as the environment says.
        chosen: pytest's ``-k`` expression.
        must_pass: whether a failing benchmark is an error; if not, it is left out.

    Returns:
        What each benchmark measured, by the test's id.
    """
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        done = run_pytest(tree, native, "-k", chosen, "--benchmark-only", f"--benchmark-json={figures}")
        log = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        if done.returncode and (must_pass or done.returncode not in (1, 5)):
            raise CannotCompareError(f"the benchmarks of {tree} failed, with exit code {done.returncode}:\n{log}")
        if not figures.is_file() or not figures.stat().st_size:
            return {}
        try:
            found = read_json(figures)
            names = [entry["fullname"] for entry in found["benchmarks"]]
            return dict(zip(names, read_cases(figures, found), strict=True))
        except BadResultsError as error:
            raise CannotCompareError(str(error)) from None


def collect_benchmarks(tree: Path, native: Path | None, chosen: str) -> set[str]:
    """The ids of the tests that `time_benchmarks` would run; suites that the tree's package can't import have none."""
    done = run_pytest(tree, native, "-k", chosen, "--collect-only")
    return {line for line in done.stdout.splitlines() if "::" in line and not line.startswith("ERROR ")}


def run_pytest(tree: Path, native: Path | None, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest on the suites that lie in `tree`, with that tree's package; suites that can't be imported are left out."""
    always = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command = [sys.executable, str(Path(__file__).with_name("in_tree.py")), str(tree), "benchmarks", *always, *options]
    return run(command, {"OLIFT_NATIVE": str(native)} if native else {}, tree)


def checked(command: Sequence[str], what: str, environment: Mapping[str, str] | None = None) -> None:
    done = run(command, environment or {})
    if done.returncode:
        log = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        raise CannotCompareError(f"{what} failed, with exit code {done.returncode}:\n{log}")


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    except FileNotFoundError:
        raise CannotCompareError(f"{command[0]} is needed; there is none on the PATH") from None


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
