"""Whatever is wrong with the input: one line that names the file and the cause, exit code 2, nothing left behind."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from olift_fast.cli import checks
from olift_fast.io import liftable

from .conftest import JOINTS, Run, walk, write_table

CLIPS = Path(__file__).parents[2] / "docs/tutorials/data/clips"


def empty(path: Path) -> Path:
    path.write_text("")
    return path


def no_tracks(path: Path) -> Path:
    path.write_text("[]")
    return path


def one_joint(path: Path) -> Path:
    return write_table(path, *walk(joints=1), names=("nose",))


def all_hidden(path: Path) -> Path:
    keypoints, likelihood = walk()
    return write_table(path, keypoints, 0.01 * likelihood)


def nan_everywhere(path: Path) -> Path:
    keypoints, likelihood = walk()
    return write_table(path, np.full_like(keypoints, np.nan), likelihood)


def wrong_extension(path: Path) -> Path:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    return path


def truncated_hdf5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["tracks"] = np.zeros((1, 2, 4, 1000))
    path.write_bytes(path.read_bytes()[:1500])
    return path


def missing_header_row(path: Path) -> Path:
    lines = write_table(path, *walk()).read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[3:]))
    return path


def points_3d(path: Path) -> Path:
    keypoints, likelihood = walk()
    text = write_table(path, keypoints, likelihood).read_text()
    path.write_text(text.replace("x,y,likelihood", "x,y,z"))
    return path


def folder_of_others(path: Path) -> Path:
    path.mkdir()
    (path / "notes.txt").write_text("nothing to lift")
    return path


def absent(path: Path) -> Path:
    return path


BAD_FILES = [
    (empty, "bad.csv", "empty"),
    (no_tracks, "bad.json", "no tracks"),
    (one_joint, "bad.csv", "one joint"),
    (all_hidden, "bad.csv", "no keypoint"),
    (nan_everywhere, "bad.csv", "no keypoint"),
    (wrong_extension, "bad.csv", ""),
    (truncated_hdf5, "bad.analysis.h5", "HDF5"),
    (missing_header_row, "bad.csv", ""),
    (points_3d, "bad.csv", "3D"),
    (folder_of_others, "bad", ""),
    (absent, "bad.csv", "no such file"),
]


def assert_one_line(outcome: object, *words: str) -> None:
    stderr = getattr(outcome, "stderr", "")
    assert getattr(outcome, "exit_code", None) == 2, stderr
    assert stderr.startswith("olift: ") and stderr.count("\n") == 1, stderr
    assert "Traceback" not in stderr and getattr(outcome, "stdout", "") == ""
    for word in words:
        assert word in stderr


def files_under(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.mark.parametrize(("make", "name", "cause"), BAD_FILES, ids=lambda value: getattr(value, "__name__", None))
def test_bad_file(lift: Run, run: Run, tmp_path: Path, make: Callable[[Path], Path], name: str, cause: str) -> None:
    source = make(tmp_path / name)
    before = files_under(tmp_path)
    assert_one_line(lift(source), str(source), cause)
    assert_one_line(lift(source, "--json"), str(source), cause)
    if make not in (one_joint, all_hidden):  # these are sound files, whose content can be told
        assert_one_line(run("info", source), str(source), cause)
    assert files_under(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fps", "0"], ["fps", "0"]),
        (["--fps", "nan"], ["fps", "nan"]),
        (["--min-confidence", "1.5"], ["--min-confidence", "1.5"]),
        (["--threads", "0"], ["--threads", "0"]),
        (["--dtype", "float16"], ["--dtype float16", "GPUs"]),
        (["--device", "gpu"], ["--device must be cpu, cuda, cuda:1 or another that torch knows, got 'gpu'"]),
        (["--track", "cat"], ["mouse.csv", "'cat'"]),
        (["--format", "coco"], ["mouse.csv", "coco"]),
        (["--format", "nonsense"], ["nonsense", "deeplabcut"]),
        (["--skeleton", "coco_17"], ["mouse.csv", "'nose'"]),
        (["--skeleton", "no_such_rig"], ["no_such_rig"]),
        (["--model", "no-such-model"], ["no-such-model"]),
        (["-o", "nowhere/out.npz"], ["nowhere/out.npz", "folder"]),
        (["-o", "out.docx"], ["out.docx", ".npz"]),
        (["-o", "."], ["folder"]),
        (["--html", "nowhere/out.html"], ["nowhere/out.html"]),
        (["-o", "same.npz", "--html", "same.npz"], ["same.npz", "two names"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("-") else None,
)
def test_bad_option(
    run: Run,
    random_model: str,
    mouse: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(mouse.parent)
    model = [] if "--model" in options else ["--model", random_model]
    outcome = run("lift", "mouse.csv", *model, *options)
    if "--skeleton" in options:
        words = words[:1]
    assert_one_line(outcome, *words)
    assert files_under(mouse.parent) == {Path("mouse.csv")}


def test_skeleton_with_an_edge_out_of_range(lift: Run, mouse: Path, tmp_path: Path) -> None:
    skeleton = tmp_path / "rig.json"
    skeleton.write_text(json.dumps({"names": JOINTS, "edges": [[0, 9]]}))
    assert_one_line(lift(mouse, "--skeleton", skeleton), str(skeleton), "9")


def test_result_never_replaces_its_input(lift: Run, mouse: Path) -> None:
    content = mouse.read_bytes()
    assert_one_line(lift(mouse, "-o", mouse), str(mouse), "the input itself")
    assert mouse.read_bytes() == content


def test_folder_without_write_permission(lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the answer of the system is what the test changes.
    monkeypatch.setattr(checks.os, "access", lambda path, mode: False)
    assert_one_line(lift(mouse), "mouse.lifted.npz", "no permission")
    assert files_under(mouse.parent) == {Path("mouse.csv")}


def test_file_without_read_permission(lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert_one_line(lift(mouse), str(mouse), "Permission denied")


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-o", "--html"])
def test_full_disk_leaves_nothing(lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    out = mouse.parent / ("full.html" if option == "--html" else "full.npz")
    if option == "--html":
        pytest.importorskip("plotly", reason="the viewer needs the extra `view`")
    opened, sync = os.open, os.fsync
    names: dict[int, str] = {}

    def remember(path: str, *rest: int, **more: int) -> int:
        handle = opened(path, *rest, **more)
        names[handle] = str(path)
        return handle

    def full(handle: int) -> None:
        if out.name in names.get(handle, ""):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "open", remember)
    monkeypatch.setattr(os, "fsync", full)
    out.write_text("old")
    outcome = lift(mouse, option, out)
    assert outcome.exit_code == 2
    assert outcome.stderr.count("\n") == 1 and str(out) in outcome.stderr and "Traceback" not in outcome.stderr
    assert out.read_text() == "old"
    assert files_under(mouse.parent) <= {Path("mouse.csv"), Path(out.name), Path("mouse.lifted.npz")}


def test_missing_extra_says_what_to_install(lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_one_line(lift(mouse, "-o", mouse.parent / "out.nc"), "pip install 'olift-fast[io]'")
    assert_one_line(lift(mouse, "--html", mouse.parent / "out.html"), "pip install 'olift-fast[view]'")
    assert files_under(mouse.parent) == {Path("mouse.csv")}


def test_view_of_something_else(run: Run, mouse: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, numbers=np.zeros(3))
    assert_one_line(run("view", mouse), str(mouse))
    assert_one_line(run("view", other), str(other), "not a lifted result")
    assert_one_line(run("view", tmp_path / "absent.npz"), "absent.npz", "no such file")
    assert not list(tmp_path.rglob("*.html"))


def test_view_of_no_frames(run: Run, lift: Run, mouse: Path, tmp_path: Path) -> None:
    assert lift(mouse, "-o", tmp_path / "m.npz").exit_code == 0
    assert_one_line(run("view", tmp_path / "m.npz", "--max-frames", "0"), "--max-frames must be >= 1, got 0")


def test_debug_adds_the_traceback(lift: Run, tmp_path: Path) -> None:
    outcome = lift(tmp_path / "absent.csv", "--debug")
    assert outcome.exit_code == 2
    assert "Traceback" in outcome.stderr and "olift: " in outcome.stderr.splitlines()[-1]


def test_interrupt_ends_with_130(lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(liftable, "read_keypoints", interrupted)
    outcome = lift(mouse)
    assert outcome.exit_code == 130 and outcome.stderr == "olift: interrupted\n"
    assert files_under(mouse.parent) == {Path("mouse.csv")}


def test_bug_is_not_passed_off_as_bad_input(lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(liftable, "read_keypoints", broken)
    outcome = lift(mouse)
    assert outcome.exit_code == 1 and isinstance(outcome.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("lift", "a.csv", "--fps", "fast"), "--fps must be a number, got 'fast'"),
        (("lift", "a.csv", "--threads=3.5"), "--threads must be a whole number, got '3.5'"),
        (("lift", "a.csv", "--frame", "world"), "--frame must be camera or object, got 'world'"),
        (("lift", "a.csv", "--image-size", "640", "wide"), "--image-size must be two whole numbers, got '640 wide'"),
        (("lift", "a.csv", "--image-size", "640"), "--image-size must be two whole numbers, got fewer"),
        (("lift", "a.csv", "--fps"), "--fps must be a number, got none"),
        (("lift", "a.csv", "--skeleton"), "--skeleton needs a value, got none"),
        (("lift", "a.csv", "--mirror=yes"), "--mirror takes no value, got 'yes'"),
        (
            ("eval", "small", ".", "--latency-frames", "2", "--latency-frames", "x"),
            "--latency-frames must be a whole number, got 'x'",
        ),
        (("lift", "a.csv", "-o", "a.npz", "--out=b.npz"), "-o must be one name, got 'a.npz' and 'b.npz'"),
        (("lift", "a.csv", "--html", "a.html", "--html", "b.html"), "--html must be one name, got 'a.html' and "),
        (("lift", "a.csv", "--fsp", "3"), "there is no option --fsp, did you mean "),
        (("lift", "a.csv", "--xyzxyz"), "there is no option --xyzxyz; `olift lift --help` shows"),
        (("lift", "--fps", "3"), "FILE… is missing; `olift lift --help` shows"),
        (("convert", "a.npz"), "-o/--out is missing; `olift convert --help` shows"),
        (("view", "a.npz", "b.npz"), "(b.npz); `olift view --help` shows"),
        (("lft", "a.csv"), "no such command 'lft'"),
        (("--nonsense",), "no such option"),
    ],
)
def test_options_that_cannot_be_read_take_one_line(run: Run, arguments: tuple[str, ...], told: str) -> None:
    assert_one_line(run(*arguments), told)


def test_what_may_be_repeated(lift: Run, mouse: Path, tmp_path: Path) -> None:
    for twice in (("-o", tmp_path / "a.npz"), ("--track", "track_0")):
        assert lift(mouse, *twice, *twice).exit_code == 0
    content = json.loads(lift(mouse, "--json", "--fps", "20", "--fps", "30").stdout)
    assert content["fps"] == 30


def test_home_is_found_where_no_shell_puts_it(
    run: Run, lift: Run, mouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(mouse.parent))
    monkeypatch.chdir(tmp_path)
    assert lift("~/mouse.csv", "--out=~/a.npz", "--html", "~/a.html").exit_code == 0
    assert run("view", "~/a.npz", "--no-open", "--out=~/b.html").exit_code == 0
    assert {"a.npz", "a.html", "b.html"} <= {path.name for path in mouse.parent.iterdir()}
    assert lift("~/*.csv", "-o", "~/lifted").exit_code == 0
    assert (mouse.parent / "lifted/mouse.lifted.npz").is_file()
    (tmp_path / "~").mkdir()
    assert_one_line(lift("~/mouse.csv"), "~/mouse.csv: no such file or folder")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("demo", "{}"), "{}: cannot be written: a file is there, wanted a folder"),
        (("demo", "{}/x"), "{}/x: cannot be written: a folder above it is a file"),
        (("finetune", "clips", "--out", "{}"), "{}: cannot be written: a file is there, wanted a folder"),
        (("lift", "clips", "-o", "{}/x"), "{}/x: cannot be written: {} is a file, wanted a folder"),
        (("export", "small", "-o", "{}/x.onnx"), "{}/x.onnx: folder {} is no folder"),
    ],
)
def test_folders_that_are_files(
    run: Run, mouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").symlink_to(CLIPS)
    shown = told.format(*[mouse] * told.count("{}"))
    assert_one_line(run(*(argument.format(mouse) for argument in arguments)), shown)


def test_a_command_without_arguments_shows_its_help(run: Run) -> None:
    for arguments in ((), ("lift",), ("view",)):
        outcome = run(*arguments)
        assert "Usage: olift" in outcome.output.replace("root", "olift") and "olift: " not in outcome.stderr
