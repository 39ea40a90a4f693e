"""Standard deviations of lifted recordings: in the joints' unit, there where the joints are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig, lift_in_chunks, lift_tracks
from olift_fast.model.inference import prepare_track
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.rigs import rig

CONFIG = LifterConfig(width=32, heads=4, motion_layers=2, space_layers=1, window=(3, 2), uncertainty=True)


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(CONFIG, name="random").eval()


def recording(tracks: int = 2, frames: int = 50, seed: int = 0) -> KeypointTracks:
    """Two animals of which the second never has the first three joints, and the first shows nothing for a while."""
    rng = np.random.default_rng(seed)
    keypoints = 300 + 50 * rng.normal(size=(tracks, frames, 17, 2)).cumsum(axis=1).astype(np.float32)
    confidence = rng.uniform(0.2, 1, size=(tracks, frames, 17)).astype(np.float32)
    confidence[0, 10:30] = 0
    confidence[1:, :, :3], keypoints[1:, :, :3] = 0, np.nan
    return KeypointTracks(keypoints, confidence, rig("coco_17"), tuple(f"track {index}" for index in range(tracks)))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("frame", ["camera", "object"])
def test_deviations_are_the_models_in_the_unit_of_the_joints(lifter: Lifter, frame: str, mirror: bool) -> None:
    tracks = recording()
    result = lift_tracks(lifter, tracks, frame=frame, mirror=mirror)
    assert result.uncertainty is not None and result.uncertainty_xy is not None
    for index, absent in enumerate(tracks.absent()):
        own = prepare_track(tracks, index, tracks.visible()[index], absent)
        given = (torch.from_numpy(own.keypoints), torch.from_numpy(own.visible), own.skeleton)
        wanted = lift_in_chunks(lifter, *given, mirror=mirror, uncertainty=True).numpy()
        unit = result.scale[index] if frame == "camera" else 1
        np.testing.assert_allclose(result.uncertainty_xy[index][:, ~absent], unit * wanted[..., 3], rtol=1e-5)
        np.testing.assert_allclose(result.uncertainty[index][:, ~absent], unit * wanted[..., 4], rtol=1e-5)
        assert (wanted[..., 3] != wanted[..., 4])[np.isfinite(wanted[..., 3])].all()


def test_deviations_are_missing_where_the_joints_are(lifter: Lifter) -> None:
    result = lift_tracks(lifter, recording())
    missing = np.isnan(result.joints).any(axis=-1)
    assert missing[0, 16:24].all() and missing[1, :, :3].all() and not missing.all(axis=(1, 2)).any()
    for values in (result.uncertainty, result.uncertainty_xy):
        assert values is not None and np.array_equal(np.isnan(values), missing)
        assert (values[~missing] > 0).all()


def test_joints_do_not_depend_on_whether_deviations_are_given(lifter: Lifter) -> None:
    plain = Lifter(replace(CONFIG, uncertainty=False)).eval()
    weights = lifter.state_dict()
    for name in ("decoder.mlp.2.weight", "decoder.mlp.2.bias"):
        weights[name] = weights[name][:3]
    plain.load_state_dict(weights)
    tracks = recording()
    result, wanted = lift_tracks(lifter, tracks), lift_tracks(plain, tracks)
    assert wanted.uncertainty is None and wanted.uncertainty_xy is None
    np.testing.assert_allclose(result.joints, wanted.joints, rtol=1e-4, atol=1e-4)


def test_one_kind_of_deviation_is_not_given_without_the_other(lifter: Lifter) -> None:
    result = lift_tracks(lifter, recording())
    with pytest.raises(InputError, match="uncertainty and uncertainty_xy must both be given, or neither"):
        replace(result, uncertainty=None)
    with pytest.raises(InputError, match=r"uncertainty must have shape \(2, 50, 17\), got \(2, 50, 16\)"):
        replace(result, uncertainty=np.zeros((2, 50, 16)))
