"""Recordings: written part by part, the same from memory and from a journal, whatever fills up or breaks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_events import assert_same, events, first_results, recorded

from olift_fast import InputError, Skeleton, read_lifted
from olift_fast.streaming import Recording, record_journal, record_parts, record_writer, recover_recording
from olift_fast.streaming.record_journal import Journal
from olift_fast.streaming.session import Ended, Lifted


def one_frame_tracks(count: int, joints: int) -> Recording:
    recording = Recording(Skeleton(tuple(f"joint {number}" for number in range(joints))))
    ones = np.ones((joints, 3), np.float32)
    for life in range(count):
        result = Lifted("me", f"dog {life}", 0, None, ones, ones[:, :2], ones[:, 0], ones[:, 0] > 0, life, life)
        recording.add(result)
        recording.add(Ended("me", f"dog {life}", 1, 1.0, "asked", life))
    return recording


def test_many_short_tracks_take_what_their_results_take() -> None:
    tracemalloc.start()
    try:
        recording = one_frame_tracks(4000, joints=40)
        kept, _ = tracemalloc.get_traced_memory()
        assert kept < 4000 * 40 * 45, "30 bytes a joint and some more for each track"
        tracemalloc.reset_peak()
        cells = frames = 0
        for part in recording.each_part():
            cells, frames = max(cells, part.joints[..., 0].size), frames + part.num_frames
            del part
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frames == 4000 and cells <= record_parts.SPARSE
    assert peak - kept < 40 * record_parts.SPARSE, "one part at a time"


def test_parts_that_are_well_filled_are_as_large_as_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_parts, "SPARSE", 1)
    assert len(recorded(events()).parts()) == 1
    assert len(one_frame_tracks(64, joints=2).parts()) == 8


def test_parts_are_written_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_parts, "SPARSE", 1000)
    recording = one_frame_tracks(100, joints=4)
    written = recording.write(tmp_path / "out.npz")
    assert [path.name for path, _ in written[:3]] == ["out.npz", "out.2.npz", "out.3.npz"]
    parts = [read_lifted(path) for path, _ in written]
    assert_same(parts, recording.parts())
    assert [(part.num_tracks, part.num_frames) for part in parts] == [tuple(size) for _, size in written]
    assert sum(part.num_tracks for part in parts) == 100


@pytest.mark.parametrize("uncertainty", [False, True])
def test_journal_gives_the_same_as_memory_and_is_deleted(tmp_path: Path, uncertainty: bool) -> None:
    journal = tmp_path / "out.npz.journal"
    recording = recorded(events(uncertainty), journal=journal)
    assert journal.exists() and len(recording) == len(recorded(events(uncertainty)))
    for cells in (record_parts.CELLS, 1000):
        assert_same(recording.parts(cells), recorded(events(uncertainty)).parts(cells))
    recording.write(tmp_path / "out.npz")
    assert os.listdir(tmp_path) == ["out.npz"]
    assert_same([read_lifted(tmp_path / "out.npz")], recorded(events(uncertainty)).parts())


def test_recording_that_ended_unwritten_is_recovered(tmp_path: Path) -> None:
    journal = tmp_path / "out.npz.journal"
    recorded(events(), journal=journal).close()
    recovered = recover_recording(journal)
    assert recovered.notes == () and len(recovered) == len(recorded(events()))
    recovered.write(tmp_path / "out.npz")
    assert not journal.exists()
    assert_same([read_lifted(tmp_path / "out.npz")], recorded(events()).parts())


def test_nothing_recorded_leaves_no_file(tmp_path: Path) -> None:
    recording = recorded([], journal=tmp_path / "out.npz.journal")
    assert recording.write(tmp_path / "out.npz") == [] and not list(tmp_path.iterdir())


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


def journal_in_blocks(path: Path, results: int = 7) -> list[int]:
    """Writes a journal of blocks of so many results; returns the file's size after each block."""
    whole = recorded([])
    with_facts = Journal(path, whole._facts, "17")
    sizes = [path.stat().st_size]
    for event in events():
        whole.add(event)
        if len(whole) % results == 0 and isinstance(event, Lifted):
            for block in whole._take():
                with_facts.append(block)
            sizes.append(path.stat().st_size)
    for block in whole._take():
        with_facts.append(block)
    with_facts.file.close()
    return [*sizes, path.stat().st_size]


def held_results(path: Path) -> int:
    with FileIO(path) as file:
        return sum(block.rows for block in record_journal.read_journal(file, path).blocks)


def wait_until(reached: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.005)


def test_cut_anywhere_it_holds_all_whole_blocks(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.journal", tmp_path / "cut.journal"
    sizes = journal_in_blocks(whole)
    data, random = whole.read_bytes(), np.random.default_rng(1)
    for size in [*random.integers(sizes[0], len(data), 20).tolist(), *sizes[:3], sizes[1] - 1]:
        cut.write_bytes(data[:size])
        recovered = recover_recording(cut)
        blocks = sum(end <= size for end in sizes) - 1
        assert len(recovered) >= 7 * blocks and (size == len(data) or len(recovered) == 7 * blocks)
        assert recovered.notes == ()
        assert_same(recovered.parts(), recorded(first_results(events(), len(recovered))).parts())
        recovered.close()


def test_damaged_block_is_left_out_and_told(tmp_path: Path) -> None:
    path, random = tmp_path / "out.npz.journal", np.random.default_rng(2)
    sizes = journal_in_blocks(path)
    data = path.read_bytes()
    (whole,) = recorded(events()).parts()
    for place in random.integers(sizes[0], sizes[-3], 20).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << int(random.integers(8)))]) + data[place + 1 :])
        recovered = recover_recording(path)
        assert len(recorded(events())) - 7 <= len(recovered) < len(recorded(events()))
        (note,) = recovered.notes
        assert "are damaged: the results that were there are missing" in note
        (part,) = recovered.parts()
        there = np.isfinite(part.centers[..., 0])
        place_in_whole = np.searchsorted(whole.frames, part.frames)
        rows = [whole.tracks.index(name) for name in part.tracks] if part.num_tracks == whole.num_tracks else None
        if rows is not None:
            np.testing.assert_array_equal(part.joints[there], whole.joints[rows][:, place_in_whole][there])
        recovered.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a journal"),
        (b"PK\3\4 something else", "not a journal"),
        (record_journal.MARK, "its first block does not describe a recording"),
        (record_journal.MARK + os.urandom(5000), "its first block does not describe a recording"),
        (record_journal.MARK + record_journal._framed(b"[1, 2]"), "its first block does not describe a recording"),
        (record_journal.MARK + record_journal._framed(b'{"number": 1, "skeleton": 2}'), "does not describe"),
        (record_journal.MARK + record_journal._framed(b"\xff" * 9), "does not describe"),
    ],
)
def test_what_is_no_journal_is_refused_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "out.npz.journal"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"out\.npz\.journal: .*{message}") as found:
        recover_recording(path)
    assert "\n" not in str(found.value)
    assert path.read_bytes() == content
    with pytest.raises(InputError, match="No such file"):
        recover_recording(tmp_path / "none.journal")


ODD: list[Any] = [None, True, -1, 0, 1.5, 1e308, float("nan"), 2**70, "x", "", [], {}, [[1]], {"a": 1}]


def changed(content: Any, random: np.random.Generator) -> Any:
    """JSON with another value somewhere."""
    if isinstance(content, dict) and content and random.random() < 0.8:
        key = str(random.choice(list(content)))
        return content | {key: changed(content[key], random)}
    if isinstance(content, list) and content and random.random() < 0.5:
        return [changed(content[0], random), *content[1:]]
    return ODD[int(random.integers(len(ODD)))]


def test_journals_of_strangers_are_read_or_refused_in_a_line(tmp_path: Path) -> None:
    path, random = tmp_path / "out.npz.journal", np.random.default_rng(3)
    journal_in_blocks(path, results=40)
    with FileIO(path) as file:
        blocks = [data for _, data in record_journal._whole_blocks(file)]
    refused = 0
    for number in range(150):
        strange = list(blocks)
        place = int(random.integers(len(blocks))) if number % 2 else 0
        line, end, rows = blocks[place].partition(b"\n")
        strange[place] = json.dumps(changed(json.loads(line), random)).encode() + end + rows
        path.write_bytes(record_journal.MARK + b"".join(map(record_journal._framed, strange)))
        try:
            recovered = recover_recording(path)
            recovered.write(tmp_path / "out.npz")
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert 20 < refused < 140


def test_earlier_results_and_other_files_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.npz.journal"
    recorded(events(), journal=path).close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"recorded before it was stopped: `olift recover .*out\.npz\.journal`"):
        recorded([], journal=path)
    assert path.read_bytes() == before
    path.write_text("my own diary")
    with pytest.raises(InputError, match="no journal of a recording: move it away"):
        recorded([], journal=path)
    assert path.read_text() == "my own diary"


@pytest.mark.parametrize("left", [0, 5, 60, None])
def test_journal_that_holds_no_results_is_begun_anew(tmp_path: Path, left: int | None) -> None:
    path = tmp_path / "out.npz.journal"
    recorded([], journal=path).close()
    path.write_bytes(path.read_bytes()[:left])
    recorded(events(), journal=path).write(tmp_path / "out.npz")
    assert_same([read_lifted(tmp_path / "out.npz")], recorded(events()).parts())


@pytest.mark.skipif(sys.platform == "win32", reason="locks files")
def test_journal_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.npz.journal"
    recording = recorded(events(), journal=path)
    for again in (lambda: recorded([], journal=path), lambda: recover_recording(path)):
        with pytest.raises(InputError, match="another process is recording into it"):
            again()
    assert_same(recording.parts(), recorded(events()).parts())


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


def test_recovered_scale_is_the_one_the_stream_fits(tmp_path: Path) -> None:
    ended = [event for event in events() if isinstance(event, Ended)]
    assert len(ended) == 3
    without = [event for event in events() if not isinstance(event, Ended)]
    (fitted,), (told,) = recorded(without).parts(), recorded(events()).parts()
    np.testing.assert_array_equal(fitted.scale, told.scale)
    assert len(set(fitted.scale.tolist())) == 5
    (plain,) = recorded(without, fit_frames=None).parts()
    assert (plain.scale == 1).all()


def test_facts_come_back_from_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    options: dict[str, Any] = {"pitch": 30.0, "fps": 12.5, "source": "mouse\ud800.csv", "model": "tiny ✓"}
    recorded(events(), journal=journal, **options).close()
    assert_same(recover_recording(journal).parts(), recorded(events(), **options).parts())
