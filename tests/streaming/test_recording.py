"""Recordings: written part by part, and the same from memory and from a journal."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from record_events import assert_same, events, recorded

from olift_fast import Skeleton, read_lifted
from olift_fast.streaming import Recording, record_parts, recover_recording
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
