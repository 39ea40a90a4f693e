"""Recordings on disks that are slow or full: the stream goes on, and nothing is lost that has a place."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from record_events import assert_same, events, first_results, held_results, recorded, wait_until

from olift_fast import InputError, read_lifted
from olift_fast.streaming import Recording, record_journal, record_writer, recover_recording


def test_results_are_on_disk_without_another_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "PERIOD", 0.01)
    journal = tmp_path / "out.npz.journal"
    recording = recorded(events(), journal=journal)
    wait_until(lambda: held_results(journal) == len(recording))
    recording.close()


def test_adding_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "PERIOD", 0.01)
    recording = recorded([], journal=tmp_path / "out.npz.journal")
    reached, free = threading.Event(), threading.Event()
    real = record_journal.write_at

    def stuck(*given: Any) -> None:
        reached.set()
        assert free.wait(60)
        real(*given)

    monkeypatch.setattr(record_journal, "write_at", stuck)
    recording.add(events()[0])
    assert reached.wait(60)
    for event in events()[1:]:
        recording.add(event)
    assert len(recording) == len(recorded(events())), "all were taken while the disk stood still"
    free.set()
    assert_same(recording.parts(), recorded(events()).parts())
    recording.close()


class Disk:
    """Holds files of so many bytes in each folder; what does not fit is written in part, as a full disk does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **room: int) -> None:
        self.room, self._real = room, record_journal.write_at
        monkeypatch.setattr(record_journal, "write_at", self.write)
        monkeypatch.setattr(record_writer, "PERIOD", 0.01)
        monkeypatch.setattr(record_writer, "RETRY", 2)

    def write(self, file: FileIO, data: bytes, place: int) -> None:
        folder = Path(os.fsdecode(file.name)).parent.name
        fits = data[: max(self.room[folder] - place, 0)]
        self._real(file, fits, place)
        if len(fits) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where to record, and the temporary folder."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(second))
    return first, second


def in_small_blocks(recording: Recording) -> None:
    """Adds all events, and has the writer take them a few at a time."""
    for number, event in enumerate(events()):
        recording.add(event)
        if number % 20 == 0:
            wait_until(lambda: recording._open._count == 0)


def test_full_disk_is_told_and_the_record_goes_on_elsewhere(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = folders
    Disk(monkeypatch, first=10_000, second=1 << 30)
    told: list[str] = []
    recording = recorded([], journal=first / "out.npz.journal", warn=told.append)
    in_small_blocks(recording)
    recording.close()
    (continued,) = second.iterdir()
    (warning,) = told
    assert "out.npz.journal: cannot be written: the disk is full; the stream goes on" in warning
    assert str(continued) in warning
    recovered = recover_recording(first / "out.npz.journal")
    assert recovered.notes == () and len(recovered) == len(recorded(events()))
    assert_same(recovered.parts(), recorded(events()).parts())
    recovered.close()
    elsewhere = continued.rename(first / continued.name)
    recovered = recover_recording(first / "out.npz.journal")
    assert_same(recovered.parts(), recorded(events()).parts())
    recovered.write(first / "out.npz")
    assert not elsewhere.exists() and os.listdir(first) == ["out.npz"]


def test_continuation_that_is_gone_is_told(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = folders
    Disk(monkeypatch, first=10_000, second=1 << 30)
    recording = recorded([], journal=first / "out.npz.journal", warn=lambda line: None)
    in_small_blocks(recording)
    recording.close()
    (continued,) = second.iterdir()
    continued.unlink()
    recovered = recover_recording(first / "out.npz.journal")
    (note,) = recovered.notes
    assert f"the recording went on in {continued}, which is gone" in note
    assert_same(recovered.parts(), recorded(first_results(events(), len(recovered))).parts())
    recovered.close()


def test_nowhere_any_room_it_waits_in_memory_until_there_is(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = folders
    disk = Disk(monkeypatch, first=10_000, second=0)
    told: list[str] = []
    recording = recorded([], journal=first / "out.npz.journal", warn=told.append)
    in_small_blocks(recording)
    wait_until(lambda: bool(told))
    assert not list(second.iterdir()), "what can't be used is not left behind"
    with FileIO(first / "out.npz.journal") as file:
        last = record_journal.read_journal(file, first / "out.npz.journal").blocks[-1]
        assert file.seek(0, os.SEEK_END) == last.place + last.length, "nor is a part of a block"
    assert len(told) == 1 and "its record in memory, which a crash would lose, until there is room" in told[0]
    disk.room["first"] = 1 << 30
    wait_until(lambda: len(told) == 2)
    assert "there is room again" in told[1] and held_results(first / "out.npz.journal") == len(recording)
    assert_same(recording.parts(), recorded(events()).parts())
    recording.close()


def test_full_to_the_end_it_still_gives_all_parts(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = folders
    Disk(monkeypatch, first=10_000, second=700)
    recording = recorded([], journal=first / "out.npz.journal", warn=lambda line: None)
    in_small_blocks(recording)
    recording.write(first / "out.npz")
    assert_same([read_lifted(first / "out.npz")], recorded(events()).parts())
    assert os.listdir(first) == ["out.npz"]


def test_result_that_can_not_be_written_stays_in_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "out.npz.journal"
    recording = recorded(events(), journal=journal)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("olift_fast.io.writers.npz.np.savez_compressed", full)
        with pytest.raises(InputError) as found:
            recording.write(tmp_path / "out.npz")
    message = str(found.value)
    assert "out.npz: cannot be written: the disk is full; the results are in" in message
    assert f"`olift recover {journal} -o FILE`" in message and "\n" not in message
    recording.close()
    recover_recording(journal).write(tmp_path / "out.npz")
    assert_same([read_lifted(tmp_path / "out.npz")], recorded(events()).parts())


LIMITED = """
import resource, signal, sys
from pathlib import Path
from record_events import events, recorded
from olift_fast.streaming import record_writer
record_writer.PERIOD = 0.01
told, out = [], Path(sys.argv[1])
all_events = events()
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
recording = recorded([], journal=out.with_name("out.npz.journal"), warn=told.append)
for number, event in enumerate(all_events):
    recording.add(event)
    while number % 20 == 0 and recording._open._count:
        pass
recording.close()
print(*told, sep="\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
recording.write(out)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_real_limit_of_a_file_sends_it_to_the_second_place_and_then_to_memory(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and "its record in " + str(tmp_path) in lines[0] and "in memory" in lines[1]
    assert_same([read_lifted(tmp_path / "out.npz")], recorded(events()).parts())
    assert os.listdir(tmp_path) == ["out.npz"]
