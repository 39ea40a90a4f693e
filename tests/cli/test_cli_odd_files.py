"""Every command that opens a file: devices, sockets and pipes are told apart from empty and absent files."""

from __future__ import annotations

import gzip
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from olift_fast.data.animalsyn3d import load_animation
from olift_fast.errors import InputError
from olift_fast.io import read_lifted

from .conftest import Run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")

COMMANDS = {
    "lift": ("lift", "{}", "-o", "out.npz"),
    "info": ("info", "{}"),
    "skeleton": ("skeleton", "{}", "-o", "out.json"),
    "view": ("view", "{}", "-o", "out.html", "--no-open"),
    "bench": ("bench", "{}"),
    "replay": ("stream", "--replay", "{}"),
    "stream's skeleton": ("stream", "--skeleton", "{}"),
    "lift's skeleton": ("lift", "{mouse}", "--skeleton", "{}", "-o", "out.npz"),
    "recipe": ("train", "{}"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("odd", "kind"), [("/dev/zero", "device"), ("/dev/null", "device"), ("socket", "socket")])
def test_devices_and_sockets_are_refused(
    run: Run, mouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, odd: str, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        before = sorted(tmp_path.iterdir())
        done = run(*(word.format(odd, mouse=mouse) for word in COMMANDS[command]))
    told = f"--skeleton {odd}" if "--skeleton" in COMMANDS[command] else odd
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"olift: {told}: is a {kind}, wanted a file\n")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", ["device", "pipe", "folder"])
@pytest.mark.parametrize("command", [("finetune", "data", "--out", "mine"), ("eval", "small", "data")])
def test_odd_recordings_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("data/motion3d/walk.npz")
    path.parent.mkdir(parents=True)
    {"device": lambda: path.symlink_to("/dev/zero"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[content]()
    done = run(*command)
    assert (done.exit_code, done.stderr) == (2, f"olift: {path}: is a {content}, wanted a file\n")


def test_animations_that_are_devices_are_refused() -> None:
    with pytest.raises(InputError, match=r"^/dev/zero: is a device, wanted a file$"):
        load_animation("/dev/zero")


def test_a_pipe_is_lifted_like_the_file(lift: Run, mouse: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = gzip.compress(mouse.read_bytes())
    writing = threading.Thread(target=lambda: pipe.write_bytes(content), daemon=True)
    writing.start()
    assert lift(pipe, "-o", tmp_path / "piped.npz").exit_code == 0
    writing.join(20)
    assert lift(mouse, "-o", tmp_path / "file.npz").exit_code == 0
    piped, wanted = (read_lifted(tmp_path / f"{name}.npz") for name in ("piped", "file"))
    np.testing.assert_array_equal(piped.joints, wanted.joints)
    assert piped.source == str(pipe)


@pytest.mark.parametrize("out", ["/dev/null", "pipe", "to_device"])
@pytest.mark.parametrize("command", [("bench", "--out", "{}"), ("eval", "small", "data", "--out", "{}")])
def test_outputs_that_are_no_files_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("to_device").symlink_to("/dev/null")
    done = run(*(word.format(out) for word in command))
    wanted = "cannot be written: it is a device, a pipe or a socket, wanted a file name"
    assert (done.exit_code, done.stderr) == (2, f"olift: {out}: {wanted}\n")
    assert Path("/dev/null").is_char_device() and Path("pipe").is_fifo() and Path("to_device").is_symlink()


def test_results_go_through_links(lift: Run, mouse: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out.npz").symlink_to(tmp_path / "disk" / "kept.npz")
    assert lift(mouse, "-o", tmp_path / "out.npz").exit_code == 0
    assert (tmp_path / "out.npz").is_symlink()
    assert read_lifted(tmp_path / "disk" / "kept.npz").num_frames == 30
    (tmp_path / "to_input.npz").symlink_to(mouse)
    done = lift(mouse, "-o", tmp_path / "to_input.npz")
    assert done.exit_code == 2 and "is the input itself" in done.stderr


def test_a_folder_is_no_result_to_view(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("view", ".")
    assert (done.exit_code, done.stderr) == (2, "olift: .: is a folder, wanted what `olift lift` wrote (.npz)\n")


@pytest.mark.parametrize("command", ["lift", "skeleton"])
def test_a_result_from_a_pipe_must_be_named(tmp_path: Path, run: Run, command: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    outcome = run(command, pipe)
    assert outcome.exit_code == 2 and "name the result with -o" in outcome.output
    assert list(tmp_path.iterdir()) == [pipe]


def test_recordings_to_score_must_be_a_folder(tmp_path: Path, run: Run, random_model: str) -> None:
    (tmp_path / "file").touch()
    for name, told in (("file", "is a file, wanted a folder"), ("absent", "no such folder, wanted a folder")):
        outcome = run("eval", random_model, tmp_path / name)
        assert outcome.exit_code == 2 and told in outcome.output
