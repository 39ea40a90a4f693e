"""A long stream of tracks that join, leave, pause and lie, between bad lines: each track equals its own recording."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from .stream_client import JOINTS, assert_lifted, joints_of, keypoints, line_of, offline, streaming

FRAMES = int(os.environ.get("OLIFT_SOAK", "20000"))
SLOTS = 3
BAD = (b"garbage\n", b'{"keypoints": [[1, 2]]}\n', b'{"keypoints": 7}\n', b"\x80\xff\n", b"[" * 5000 + b"\n", b"\n")


@pytest.mark.slow
def test_soak(random_model: str, tmp_path: Path) -> None:
    rig = tmp_path / "rig.json"
    rig.write_text(json.dumps({"names": JOINTS, "edges": [[0, 1], [0, 2], [0, 3]]}))
    random = np.random.default_rng(5)
    lines: list[bytes] = []
    sent: dict[str, list[np.ndarray]] = {}
    live: list[str] = []
    pool, bad, ended = keypoints(5000, seed=5), 0, 0
    while sum(map(len, sent.values())) < FRAMES:
        if len(live) < SLOTS and (not live or random.random() < 0.01):
            live.append(f"dog {len(sent)}")
            sent[live[-1]] = []
        if random.random() < 0.02:
            lines.append(BAD[random.integers(len(BAD))])
            bad += lines[-1] != b"\n"
        for track in list(live):
            chance = random.random()
            if chance < 0.05:
                continue  # a pause
            frame = pool[random.integers(len(pool))] if chance < 0.95 else np.full((len(JOINTS), 3), np.nan)
            end = random.random() < 0.002
            sent[track].append(frame)
            # Now and then its clock is wrong.
            lines.append(line_of(frame, track=track, t=float(random.integers(-9, 9)), **({"end": True} if end else {})))
            if end:
                live.remove(track)
                ended += 1
    with streaming(random_model, rig, "--tracks", SLOTS, "--idle", 1000) as stream:
        answers = stream.communicate(b"".join(lines), timeout=60 + FRAMES / 50)
    assert stream.process.returncode == 0, stream.told
    by_track: dict[str, list[dict]] = {}
    for answer in answers:
        if "joints" in answer:
            by_track.setdefault(answer["track"], []).append(answer)
    assert by_track.keys() == {track for track, frames in sent.items() if frames}
    for track, results in by_track.items():
        assert_lifted(joints_of(results, track), offline(random_model, np.stack(sent[track])))
    ends = [answer["why"] for answer in answers if "end" in answer]
    assert ends.count("asked") == ended and len(ends) == len(by_track)
    total = sum(map(len, sent.values()))
    stream.wait_for(rf"{total:,} frames in, {total:,} out, 0 dropped, {bad:,} bad lines")
    assert len(stream.told) < 2000, "complaints must be rate-limited"
