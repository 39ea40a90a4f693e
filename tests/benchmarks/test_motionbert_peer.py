"""The peer of the lifter in the benchmarks: its size, what its outputs depend on, and the mirror image."""

from __future__ import annotations

import pytest
import torch

from benchmarks.motionbert import JOINTS, LEFT, RIGHT, MotionBertLite, mirrored


@pytest.fixture(scope="module")
def keypoints() -> torch.Tensor:
    return torch.randn(2, 9, JOINTS, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def peer() -> MotionBertLite:
    torch.manual_seed(0)
    return MotionBertLite().eval()


def test_it_has_the_published_size(peer: MotionBertLite) -> None:
    attention, mlp = 4 * 256 * 256 + 4 * 256, 8 * 256 * 256 + 5 * 256
    layer = 2 * 2 * (attention + mlp + 2 * 2 * 256) + 2 * 512 + 2
    ends = 4 * 256 + 17 * 256 + 243 * 256 + 2 * 256 + 257 * 512 + 513 * 3
    count = sum(parameter.numel() for parameter in peer.parameters())
    assert count == 5 * layer + ends
    assert round(count / 1e6, 1) == 16.0


def test_each_frame_and_joint_gets_a_position_from_the_whole_clip(
    peer: MotionBertLite, keypoints: torch.Tensor
) -> None:
    with torch.inference_mode():
        joints, changed = peer(keypoints), keypoints.clone()
        changed[0, 8, 3] += 1
        other = peer(changed)
    assert joints.shape == (2, 9, JOINTS, 3)
    moved = (other - joints).abs().amax(dim=-1)
    assert (moved[0] > 0).all() and (moved[1] == 0).all()


def test_the_order_of_frames_matters(peer: MotionBertLite, keypoints: torch.Tensor) -> None:
    with torch.inference_mode():
        joints, backward = peer(keypoints), peer(keypoints.flip(1)).flip(1)
    assert (joints - backward).norm() > 1e-2 * joints.norm()


def test_a_clip_gives_the_mirror_image_of_its_mirror_image(peer: MotionBertLite, keypoints: torch.Tensor) -> None:
    with torch.inference_mode():
        joints, mirror = peer(keypoints), mirrored(peer(mirrored(keypoints)))
        once = peer.lift(keypoints)
        wanted = (once + mirrored(peer.lift(mirrored(keypoints)))) / 2
    assert torch.equal(joints, wanted)
    torch.testing.assert_close(mirror, joints, rtol=1e-5, atol=1e-6)
    assert (once - joints).norm() > 1e-2 * joints.norm()


def test_mirror_images_exchange_the_sides() -> None:
    x = torch.randn(4, JOINTS, 2)
    image = mirrored(x)
    assert torch.equal(image[:, RIGHT, 1], x[:, LEFT, 1]) and torch.equal(image[:, LEFT, 0], -x[:, RIGHT, 0])
    middle = sorted(set(range(JOINTS)) - {*RIGHT, *LEFT})
    assert torch.equal(image[:, middle, 1], x[:, middle, 1])
    assert torch.equal(mirrored(image), x)


def test_fused_attention_gives_the_same(peer: MotionBertLite, keypoints: torch.Tensor) -> None:
    fused = MotionBertLite(fused=True).eval()
    fused.load_state_dict(peer.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(fused(keypoints), peer(keypoints), rtol=1e-4, atol=1e-5)
