"""One training at a time in a folder: the second is told who has it, and a killed one holds nobody up."""

from __future__ import annotations

import errno
import os
import platform
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from olift_fast.errors import InputError
from olift_fast.train import fit, load_config
from olift_fast.train.fitting import _locked
from olift_fast.train.lock import FILE, InUseError, locked
from olift_fast.train.studies import trainings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no lock")

ME = f"process {os.getpid()} on {platform.node()}"


def forked(work: Callable[[], object]) -> int:
    """A child that does the work, tells so, and then sleeps; its number."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            os.write(writing, b"x")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    return child


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_the_second_training_is_refused_and_told_of_the_first(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with locked(out):
        before = sorted(path.name for path in out.iterdir())
        for resume in (False, True):
            with pytest.raises(InUseError) as error:
                fit(load_config(tiny), resume=resume)
            assert str(error.value).startswith(f"{out}: another training writes into it ({ME}): ")
            assert sorted(path.name for path in out.iterdir()) == before == [FILE]
    fit(load_config(tiny, ["run.stop_after=1"]))
    assert not (out / FILE).exists()


def test_a_killed_training_holds_nobody_up_and_neither_do_its_workers(tmp_path: Path) -> None:
    kept, told = [], tmp_path / "worker"

    def train() -> None:
        kept.append(locked(tmp_path / "out"))
        kept[0].__enter__()
        told.write_text(str(forked(lambda: None)))

    training = forked(train)
    worker = int(told.read_text())
    try:
        with pytest.raises(InUseError, match=rf"\(process {training} on "), locked(tmp_path / "out"):
            pass
        kill(training)
        os.kill(worker, 0)
        with locked(tmp_path / "out"):
            assert (tmp_path / "out" / FILE).read_text() == f"{ME}\n"
            os.kill(worker, 0)
    finally:
        os.kill(worker, signal.SIGKILL)
    assert not (tmp_path / "out" / FILE).exists()


def test_a_fork_that_ends_leaves_the_lock_in_place(tmp_path: Path) -> None:
    held = locked(tmp_path)
    with held:
        kill(forked(lambda: None))
        kill(forked(lambda: held.__exit__(None, None, None)))
        with pytest.raises(InUseError), locked(tmp_path):
            pass


def test_a_training_that_cannot_begin_leaves_no_folder(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        fit(load_config(tiny, ["model.changes={}", "model.start='absent'"]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: os.mkfifo(path), "is a pipe, wanted a file"),
        (lambda path: path.symlink_to("elsewhere"), "cannot be written: "),
        (lambda path: path.mkdir(), "cannot be written: Is a directory"),
    ],
)
def test_a_lock_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], object], told: str) -> None:
    make(tmp_path / FILE)
    with pytest.raises(InputError, match=rf"{FILE}: {told}"), locked(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_what_stands_in_a_lock_is_shown_escaped(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / FILE).write_bytes(b"\x1b[2J\n\xff" + b"x" * 10_000)
        with pytest.raises(InUseError) as error, locked(tmp_path):
            pass
    assert r"(\x1b[2J\n" in str(error.value) and str(error.value).isprintable() and len(str(error.value)) < 600


def test_a_file_system_without_locks_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.warns(UserWarning, match="can't be locked \\(Operation not supported\\)"), locked(tmp_path):
        pass


def test_all_processes_of_a_training_are_told_that_the_folder_is_in_use(tmp_path: Path) -> None:
    def other(told: InputError | None) -> Any:
        return SimpleNamespace(is_global_zero=False, broadcast=lambda _: told)

    with _locked(tmp_path / "out", other(None)):
        assert not (tmp_path / "out").exists()
    with pytest.raises(InUseError, match="in use"), _locked(tmp_path / "out", other(InUseError("in use"))):
        pass


def test_a_study_waits_for_another_that_trains_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [InUseError("in use"), InUseError("in use"), "trained"]

    def trying(*_: Any, **__: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, InUseError):
            raise answer
        return answer

    monkeypatch.setattr(trainings, "fit", trying)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert trainings._fitted(None) == "trained"  # type: ignore[arg-type, comparison-overlap]
