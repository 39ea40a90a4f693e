"""`olift stream --record`, killed, and `olift recover`, which writes what it had recorded."""

from __future__ import annotations

import json
import signal
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from olift_fast import read_lifted
from olift_fast.streaming.record_journal import MARK

from .conftest import Run
from .stream_client import RIG, joints_of, keypoints, line_of, streaming


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    path = tmp_path / "rig.json"
    path.write_text(json.dumps({"names": RIG.names, "edges": RIG.edges}))
    return path


def size_of_results(journal: Path) -> int:
    """Bytes after the first block, which tells of the stream. A block begins with sign, length and checksum."""
    head = journal.read_bytes()[: len(MARK) + 12]
    first = struct.unpack_from("<I", head, len(MARK) + 4)[0] if len(head) == len(MARK) + 12 else 0
    return journal.stat().st_size - len(head) - first


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_killed_stream_is_recovered(random_model: str, rig: Path, tmp_path: Path, run: Run, number: int) -> None:
    points, out = keypoints(200), tmp_path / "out.npz"
    journal = tmp_path / "out.npz.journal"
    with streaming(random_model, rig, "--latency-frames", 0, "--record", out) as stream:
        assert stream.process.stdin and stream.process.stdout
        for frame in points[:120]:
            stream.process.stdin.write(line_of(frame))
        stream.process.stdin.flush()
        answers = [stream.process.stdout.readline() for _ in range(120)]
        assert len(answers) == 120
        end = time.monotonic() + 60
        while (size := size_of_results(journal)) < 120 * (25 * RIG.num_joints + 24):
            assert time.monotonic() < end, f"results of 120 frames are not on disk, only {size} bytes"
            time.sleep(0.01)
        for frame in points[120:]:
            stream.process.stdin.write(line_of(frame))
        stream.process.send_signal(number)
        stream.process.wait(60)
    assert not out.exists()
    with streaming(random_model, rig, "--record", out) as again:
        assert again.process.wait(120) == 2
        again._reading.join(10)
        (told,) = again.told
        assert "recorded before it was stopped: `olift recover" in told and str(journal) in told
    outcome = run("recover", journal)
    assert outcome.exit_code == 0, outcome.output
    assert "olift: recorded" in outcome.output and not journal.exists()
    result = read_lifted(out)
    assert result.num_frames >= 120 and (result.scale[0], result.frame, result.format) == (40, "object", "stream")
    np.testing.assert_array_equal(result.joints[0, :120], joints_of(map(json.loads, answers)))


def test_unusable_journals_are_told_in_a_line(tmp_path: Path, run: Run) -> None:
    other, torn = tmp_path / "other.txt", tmp_path / "out.npz.journal"
    other.write_text("hello")
    torn.write_bytes(MARK + b"\0" * 100)
    for arguments, message in (
        (("recover", tmp_path / "none.npz.journal"), "no such file"),
        (("recover", tmp_path / "out.npz"), "wanted the journal of that record"),
        (("recover", other), "is no journal that `--record OUT` has left"),
        (("recover", other, "-o", tmp_path / "out.npz"), "not a journal of `olift stream --record`"),
        (("recover", torn), "its first block does not describe a recording"),
        (("recover", torn, "-o", tmp_path / "out.docx"), "the name must end in .npz"),
        (("recover", torn, "-o", tmp_path / "nowhere" / "out.npz"), "is not a folder"),
    ):
        outcome = run(*arguments)
        assert outcome.exit_code == 2 and message in outcome.output, outcome.output
        assert "Traceback" not in outcome.output and len(outcome.output.strip().splitlines()) == 1
    assert other.read_text() == "hello" and torn.exists()
