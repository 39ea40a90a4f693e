"""The rule of `make compare`, its report on benchmarks that one side lacks, and its errors; nothing is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare
from benchmarks.checkouts import CannotCompareError, build_native, resolve, worktree
from benchmarks.compare import choose_suites, counterparts, least_disturbed, report, verdict
from benchmarks.records import Case, Way

STEADY = [1.00, 1.00, 1.01, 1.02, 1.02]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout of one commit."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "file.txt").write_text("as committed", encoding="utf-8")
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)
    return folder


def test_slower_by_more_than_the_spread_fails() -> None:
    assert verdict([x * 1.15 for x in STEADY], STEADY) == "slower"


def test_slower_by_a_few_percent_passes() -> None:
    assert verdict([x * 1.08 for x in STEADY], STEADY) == ""


def test_slower_within_the_spread_passes() -> None:
    noisy = [1.0, 1.0, 1.2, 1.4, 1.5]
    assert verdict([x * 1.15 for x in noisy], noisy) == ""


def test_one_bad_round_neither_fails_nor_hides() -> None:
    assert verdict([*STEADY[:4], 9.0], STEADY) == ""
    assert verdict([x * 1.3 for x in STEADY], [*STEADY[:4], 1.06]) == "slower"


def test_faster_passes() -> None:
    assert verdict([x / 2 for x in STEADY], STEADY) == ""


def test_our_way_is_what_counts() -> None:
    ours, peer = Way("ours", 2.0, (1.5, 3.0)), Way("peer", 9.0, (8.0, 10.0))
    assert least_disturbed(Case("", "", {}, (ours, peer), 5)) == 1.5


def test_slower_benchmark_is_named(capsys: Any) -> None:
    assert report({"f.py::a": [2.0] * 5, "f.py::b": STEADY}, {"f.py::a": STEADY, "f.py::b": STEADY}, "main") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("slower")] == ["a"]
    assert lines[-1].startswith("1 of 2 slower")


def test_new_benchmark_is_listed_and_no_failure(capsys: Any) -> None:
    assert report({"f.py::a": STEADY, "f.py::fresh": [9.0] * 5}, {"f.py::a": STEADY}, "main") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.endswith("new")] == ["fresh"]


def test_lost_benchmark_fails(capsys: Any) -> None:
    assert report({"f.py::a": STEADY}, {"f.py::a": STEADY, "f.py::gone": STEADY}, "main") == 1
    assert "not run by HEAD" in capsys.readouterr().out


def test_benchmark_without_counterpart_in_other_suites_is_no_failure(capsys: Any) -> None:
    assert report({"f.py::a": STEADY}, {"f.py::a": STEADY, "f.py::gone": STEADY}, "main", same_suites=False) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if "no counterpart" in line] == ["gone"]


def test_benchmark_of_a_renamed_file_is_the_same_one() -> None:
    head = {"new.py::a[1]": STEADY, "same.py::b": STEADY}
    base = {"old.py::a[1]": [2.0], "same.py::b": [3.0], "old.py::gone": [4.0]}
    assert counterparts(head, base) == {"new.py::a[1]": [2.0], "same.py::b": [3.0], "old.py::gone": [4.0]}


@pytest.mark.parametrize("renamed", [False, True])
def test_suites_are_those_of_head_unless_base_cannot_import_them(
    renamed: bool, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = tmp_path / "head"
    for folder, name in ((checkout, "test_old.py"), (head, "test_new.py")):
        (folder / "benchmarks").mkdir(parents=True)
        (folder / "benchmarks" / name).write_text("", encoding="utf-8")
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for arguments in (["add", "."], [*author, "commit", "-q", "-m", "two"]):
        subprocess.run(["git", "-C", str(checkout), *arguments], check=True)

    def collect(tree: Path, native: Path | None, chosen: str) -> set[str]:
        names = {path.name for path in (tree / "benchmarks").iterdir()}
        return set() if renamed and tree == checkout and "test_new.py" in names else {f"{min(names)}::a"}

    monkeypatch.setattr(compare, "ROOT", head)
    monkeypatch.setattr(compare, "collect_benchmarks", collect)
    assert choose_suites(checkout, "HEAD", {head: None, checkout: None}, "a") is not renamed
    left = [path.name for path in (checkout / "benchmarks").iterdir()]
    assert left == (["test_old.py"] if renamed else ["test_new.py"])


def test_nothing_in_common_is_no_success(capsys: Any) -> None:
    assert report({"f.py::fresh": STEADY}, {}, "main") == 2
    assert "nothing was compared" in capsys.readouterr().err


def test_unknown_revision_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(compare, "ROOT", checkout)
    assert compare.main(["no-such-revision"]) == 2
    assert "unknown revision 'no-such-revision'" in capsys.readouterr().err


def test_folder_outside_git_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotCompareError, match="must be a git checkout"):
        resolve(tmp_path, "HEAD")


def test_missing_git_is_told(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotCompareError, match="git is needed"):
        resolve(checkout, "HEAD")


def test_worktree_has_the_commit_and_goes_away(checkout: Path) -> None:
    (checkout / "file.txt").write_text("changed since", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), worktree(checkout, resolve(checkout, "HEAD")) as tree:
        assert (tree / "file.txt").read_text(encoding="utf-8") == "as committed"
        _ = 1 / 0
    assert not tree.exists()
    listed = subprocess.run(["git", "-C", str(checkout), "worktree", "list"], capture_output=True, text=True)
    assert len(listed.stdout.splitlines()) == 1


@pytest.mark.slow
def test_failing_build_is_told_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text('message(FATAL_ERROR "no good compiler")', encoding="utf-8")
    with pytest.raises(CannotCompareError, match=r"(?s)cmake of .* failed.*no good compiler"):
        build_native(tmp_path, tmp_path / "build")


def test_package_of_another_checkout_is_refused(tmp_path: Path) -> None:
    """The tree has no package of its own, so that another one would be measured in its place."""
    script = Path(compare.__file__).with_name("in_tree.py")
    command = [sys.executable, str(script), str(tmp_path), "--version"]
    root = str(Path(compare.__file__).resolve().parent.parent)
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": root}, cwd=tmp_path)
    assert done.returncode == 9 and str(tmp_path) in done.stderr
