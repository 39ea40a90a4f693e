"""A stream that records is killed at random moments: what it had written is the beginning of the whole record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from record_events import assert_same

from olift_fast import read_lifted
from olift_fast.streaming import Recording, recover_recording
from olift_fast.streaming.record_blocks import Block
from olift_fast.tracks.containers import LiftedTracks

KILLS = 20 if "OLIFT_SOAK" not in os.environ else 400
FRAMES = 160

# One process loads everything and is forked for each trial: a child streams until its parent kills it, when the journal
# has grown to a random size, and some random milliseconds later.
SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np, torch
from olift_fast import StreamingLifter
from olift_fast.streaming import Recording, record_writer, serve_stream
from olift_fast.streaming.record_journal import journal_of
from olift_fast.tracks.containers import KeypointTracks
from record_events import GIVEN, JOINTS, SKELETON, tiny_lifter

torch.set_num_threads(1)
folder, kills, frames = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
numbers = np.random.default_rng(0)
keypoints = (300 + 40 * numbers.standard_normal((2, frames, JOINTS, 2))).astype(np.float32)
tracks = KeypointTracks(keypoints, numbers.random((2, frames, JOINTS)), SKELETON, ("dog", "cat"), fps=30.0)
lifter = tiny_lifter()
record_writer.PERIOD = 0.005

def stream(out, fps):
    recording = Recording(SKELETON, journal=journal_of(out), fps=30.0, **GIVEN)
    lifting = StreamingLifter(lifter, SKELETON, tracks=2, frame="object", fit="hold")
    quiet = lambda line: None
    serve_stream(lifting, {"replay": tracks}, fps=fps, sink=None, watch=[recording.add], say=quiet, warn=quiet)
    recording.write(out)

def grown(journal):
    try:
        return journal.stat().st_size
    except FileNotFoundError:
        return 0

stream(folder / "whole.npz", 0)
full = 2 * frames * (25 * JOINTS + 28)
random.seed()
for number in range(kills):
    out = folder / f"{number}.npz"
    journal = journal_of(out)
    child = os.fork()
    if child == 0:
        try:
            stream(out, 400)
        finally:
            os._exit(0)
    size = random.uniform(0, full)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if grown(journal) >= size:
            time.sleep(random.uniform(0, 0.02))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, sends SIGKILL")
def test_killed_at_random_moments_it_keeps_all_that_was_on_disk(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(KILLS), str(FRAMES)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60 + 3 * KILLS)
    assert done.returncode == 0, done.stderr
    whole = read_lifted(tmp_path / "whole.npz")
    assert whole.num_frames == FRAMES and whole.num_tracks == 2
    lengths = []
    for number in range(KILLS):
        out = tmp_path / f"{number}.npz"
        if out.exists():
            assert_same([read_lifted(out)], [whole])
            continue
        journal = out.with_name(out.name + ".journal")
        recovered = recover_recording(journal)
        assert recovered.notes == ()
        blocks = [stored.load() for stored in recovered._stored]
        size, longest = journal.stat().st_size, max((stored.length for stored in recovered._stored), default=4096)
        end = max((stored.place + stored.length for stored in recovered._stored), default=size)
        assert size - end <= 4 * longest, "at most the block that was being written is lost"
        lengths.append(len(recovered))
        assert_beginning(recovered, blocks, whole)
        recovered.write(out)
        assert not journal.exists() and (out.exists() or not lengths[-1])
    assert len(set(lengths)) > KILLS // 4, "killed at many different moments"


def assert_beginning(recovered: Recording, blocks: list[Block], whole: LiftedTracks) -> None:
    """All results up to some moment are there, as in the whole record, bit for bit."""
    found = {(int(row["life"]), int(row["tick"])): row for block in blocks for row in block.rows}
    assert len(found) == len(recovered)
    for life in range(2):
        ticks = sorted(tick for of, tick in found if of == life)
        assert ticks == list(range(len(ticks)))
    parts = recovered.parts()
    assert len(parts) == bool(found)
    counts = [sum(of == life for of, _ in found) for life in range(2)]
    for part in parts:
        assert part.tracks == whole.tracks[: part.num_tracks]
        np.testing.assert_array_equal(part.scale, whole.scale[: part.num_tracks])
        for name in ("joints", "keypoints", "confidence", "visible", "centers"):
            ours, theirs = getattr(part, name), getattr(whole, name)
            for life, count in enumerate(counts[: part.num_tracks]):
                np.testing.assert_array_equal(ours[life, :count], theirs[life, :count], err_msg=name)
