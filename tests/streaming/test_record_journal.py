"""The journal of a recording: what is whole is read, what is not is left out and told, nothing is overwritten."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_events import assert_same, events, first_results, recorded

from olift_fast import InputError, read_lifted
from olift_fast.streaming import record_journal, recover_recording
from olift_fast.streaming.record_journal import Journal
from olift_fast.streaming.session import Ended, Lifted


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


def test_cut_anywhere_it_holds_all_whole_blocks(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.journal", tmp_path / "cut.journal"
    sizes = journal_in_blocks(whole)
    data, random = whole.read_bytes(), np.random.default_rng(1)
    for size in [*random.integers(sizes[0], len(data), 20).tolist(), *sizes[:3], sizes[1] - 1]:
        # After a power cut, a file may have its length already and not yet its content.
        cut.write_bytes(data[:size] + bytes(int(random.integers(2)) * 5000))
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
            with closing(recover_recording(path)) as recovered:
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
    recording.close()


def test_recovered_scale_is_the_one_the_stream_fits(tmp_path: Path) -> None:
    ended = [event for event in events() if isinstance(event, Ended)]
    assert len(ended) == 3
    without = [event for event in events() if not isinstance(event, Ended)]
    (fitted,), (told,) = recorded(without).parts(), recorded(events()).parts()
    np.testing.assert_array_equal(fitted.scale, told.scale)
    assert len(set(fitted.scale.tolist())) == 5


def test_facts_come_back_from_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    options: dict[str, Any] = {"pitch": 30.0, "fps": 12.5, "source": "mouse\ud800.csv", "model": "tiny ✓"}
    recorded(events(), journal=journal, **options).close()
    with closing(recover_recording(journal)) as recovered:
        assert_same(recovered.parts(), recorded(events(), **options).parts())
