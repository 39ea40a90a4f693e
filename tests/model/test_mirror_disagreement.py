"""How far a lift and that of its mirror image are apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from olift_fast.model import Lifter, LifterConfig, MirrorDisagreement, lift_mirrored, lift_tracks
from olift_fast.tracks import KeypointTracks, Skeleton

SKELETON = Skeleton(("nose", "left_paw", "right_paw", "tail"), ((0, 1), (0, 2), (0, 3)))


@pytest.fixture(scope="module")
def model() -> Lifter:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Lifter(LifterConfig(width=32, heads=2, motion_layers=1, space_layers=1)).eval()


def tracks(frames: int = 40) -> KeypointTracks:
    rng = np.random.default_rng(0)
    keypoints = 100 * rng.normal(size=(2, frames, 4, 2))
    keypoints[0, ::5, 3] = np.nan
    seen = np.isfinite(keypoints).all(axis=-1)
    return KeypointTracks(keypoints=keypoints, confidence=seen.astype(float), skeleton=SKELETON, tracks=("a", "b"))


def test_counting_changes_no_joint(model: Lifter) -> None:
    plain, counted = (lift_tracks(model, tracks(), mirror=mirror) for mirror in (True, MirrorDisagreement()))
    np.testing.assert_array_equal(plain.joints, counted.joints)
    assert MirrorDisagreement().share is None


def test_share_is_the_distance_of_visible_joints_centered(model: Lifter) -> None:
    keypoints, visible = torch.randn(2, 9, 4, 2), torch.rand(2, 9, 4) > 0.3
    sides = torch.tensor(SKELETON.sides, dtype=torch.float32)
    counted = MirrorDisagreement()
    lifted = counted.lift(model, keypoints, visible, sides=sides)
    assert torch.equal(lifted, lift_mirrored(model, keypoints, visible, sides=sides))
    straight = model(keypoints, visible, sides=sides)
    mirrored = model(keypoints * torch.tensor([-1.0, 1]), visible, sides=-sides) * torch.tensor([-1.0, 1, 1])
    squares = []
    for clip, frame in np.ndindex(2, 9):
        seen = visible[clip, frame]
        one, other = (
            points[clip, frame][seen] - points[clip, frame][seen].mean(dim=0) for points in (straight, mirrored)
        )
        squares += (one - other).square().sum(dim=-1).tolist()
    assert counted.joints == len(squares)
    assert counted.share == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)


def test_lifter_that_does_not_mind_mirrors_agrees_with_itself() -> None:
    def flat(keypoints: torch.Tensor, visible: torch.Tensor, **_: object) -> torch.Tensor:
        # Where the body is does not count.
        return torch.nn.functional.pad(keypoints, (0, 1)) + 7.0

    counted = MirrorDisagreement()
    shape = (1, 5, 4)
    visible = torch.ones(shape, dtype=torch.bool)
    counted.lift(flat, torch.randn(*shape, 2), visible, sides=torch.zeros(4))  # type: ignore[arg-type]
    assert counted.share == pytest.approx(0, abs=1e-6)
