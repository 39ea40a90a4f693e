"""Recordings lifted by a model that is told the camera's pitch: exact in chunks and mirrored, on record, checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig, lift_in_chunks, lift_tracks
from olift_fast.model.inference import model_inputs
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.kinds import KINDS
from olift_fast.tracks.rigs import rig

PLAIN = LifterConfig(width=32, heads=4, motion_layers=2, space_layers=1, window=(3, 2))
RIG = rig("coco_17")


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(replace(PLAIN, pitch=True, kinds=len(KINDS), uncertainty=True), name="told").eval()


def recording(seed: int = 0) -> KeypointTracks:
    rng = np.random.default_rng(seed)
    keypoints = 300 + 50 * rng.normal(size=(1, 40, 17, 2)).cumsum(axis=1).astype(np.float32)
    return KeypointTracks(keypoints, rng.uniform(0.2, 1, size=(1, 40, 17)), RIG, ("her",))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_equal_the_whole_forward_pass(lifter: Lifter, chunk: int) -> None:
    generator = torch.Generator().manual_seed(1)
    keypoints = torch.randn(60, 17, 2, generator=generator)
    visible = torch.rand(60, 17, generator=generator) > 0.3
    kinds = torch.tensor(RIG.kinds)
    assert kinds.any()
    options = {"graph": torch.from_numpy(RIG.graph(1)), "sides": torch.tensor(RIG.sides), "kinds": kinds}
    with torch.no_grad():
        whole = lifter(keypoints[None], visible[None], pitch=torch.tensor([-35.0]), **options, uncertainty=True)[0]
    parts = lift_in_chunks(lifter, keypoints, visible, RIG, chunk=chunk, pitch=-35.0, uncertainty=True)
    assert torch.allclose(parts, whole, atol=2e-5)
    hidden = lift_in_chunks(lifter, keypoints, visible, RIG, chunk=chunk)
    assert (hidden - whole[..., :3]).abs().max() > 1e-2


def test_mirrored_lifting_averages_what_is_lifted_at_the_same_pitch(lifter: Lifter) -> None:
    tracks = recording()
    flip = np.float32([-1, 1, 1])
    skeleton = replace(RIG, sides=tuple(-side for side in RIG.sides))
    reflected = replace(tracks, keypoints=tracks.keypoints * flip[:2], skeleton=skeleton)
    one, other = (lift_tracks(lifter, x, frame="object", pitch=70).joints for x in (tracks, reflected))
    both = lift_tracks(lifter, tracks, frame="object", mirror=True, pitch=70).joints
    assert np.abs(0.5 * (one + flip * other) - both).max() < 1e-4
    assert np.abs(one - both).max() > 1e-3


def test_result_keeps_the_pitch(lifter: Lifter) -> None:
    results = {pitch: lift_tracks(lifter, recording(), pitch=pitch) for pitch in (None, 90, -20.5)}
    assert [result.pitch for result in results.values()] == [None, 90.0, -20.5]
    told = [result.camera for result in results.values()]
    assert told == [None, "camera looks down by 90°", "camera looks up by 20.5°"]
    joints = [result.joints for result in results.values()]
    assert all(np.abs(one - other).max() > 1e-2 for one, other in zip(joints, [*joints[1:], joints[0]], strict=True))


@pytest.mark.parametrize("pitch", [90.5, -91, float("nan"), float("inf")])
def test_pitch_out_of_range_is_refused(lifter: Lifter, pitch: float) -> None:
    for call in (lambda: lift_tracks(lifter, recording(), pitch=pitch), lambda: model_inputs(lifter, RIG, pitch)):
        with pytest.raises(InputError, match=rf"^pitch must be from -90 .* to 90 degrees .*, got {pitch:g}$"):
            call()
    lifted = lift_tracks(lifter, recording())
    fields = {name: getattr(lifted, name) for name in LiftedTracks.__dataclass_fields__}
    with pytest.raises(InputError, match=r"^clip\.csv: pitch must be from -90"):
        LiftedTracks(**{**fields, "source": "clip.csv", "pitch": pitch})


def test_model_that_can_not_be_told_refuses_it() -> None:
    with pytest.raises(InputError, match=r"the model 'plain' does not take the camera's pitch, got 30: leave it out"):
        lift_tracks(Lifter(PLAIN, name="plain"), recording(), pitch=30)
