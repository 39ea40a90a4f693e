"""Files that are there in full or not at all: links, what is no file, and what killed processes leave."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olift_fast import atomic
from olift_fast.atomic import atomic_path, check_replaceable, replacement
from olift_fast.cli.console import write_json
from olift_fast.errors import InputError
from olift_fast.io import write_lifted
from olift_fast.io.write import SUFFIXES
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train.log import Log

posix = pytest.mark.skipif(os.name != "posix", reason="needs links, pipes and signals")


def lifted() -> LiftedTracks:
    shape = (1, 2, 2)
    points = np.arange(8, dtype=np.float32).reshape(*shape, 2)
    return LiftedTracks(
        joints=np.concatenate([points, points[..., :1]], axis=-1),
        keypoints=points,
        confidence=np.ones(shape),
        visible=np.ones(shape, bool),
        skeleton=Skeleton(("nose", "tail"), ((0, 1),)),
        tracks=("mouse",),
        fps=30.0,
        scale=np.ones(1),
        centers=np.zeros((1, 2, 2)),
        rotation=np.eye(3)[None],
        model="small",
        version="1.0",
    )


def write_result(path: Path) -> None:
    if path.suffix in (".nc", ".nwb"):
        pytest.importorskip("movement", reason="needs the extra io")
    write_lifted(lifted(), path)


def write_page(path: Path) -> None:
    pytest.importorskip("plotly", reason="needs the extra view")
    from olift_fast.view import write_html

    write_html(lifted(), path)


def write_text(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("text")


WRITERS: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys(SUFFIXES, write_result),
    ".html": write_page,
    ".json": lambda path: write_json({"a": 1}, path),
    ".txt": write_text,
}


@posix
@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("there", [True, False])
def test_links_are_written_through(tmp_path: Path, suffix: str, there: bool) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / f"kept{suffix}", tmp_path / f"out{suffix}"
    if there:
        target.write_text("older")
    (tmp_path / "between").symlink_to(target)
    link.symlink_to("between")
    WRITERS[suffix](link)
    assert link.is_symlink() and (tmp_path / "between").is_symlink()
    assert target.is_file() and not target.is_symlink() and target.read_bytes() not in (b"older", b"")
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted([f"kept{suffix}", link.name, "between", "disk"])


@posix
def test_a_log_that_is_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "log.csv").symlink_to(tmp_path / "elsewhere.csv")
    Log(tmp_path, 0).close()
    assert (tmp_path / "log.csv").is_symlink() and "loss" in (tmp_path / "elsewhere.csv").read_text()


@posix
def test_a_failed_write_leaves_link_and_target_as_they_were(tmp_path: Path) -> None:
    target, link = tmp_path / "kept.txt", tmp_path / "out.txt"
    target.write_text("older")
    link.symlink_to(target)
    with pytest.raises(ZeroDivisionError), replacement(link) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert link.is_symlink() and target.read_text() == "older" and len(list(tmp_path.iterdir())) == 2


@posix
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "astray").symlink_to(tmp_path / "absent" / "file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "to_folder").symlink_to("folder")
    before = sorted(tmp_path.iterdir())
    for name, message in {
        "pipe": "is a device, a pipe or a socket, wanted the name of a file",
        "loop": "cannot be written: Too many levels of symbolic links",
        "astray": r"a link to .*file\): folder .*absent does not exist",
        "folder": "is a folder, wanted the name of a file",
        "to_folder": r"a link to .*folder\): is a folder",
    }.items():
        with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / name))}.*{message}") as error:
            write_text(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="/dev/null: is a device"):
        check_replaceable(Path("/dev/null"))
    with pytest.raises(OSError, match="it is a device, a pipe or a socket"), replacement(tmp_path / "pipe"):
        pass
    assert sorted(tmp_path.iterdir()) == before and not (tmp_path / "pipe").is_file()


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from olift_fast.atomic import atomic_path
    with atomic_path(Path(sys.argv[1])) as temporary:
        temporary.write_text("half")
        print("there", flush=True)
        sys.stdin.read()
"""


def begin(path: Path) -> subprocess.Popen[str]:
    """A process that has begun to write the file, and waits."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "there\n"
    return process


@posix
def test_what_killed_processes_left_goes_with_the_next_write(tmp_path: Path) -> None:
    killed, alive = begin(tmp_path / "log.csv"), begin(tmp_path / "other.csv")
    try:
        (left,) = tmp_path.glob(".log.csv.*.tmp.csv")
        (held,) = tmp_path.glob(".other.csv.*.tmp.csv")
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        others = [tmp_path / name for name in (".log.csv.notes", ".x.00000000-1-00000000.tmp", "log.tmp.csv")]
        for other in others:
            other.write_text("of somebody else")
        atomic._remove_abandoned.cache_clear()
        write_text(tmp_path / "log.csv")
        assert not left.exists() and (tmp_path / "log.csv").read_text() == "text"
        assert held.read_text() == "half" and all(other.exists() for other in others)
    finally:
        alive.communicate("")
    assert (tmp_path / "other.csv").read_text() == "half" and not held.exists()


def test_long_names_have_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 100 + ".txt")
    write_text(path)
    assert path.read_text() == "text" and list(tmp_path.iterdir()) == [path]
