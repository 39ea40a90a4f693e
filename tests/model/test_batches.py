"""Many short tracks lifted together: each gets what it gets alone, in few passes of bounded size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ROUNDED

from olift_fast.model import Lifter, LifterConfig, inference, lift_tracks
from olift_fast.model.batches import Stretch, batches_of, stretches_of
from olift_fast.model.inference import CHUNK, lift_together, place_together, prepare, run_together
from olift_fast.ops import use_backend
from olift_fast.ops.native_module import why_not_native
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.kinds import KINDS
from olift_fast.tracks.rigs import rig
from olift_fast.tracks.skeleton import Skeleton

RIG = rig("coco_17")
CONFIG = LifterConfig(
    width=32, heads=4, motion_layers=2, space_layers=2, window=(3, 2), pitch=True, kinds=len(KINDS), uncertainty=True
)
EXACT = pytest.mark.skipif(why_not_native() is not None, reason="to the last bit only with the native kernels")


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(CONFIG, name="random").eval()


def recording(count: int, frames: int, seed: int = 0) -> KeypointTracks:
    """Tracks that begin and end anywhere, with hidden keypoints; some lack joints for good, one shows nothing."""
    rng = np.random.default_rng(seed)
    keypoints = (300 + 50 * rng.normal(size=(count, 1, 17, 2)) + 5 * rng.normal(size=(count, frames, 17, 2))).astype(
        "f4"
    )
    confidence = rng.uniform(0.1, 1, size=(count, frames, 17)).astype(np.float32)
    for track in range(count):
        start = int(rng.integers(0, frames))
        stop = start + int(rng.integers(1, frames - start + 1))
        confidence[track, :start], confidence[track, stop:] = 0, 0
    keypoints[::3, :, 11:] = np.nan
    keypoints[1::4, :, :3] = np.nan
    confidence[count // 2] = 0
    keypoints[confidence == 0] = np.nan
    names = tuple(f"track {number}" for number in range(count))
    return KeypointTracks(keypoints, confidence, RIG, names)


def one_by_one(lifter: Lifter, tracks: KeypointTracks, **options: Any) -> list[LiftedTracks | None]:
    """Each track as a recording of its own, without the joints that it never has; None for one that shows nothing."""
    found: list[LiftedTracks | None] = []
    for index, absent in enumerate(tracks.absent()):
        kept = np.flatnonzero(~absent)
        alone = replace(
            tracks,
            keypoints=tracks.keypoints[[index]][:, :, kept],
            confidence=tracks.confidence[[index]][:, :, kept],
            skeleton=RIG.subset([RIG.names[joint] for joint in kept]),
            tracks=tracks.tracks[index : index + 1],
        )
        found.append(lift_tracks(lifter, alone, **options) if alone.visible().any() else None)
    return found


def assert_each_as_alone(lifter: Lifter, tracks: KeypointTracks, tolerance: float = 0.0, **options: Any) -> None:
    whole = lift_tracks(lifter, tracks, **options)
    absent = tracks.absent()
    assert absent.any() and absent.any(axis=1).sum() < tracks.num_tracks
    for index, alone in enumerate(one_by_one(lifter, tracks, **options)):
        assert np.isnan(whole.joints[index][:, absent[index]]).all()
        if alone is None:
            assert np.isnan(whole.joints[index]).all()
            continue
        there = ~absent[index]
        pairs = [
            (whole.joints[index][:, there], alone.joints[0]),
            (whole.rotation[index], alone.rotation[0]),
            (whole.scale[index], alone.scale[0]),
            (whole.centers[index], alone.centers[0]),
        ]
        for name in ("uncertainty", "uncertainty_xy"):
            if alone.uncertainty is not None:
                pairs.append((getattr(whole, name)[index][:, there], getattr(alone, name)[0]))
        for got, wanted in pairs:
            size = np.nanmax(np.abs(wanted), initial=1e-9)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * size)


@EXACT
@pytest.mark.parametrize("frames", [1, 2, 13, 40])
@pytest.mark.parametrize(
    "options", [{}, {"mirror": True}, {"frame": "object"}, {"pitch": 30.0}, {"mirror": True, "pitch": -10.0}], ids=str
)
def test_each_track_is_lifted_as_alone_to_the_last_bit(lifter: Lifter, frames: int, options: dict[str, Any]) -> None:
    assert_each_as_alone(lifter, recording(14, frames), **options)


@EXACT
@pytest.mark.parametrize("dtype", ROUNDED)
def test_each_track_is_lifted_as_alone_by_rounded_products(lifter: Lifter, dtype: str) -> None:
    assert_each_as_alone(lifter.optimize(dtype=getattr(torch, dtype)), recording(14, 13), mirror=True)


@EXACT
def test_shipped_model_lifts_each_track_as_alone() -> None:
    tracks = recording(12, 20)
    assert_each_as_alone(Lifter.from_pretrained("small"), tracks)


@pytest.mark.parametrize("options", [{}, {"mirror": True, "pitch": 30.0}], ids=str)
def test_plain_pytorch_lifts_each_track_as_alone_up_to_rounding(lifter: Lifter, options: dict[str, Any]) -> None:
    with use_backend("eager"):
        assert_each_as_alone(lifter, recording(14, 13), 1e-6, frame="object", **options)
        assert_each_as_alone(lifter, recording(14, 13), 1e-5, **options)


@pytest.mark.parametrize("time_encoding", ["absolute", "table", "none"])
def test_models_that_count_frames_lift_each_track_as_alone(time_encoding: Any) -> None:
    torch.manual_seed(1)
    lifter = Lifter(replace(CONFIG, time_encoding=time_encoding, time_rows=8)).eval()
    assert_each_as_alone(lifter, recording(14, 20), 1e-5)


def test_padding_is_never_read(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = recording(14, 13)
    wanted = lift_tracks(lifter, tracks, frame="object")
    real = inference.padded

    def poisoned(*given: Any) -> Any:
        batch = real(*given)
        if batch.lengths is not None:
            for row, length in enumerate(batch.lengths.tolist()):
                batch.keypoints[row, length:] = torch.nan
                batch.visible[row, length:] = True
        return batch

    monkeypatch.setattr(inference, "padded", poisoned)
    got = lift_tracks(lifter, tracks, frame="object")
    np.testing.assert_array_equal(got.joints, wanted.joints)


class Passes:
    """Counts the model's passes, and the frames of each, padding and all."""

    def __init__(self, lifter: Lifter) -> None:
        self.frames: list[int] = []
        self.hook = lifter.register_forward_pre_hook(self.note)

    def note(self, _module: Any, given: tuple[torch.Tensor, ...]) -> None:
        self.frames.append(given[0].shape[0] * given[0].shape[1])


@pytest.mark.parametrize("frames", [1, 10])
def test_many_short_tracks_take_few_passes_of_bounded_size(lifter: Lifter, frames: int) -> None:
    rng = np.random.default_rng(0)
    keypoints = 300 + 50 * rng.normal(size=(600, frames, 17, 2))
    tracks = KeypointTracks(keypoints, np.ones((600, frames, 17)), RIG, tuple(map(str, range(600))))
    passes = Passes(lifter)
    try:
        lift_tracks(lifter, tracks)
    finally:
        passes.hook.remove()
    assert len(passes.frames) == -(-600 // (CHUNK // frames)) and max(passes.frames) <= CHUNK


def test_tracks_are_prepared_some_at_a_time(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    real = inference.run_together
    monkeypatch.setattr(inference, "TOGETHER", 60)
    monkeypatch.setattr(inference, "run_together", lambda m, t, **o: held.append(len(t)) or real(m, t, **o))
    tracks = recording(14, 13)
    got = lift_tracks(lifter, tracks)
    assert held == [4, 4, 4, 2]
    monkeypatch.undo()
    np.testing.assert_array_equal(got.joints, lift_tracks(lifter, tracks).joints)


def test_progress_counts_up_to_all_frames(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "TOGETHER", 60)
    told: list[tuple[int, int]] = []
    lift_tracks(lifter, recording(14, 13), progress=lambda *given: told.append(given))
    done = [frames for frames, _ in told]
    assert done == sorted(done) and told[-1] == (14 * 13, 14 * 13) and len(set(done)) > 4


def test_tracks_of_several_skeletons_and_pitches_keep_their_order(lifter: Lifter) -> None:
    rng = np.random.default_rng(2)
    small = Skeleton(("nose", "left_paw", "right_paw"), ((0, 1), (0, 2)))
    tracks = []
    for number in range(9):
        skeleton = small if number % 2 else RIG
        keypoints = (300 + 40 * rng.normal(size=(5 + number, skeleton.num_joints, 2))).astype(np.float32)
        visible = np.ones(keypoints.shape[:2], np.bool_)
        tracks.append(replace(prepare(keypoints, visible, skeleton), pitch=[None, 10.0, 50.0][number % 3]))
    together = run_together(lifter, tracks, uncertainty=True)
    for track, lifted in zip(tracks, together, strict=True):
        (alone,) = run_together(lifter, [track], uncertainty=True)
        np.testing.assert_allclose(lifted, alone, rtol=0, atol=1e-6)
    placements = place_together([joints[..., :3] for joints in together], tracks)
    assert [len(joints) for joints, _, _ in placements] == [5 + number for number in range(9)]
    assert place_together([], []) == [] and run_together(lifter, []) == [] and lift_together(lifter, [], [], RIG) == []


def test_stretches_cover_what_is_reached_and_reach_no_further_than_the_track() -> None:
    reached = np.zeros(100, np.bool_)
    reached[:7], reached[20:61], reached[99] = True, True, True
    found = list(stretches_of(3, reached, (4, 6), 20))
    assert found == [
        Stretch(3, 0, 7, 0, 13),
        Stretch(3, 20, 40, 16, 46),
        Stretch(3, 40, 60, 36, 66),
        Stretch(3, 60, 61, 56, 67),
        Stretch(3, 99, 100, 95, 100),
    ]


def test_batches_hold_each_stretch_once_and_no_more_than_fits() -> None:
    rng = np.random.default_rng(3)
    stretches = [Stretch(n, 0, int(size), 0, int(size)) for n, size in enumerate(rng.integers(1, 150, 300))]
    batches = list(batches_of(stretches, 100))
    assert sorted(own for batch in batches for own in batch) == sorted(stretches)
    assert all(len(batch) * max(own.length for own in batch) <= 100 or len(batch) == 1 for batch in batches)
    assert len(batches) < 260 and list(batches_of([], 100)) == []
