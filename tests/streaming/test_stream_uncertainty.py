"""Standard deviations through long recordings and streams: the same as in memory, and none where there are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from olift_fast.model import Lifter, LifterConfig, Normalization, lift_tracks
from olift_fast.streaming import StreamingLifter, lift_long, long_recordings
from olift_fast.streaming.messages import FrameMessage, ResultLines
from olift_fast.streaming.recording import Recording
from olift_fast.streaming.session import Lifted, Session
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.rigs import rig

RIG = rig("animalsyn3d_dog")
TINY = LifterConfig(width=16, heads=2, motion_layers=2, space_layers=1, window=(3, 2), frequencies=5, uncertainty=True)


@pytest.fixture
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(TINY, "tiny").eval()


def recording(frames: int) -> np.ndarray:
    """Keypoints and confidence ``(T, J, 3)``, some hidden, and a stretch of which nothing is known."""
    random = np.random.default_rng(0)
    points = 300 + 40 * random.normal(size=(1, RIG.num_joints, 2)) + random.normal(size=(frames, RIG.num_joints, 2))
    rows = np.concatenate([points, random.uniform(0.2, 1, (frames, RIG.num_joints, 1))], axis=-1)
    rows[40:60] = np.nan
    return rows.astype(np.float32)


@pytest.mark.parametrize("frame", ["camera", "object"])
def test_long_recording_holds_the_deviations_of_the_whole_one(
    lifter: Lifter, tmp_path: Path, frame: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = recording(150)
    tracks = KeypointTracks(rows[None, ..., :2], rows[None, ..., 2], RIG, ("it",))
    wanted = lift_tracks(lifter, tracks, frame=frame)
    with monkeypatch.context() as patched:

        def stop(done: int, _: int) -> None:
            if done > 80:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            lift_long(lifter, rows, tmp_path / "out.h5", skeleton=RIG, chunk=32, frame=frame, progress=stop)
        # The rest is lifted by the second call alone.
        lifted: list[int] = []
        run = long_recordings.run
        patched.setattr(long_recordings, "run", lambda *given, **options: lifted.append(1) or run(*given, **options))
        result = lift_long(lifter, rows, tmp_path / "out.h5", skeleton=RIG, chunk=32, frame=frame)
    assert len(lifted) == 2
    with h5py.File(result.path) as file:
        assert file["joints"].shape == (150, RIG.num_joints, 3)
        for name, values in (
            ("joints", wanted.joints),
            ("uncertainty", wanted.uncertainty),
            ("uncertainty_xy", wanted.uncertainty_xy),
        ):
            np.testing.assert_allclose(file[name][:], values[0], rtol=1e-4, atol=1e-4 * np.nanstd(wanted.joints))


def test_npy_has_joints_alone(lifter: Lifter, tmp_path: Path) -> None:
    rows = recording(50)
    result = lift_long(lifter, rows, tmp_path / "out.npy", skeleton=RIG, chunk=32)
    assert np.load(result.path).shape == (50, RIG.num_joints, 3)


def test_session_passes_deviations_on_to_lines_and_recordings(lifter: Lifter) -> None:
    rows = recording(70)
    stream = StreamingLifter(lifter, RIG, normalization=Normalization(40.0))
    session, kept = Session(stream), Recording(RIG)
    frames = [FrameMessage("dog", row[:, :2], np.nan_to_num(row[:, 2])) for row in rows]
    events = session.feed([("a", frame) for frame in frames], 0.0) + session.close()
    results = [event for event in events if isinstance(event, Lifted)]
    for event in events:
        kept.add(event)
    (whole,) = kept.parts()
    assert whole.uncertainty is not None and whole.uncertainty_xy is not None
    assert len(results) == 70
    for number, result in enumerate(results):
        assert result.uncertainty is not None
        assert np.array_equal(np.isnan(result.uncertainty).any(axis=-1), np.isnan(result.joints).any(axis=-1))
        np.testing.assert_array_equal(whole.uncertainty[0, number], result.uncertainty[:, 1])
        np.testing.assert_array_equal(whole.uncertainty_xy[0, number], result.uncertainty[:, 0])
        line = ResultLines(RIG.num_joints).line("dog", number, None, result.joints, result.uncertainty)
        told = json.loads(line)
        for key, column in (("uncertainty_xy", 0), ("uncertainty", 1)):
            read = np.nan if told[key] is None else np.array(told[key], np.float32)
            np.testing.assert_array_equal(np.broadcast_to(read, RIG.num_joints), result.uncertainty[:, column])
    assert 0 < np.isnan(whole.uncertainty).mean() < 0.5


def test_lines_and_recordings_of_other_models_have_none() -> None:
    torch.manual_seed(0)
    plain = Lifter(replace(TINY, uncertainty=False)).eval()
    session, kept = Session(StreamingLifter(plain, RIG)), Recording(RIG)
    frames = [FrameMessage("dog", row[:, :2], np.nan_to_num(row[:, 2])) for row in recording(30)]
    for event in session.feed([("a", frame) for frame in frames], 0.0) + session.close():
        kept.add(event)
        if isinstance(event, Lifted):
            line = ResultLines(RIG.num_joints).line("dog", 0, None, event.joints, event.uncertainty)
            assert "uncertainty" not in json.loads(line)
    assert kept.parts()[0].uncertainty is None
