"""Steep cameras are told from the 2D keypoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import AnimalGenerator
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.overhead import FACTS, MIN_FRAMES, THRESHOLD, Steep, facts, steep_camera, steep_warning
from olift_fast.tracks.overhead_weights import HIDDEN, OUTPUT
from olift_fast.tracks.skeleton import Skeleton


def clip(family: str, elevation: float, seed: int, frames: int = 200) -> ClipBatch:
    camera = CameraRange(elevation=(elevation, elevation))
    return AnimalGenerator((seed, 99), [family], camera, Corruption()).batch(1, frames)


def tracks_of(batch: ClipBatch) -> KeypointTracks:
    keypoints = np.where(batch.visible[..., None], batch.keypoints, np.nan)
    names = tuple(f"animal{index}" for index in range(len(batch)))
    return KeypointTracks(keypoints, batch.visible.astype(np.float32), batch.skeleton, names)


def warned_share(elevation: float, first: int) -> float:
    families = ("quadruped", "human", "rodent", "lizard")
    batches = [clip(family, elevation, first + seed) for family in families for seed in range(6)]
    return float(np.mean([steep_warning(tracks_of(batch)) is not None for batch in batches]))


def test_overhead_recordings_are_warned_of_and_upright_ones_seldom() -> None:
    assert warned_share(85, 100) >= 0.5
    assert warned_share(10, 100) <= 0.1


def test_which_side_of_the_body_is_left_tells_above_from_below() -> None:
    def leans(elevation: float) -> list[float]:
        clips = [clip("rodent", elevation, 200 + number) for number in range(12)]
        found = [steep_camera(batch.keypoints, batch.visible, batch.skeleton) for batch in clips]
        return [steep.above - steep.below for steep in found if steep is not None]

    assert np.mean(np.array(leans(85)) > 0) >= 0.75
    assert np.mean(np.array(leans(-85)) < 0) >= 0.6


def test_hidden_keypoints_are_not_read_and_pixels_have_no_unit() -> None:
    batch = clip("quadruped", 60, 300)
    expected = facts(batch.keypoints[0], batch.visible[0], batch.skeleton)
    assert expected is not None and np.isfinite(expected).all()
    hidden = np.where(batch.visible[..., None], batch.keypoints * 3 + 70, np.nan)
    found = facts(hidden[0], batch.visible[0], batch.skeleton)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_facts_of_joints_that_names_do_not_tell_are_zero() -> None:
    batch = clip("quadruped", 30, 400)
    nameless = Skeleton(tuple(f"j{index}" for index in range(batch.skeleton.num_joints)))
    found = facts(batch.keypoints[0], batch.visible[0], nameless)
    assert found is not None
    body = FACTS.index("legs")
    assert not found[body:].any()
    assert found[:body].all()


@pytest.mark.parametrize("frames", [0, 1, MIN_FRAMES - 1])
def test_few_frames_say_nothing(frames: int) -> None:
    batch = clip("rodent", 90, 600)
    visible = batch.visible.copy()
    visible[:, frames:] = False
    assert steep_camera(batch.keypoints, visible, batch.skeleton) is None
    assert steep_warning(tracks_of(replace(batch, visible=visible))) is None


def test_what_does_not_move_at_all_is_no_error() -> None:
    still = np.zeros((1, 60, 5, 2)) + 3.0
    skeleton = Skeleton(("nose", "left_paw", "right_paw", "hip", "tail"))
    assert steep_camera(still, np.ones((1, 60, 5), dtype=bool), skeleton) is None
    stiff = still + np.random.default_rng(0).normal(size=(1, 1, 5, 2))
    assert steep_camera(stiff, np.ones((1, 60, 5), dtype=bool), skeleton) is not None


def test_tracks_of_one_camera_are_judged_together() -> None:
    camera = CameraRange(elevation=(88, 90))
    both = AnimalGenerator((800, 98), ["rodent"], camera).batch(2, 200)
    pair = steep_camera(both.keypoints, both.visible, both.skeleton)
    single = [steep_camera(k, v, both.skeleton) for k, v in zip(both.keypoints, both.visible, strict=True)]
    assert pair is not None
    chances = [steep.chance for steep in single if steep is not None]
    assert min(chances) - 1e-9 <= pair.chance <= max(chances) + 1e-9


def test_the_warning_tells_the_way_out_that_a_model_has(monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = tracks_of(clip("rodent", 89, 900))
    said = {"above": (0.97, 0.01), "below": (0.01, 0.97), "above or below": (0.5, 0.45)}
    for place, chances in said.items():
        monkeypatch.setattr("olift_fast.tracks.overhead.steep_camera", lambda *_, c=chances: Steep(*c))
        warning = steep_warning(tracks)
        assert warning is not None and f"filmed from {place} (" in warning and "40°" in warning
        told = steep_warning(tracks, takes_pitch=True)
        assert told is not None and "pitch" in told and "40°" not in told
    monkeypatch.setattr("olift_fast.tracks.overhead.steep_camera", lambda *_: Steep(THRESHOLD - 0.01, 0.0))
    assert steep_warning(tracks) is None


def test_the_weights_fit_the_facts() -> None:
    def shape(layer: npt.NDArray[np.float64]) -> tuple[int, ...]:
        return layer.shape

    assert shape(HIDDEN)[1] == 1 + len(FACTS)
    assert shape(OUTPUT) == (2, 1 + len(HIDDEN))
