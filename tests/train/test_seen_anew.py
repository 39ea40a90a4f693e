"""Pseudo-labels: what a lifter gives for clips, seen by new cameras from all sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from olift_fast.bodies.body import Body
from olift_fast.data.cameras import VIEWS, upright_rotation
from olift_fast.model import Lifter, LifterConfig
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train import seen_anew as module
from olift_fast.train.metrics import sa_mpjpe
from olift_fast.train.own_clips import OwnClips, lifted_clips, mirrored_back, own_clips
from olift_fast.train.seen_anew import Elevation, elevation_of, pseudo_labels, seen_anew, upright

SKELETON = Skeleton(("tail", "hip", "left_foot", "right_foot", "nose"), ((0, 1), (1, 2), (1, 3), (1, 4)))
SMALL = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=2, window=(2, 2), frequencies=8)
LEVEL = Elevation(20.0, 0.0, 40.0)


def random_lifter(config: LifterConfig = SMALL) -> Lifter:
    torch.manual_seed(3)
    return Lifter(config, name="random").eval()


def recording(tracks: int = 12, seed: int = 0, source: str = "a.csv") -> KeypointTracks:
    keypoints = np.random.default_rng(seed).normal(500, 90, (tracks, 24, 5, 2)).astype(np.float32)
    names = tuple(f"track_{number}" for number in range(tracks))
    return KeypointTracks(keypoints, np.ones(keypoints.shape[:3], np.float32), SKELETON, names, source=source)


def clips_and_joints(recordings: int = 1) -> tuple[OwnClips, torch.Tensor]:
    clips = own_clips(random_lifter(), [recording(seed=seed, source=f"{seed}.csv") for seed in range(recordings)])
    depth = torch.randn(clips.visible.shape, generator=torch.Generator().manual_seed(1))
    return clips, torch.cat([clips.keypoints, depth[..., None]], dim=-1)


@pytest.mark.parametrize("pitch", [-70.0, 0.0, 35.0, 90.0])
def test_up_is_where_the_camera_has_it(pitch: float) -> None:
    """A camera of this pitch sees the world's points where they were."""
    rng = np.random.default_rng(2)
    joints = rng.normal(size=(3, 4, 5, 3))
    angle = np.zeros(1)
    rotation = upright_rotation(angle + np.pi / 2, angle + np.radians(pitch), angle)[0]
    np.testing.assert_allclose(upright(joints, pitch) @ rotation.T, joints, atol=1e-5)


def test_the_labels_are_the_same_bodies_seen_from_all_sides() -> None:
    clips, joints = clips_and_joints()
    lessons = seen_anew(joints, clips, [LEVEL], 3, np.random.default_rng(0))
    assert len(lessons) == 36 and lessons.clip.tolist() == 3 * list(range(12))
    assert lessons.labelled.all() and lessons.keypoints.isfinite().all()
    # Only perspective, which has an own size in each frame, keeps a clip's fit from being exact.
    alone = (lessons.joints.flatten(0, 1)[:, None], joints[lessons.clip].flatten(0, 1)[:, None])
    assert float(sa_mpjpe(*alone, torch.ones(alone[0].shape[:3], dtype=torch.bool)).max()) < 1e-3
    assert (lessons.pitch >= 0).all() and (lessons.pitch <= 40).all() and lessons.pitch.std() > 5
    seen = lessons.joints[..., 2].flatten(1)
    assert torch.corrcoef(torch.stack([seen[0], joints[0, ..., 2].flatten()]))[0, 1].abs() < 0.95
    # x and y of the labels are in the picture's place, but for perspective and a detector's faults.
    apart = (lessons.joints[..., :2] - lessons.keypoints).norm(dim=-1)[lessons.visible]
    assert apart.median() < 0.25
    assert not lessons.visible.all() and lessons.visible.float().mean() > 0.7


def test_the_same_seed_gives_the_same_views() -> None:
    clips, joints = clips_and_joints()
    first, second, other = (seen_anew(joints, clips, [LEVEL], 1, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert torch.equal(first.keypoints, second.keypoints) and torch.equal(first.joints, second.joints)
    assert not torch.equal(first.joints, other.joints)


def test_each_recording_has_cameras_of_its_own_elevation() -> None:
    clips, joints = clips_and_joints(3)
    above = Elevation(65.0, 40.0, 90.0)
    lessons = seen_anew(joints, clips, [LEVEL, above, LEVEL], 2, np.random.default_rng(0))
    assert sorted(lessons.clip.tolist()) == sorted(2 * list(range(36)))
    top = clips.recording[lessons.clip] == 1
    assert (lessons.pitch[top] >= 40 - 1e-3).all() and (lessons.pitch[~top] <= 40 + 1e-3).all()


def test_joints_that_a_track_never_has_are_not_labeled() -> None:
    clips, _ = clips_and_joints()
    present = clips.present.clone()
    present[4:, 3] = False
    clips = replace(clips, present=present, visible=clips.visible & present[:, None])
    labels = pseudo_labels(random_lifter(), clips)
    assert labels[4:, :, 3].isnan().all() and labels[:4].isfinite().all()
    lessons = seen_anew(labels, clips, [LEVEL], 1, np.random.default_rng(0))
    assert torch.equal(lessons.labelled, present[lessons.clip][:, None].expand(lessons.labelled.shape))
    assert not (lessons.visible & ~lessons.labelled).any() and lessons.keypoints.isfinite().all()
    assert lessons.joints.isfinite().all()


def test_labels_are_means_of_clip_and_mirror_image() -> None:
    clips, _ = clips_and_joints()
    for uncertainty in (False, True):
        lifter = random_lifter(replace(SMALL, uncertainty=uncertainty))
        with torch.no_grad():
            expected = 0.5 * (lifted_clips(lifter, clips) + mirrored_back(lifter, clips))
        torch.testing.assert_close(pseudo_labels(lifter, clips), expected)


@pytest.mark.parametrize("uncertainty", [False, True])
def test_labels_get_the_lengths_of_the_body_and_of_the_individual(uncertainty: bool) -> None:
    lifter = random_lifter(replace(SMALL, uncertainty=uncertainty))
    recordings = [replace(recording(seed=seed), source=f"{seed}.csv") for seed in range(2)]
    clips = own_clips(lifter, recordings)
    assert clips.individuals == ("0.csv", "1.csv")
    frames, spread = np.full(4, 100), np.zeros(4)
    shared, first, second = (
        Body(SKELETON, np.array(lengths) / np.mean(lengths), spread, frames)
        for lengths in ([1, 1, 1, 1], [1, 2, 2, 1], [3, 1, 1, 1])
    )
    body = replace(shared, individuals={"0.csv": first, "1.csv": second})
    joints = pseudo_labels(lifter, clips, body).double()
    ends = np.array(SKELETON.edges)
    lengths = (joints[:, :, ends[:, 0]] - joints[:, :, ends[:, 1]]).norm(dim=-1)
    ratios = (lengths / lengths.mean(dim=-1, keepdim=True)).numpy()
    np.testing.assert_allclose(ratios[:12], np.broadcast_to(first.lengths, (12, 24, 4)), rtol=0.01)
    np.testing.assert_allclose(ratios[12:], np.broadcast_to(second.lengths, (12, 24, 4)), rtol=0.01)


def test_the_elevation_is_told_or_follows_from_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    assert elevation_of(recording(), 30.0, 0.3) == (30.0, 10.0, 50.0)
    assert elevation_of(recording(), -85.0, 0.3) == (-85.0, -90.0, -65.0)
    for above, below, view, hidden in (
        (0.6, 0.3, "level", "top"),
        (0.75, 0.0, "top", "top"),
        (0.0, 0.72, "below", "below"),
        (0.1, 0.5, "level", "below"),
        (0.45, 0.45, "level", "level"),
    ):
        monkeypatch.setattr(module, "steep_camera", lambda *_tracks, chances=(above, below): module.Steep(*chances))
        assert elevation_of(recording(), None, 0.3)[1:] == VIEWS[view]
        assert elevation_of(recording(), None, 0.3, hidden=True)[1:] == VIEWS[hidden]
    monkeypatch.setattr(module, "steep_camera", lambda *_tracks: None)
    assert elevation_of(recording(), None, 0.3) == LEVEL
