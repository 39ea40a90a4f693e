"""A lifter learns a body from 2D alone: clips, bone lengths, signs without truth, the training, the body's file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig, lift_tracks
from olift_fast.nn.masked import center
from olift_fast.tracks.containers import CoordinateFrame, KeypointTracks
from olift_fast.tracks.rigs import rig
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train import adapting
from olift_fast.train.adapting import Adaptation, AdaptPlan, Outlook, adapt
from olift_fast.train.body import (
    body_of,
    by_individual,
    lengths_in_picture,
    logarithms,
    mixed_names,
    seen_in_full,
    share_along_view,
    shared_lengths,
    shown_share,
)
from olift_fast.train.label_free import LabelFree, error_anew, label_free, verdict
from olift_fast.train.metrics import sa_mpjpe
from olift_fast.train.own_clips import OwnClips, copies_in, held_apart, own_clips
from olift_fast.train.seen_anew import elevation_of, pseudo_labels, seen_anew

NAMES = ("hip", "chest", "nose", "left_knee", "left_foot", "right_knee", "right_foot")
EDGES = ((0, 1), (1, 2), (0, 3), (3, 4), (0, 5), (5, 6))
LENGTHS = np.array([3.0, 1.2, 1.5, 0.8, 1.5, 0.8])
SKELETON = Skeleton(NAMES, EDGES)
SMALL = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=2, window=(2, 2), frequencies=8)


def moving_body(
    tracks: int, frames: int, seed: int = 0, *, lengths: np.ndarray = LENGTHS, prefix: str = "track"
) -> tuple[KeypointTracks, np.ndarray]:
    """Tracks of a body seen from far away, each of another size, and its joints ``(N, T, J, 3)``.

    `lengths` are those of the bones, (E,), or for each track and frame ``(N, T, E)``.
    """
    rng = np.random.default_rng(seed)
    joints = np.zeros((tracks, frames, len(NAMES), 3))
    time = np.arange(frames)[None, :, None] * rng.uniform(0.05, 0.3, (tracks, 1, 1))
    for bone, (a, b) in enumerate(EDGES):
        start, turn = rng.normal(size=(2, tracks, 1, 3))
        direction = start + turn * np.sin(time + rng.uniform(0, 6, (tracks, 1, 1)))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        joints[:, :, b] = joints[:, :, a] + np.asarray(lengths[..., bone])[..., None] * direction
    joints *= rng.uniform(20, 60, (tracks, 1, 1, 1))
    keypoints = (joints[..., :2] + 300).astype(np.float32)
    names = tuple(f"{prefix} {index}" for index in range(tracks))
    return KeypointTracks(keypoints, np.ones(keypoints.shape[:3], np.float32), SKELETON, names, source="a.csv"), joints


def random_lifter(seed: int = 0, config: LifterConfig = SMALL) -> Lifter:
    torch.manual_seed(seed)
    return Lifter(config, name="random").eval()


def test_clips_are_cut_normalized_and_held_apart() -> None:
    tracks, _ = moving_body(3, 110)
    moved = replace(tracks, keypoints=tracks.keypoints + 40)
    clips = own_clips(random_lifter(), [tracks, moved])
    assert clips.keypoints.shape == (6 * 4, 24, 7, 2) and clips.track.tolist() == [
        n for n in range(6) for _ in range(4)
    ]
    torch.testing.assert_close(clips.keypoints.mean(dim=2), torch.zeros(24, 24, 2), atol=1e-5, rtol=0)
    learned, held = held_apart(clips)
    assert (len(learned), len(held)) == (20, 4)
    torch.testing.assert_close(held.keypoints[0], clips.keypoints[4])
    assert own_clips(random_lifter(), [moving_body(40, 50)[0]]).visible.shape[1] == 48


def test_copies_of_a_recording_count_once() -> None:
    tracks, _ = moving_body(12, 48)
    hidden = tracks.keypoints.copy()
    hidden[0, 0, 0] = np.nan
    less_sure = replace(tracks, confidence=tracks.confidence * 0.9)
    rounded = replace(tracks, keypoints=tracks.keypoints.round(1), source="a.h5")
    filtered = tracks.keypoints.copy()
    filtered[:, 2:-2] = np.median([tracks.keypoints[:, start : start + 44] for start in range(5)], axis=0)
    copies = [replace(tracks, keypoints=hidden), less_sure, rounded, replace(tracks, keypoints=filtered)]
    other, gone = moving_body(12, 48, seed=1)[0], replace(tracks, keypoints=np.full_like(tracks.keypoints, np.nan))
    shorter = replace(tracks, keypoints=tracks.keypoints[:, :40], confidence=tracks.confidence[:, :40])
    moved = replace(tracks, keypoints=tracks.keypoints + 20)
    assert copies_in([tracks, other, *copies, moved, other, shorter, gone, gone]) == [2, 3, 4, 5, 7]
    alone, both = (adapt(random_lifter(), recordings, plan=quick(1)) for recordings in ([other], [other, other]))
    assert both.copies == (1,) and alone.copies == () and both.after == alone.after
    assert (both.learned, both.held_out, both.tracks) == (alone.learned, alone.held_out, alone.tracks)
    with pytest.raises(InputError, match="does not have the bones of"):
        own_clips(random_lifter(), [tracks, replace(rounded, skeleton=Skeleton(NAMES, EDGES[:5]))])


def test_clips_of_hands_are_told_which_hand_each_is() -> None:
    skeleton = rig("mediapipe_hand_21")
    keypoints = np.random.default_rng(0).normal(300, 50, (3, 96, 21, 2)).astype(np.float32)
    ones = np.ones(keypoints.shape[:3], np.float32)
    tracks = KeypointTracks(keypoints, ones, skeleton, ("left_hand", "right_hand", "hand"), source="hands.json")
    clips = own_clips(random_lifter(), [tracks])
    sides = [side for side in (1.0, -1.0, 0.0) for _ in range(4)]
    assert clips.told(SMALL)["sides"].tolist() == [[side] * 21 for side in sides]
    assert clips.take(torch.tensor([5])).mirror().told(SMALL)["sides"].tolist() == [[1.0] * 21]
    lifter = random_lifter()
    whole = replace(clips, keypoints=clips.keypoints.reshape(3, 96, 21, 2), visible=clips.visible.reshape(3, 96, 21))
    told = whole.told(SMALL) | {"sides": clips.sides[::4], "graph": clips.told(SMALL)["graph"][:3]}
    lifted = lifter(whole.keypoints, whole.visible, **told)
    expected = of(lifter, tracks, "object")
    torch.testing.assert_close(center(lifted, whole.visible), center(expected, whole.visible), atol=1e-4, rtol=1e-4)


def test_what_is_hidden_is_never_read() -> None:
    tracks, _ = moving_body(12, 24)
    hidden = np.random.default_rng(1).random(tracks.confidence.shape) < 0.3
    confidence = np.where(hidden, 0.1, 1.0).astype(np.float32)
    found = []
    for filler in (np.nan, 1e8):
        keypoints = np.where(hidden[..., None], np.float32(filler), tracks.keypoints)
        outcome = adapt(random_lifter(), [replace(tracks, keypoints=keypoints, confidence=confidence)], plan=quick(3))
        found.append(outcome)
        assert all(weight.isfinite().all() for weight in outcome.lifter.parameters())
    assert found[0].after == found[1].after and found[0].before == found[1].before


def test_a_joint_that_a_track_never_has_is_left_out_of_it() -> None:
    tracks, _ = moving_body(12, 24)
    keypoints, confidence = tracks.keypoints.copy(), tracks.confidence.copy()
    keypoints[::2, :, 6], confidence[::2, :, 6] = np.nan, 0
    clips = own_clips(random_lifter(), [replace(tracks, keypoints=keypoints, confidence=confidence)])
    assert clips.present[:, 6].tolist() == [index % 2 == 1 for index in range(12)]
    assert "joint_mask" in clips.told(SMALL)
    lifter = random_lifter()
    told = clips.take(torch.tensor([0])).told(SMALL)
    whole = lifter(clips.keypoints[:1], clips.visible[:1], **told)
    graph = torch.from_numpy(SKELETON.subset(NAMES[:6]).graph(1))
    alone = lifter(clips.keypoints[:1, :, :6], clips.visible[:1, :, :6], graph=graph, sides=told["sides"][0, :6])
    torch.testing.assert_close(whole[:, :, :6], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("recordings", "words"),
    [
        ([], "adapt needs at least one recording, got none"),
        (
            [moving_body(4, 40)[0]],
            "adapt needs 10 clips of 24 frames of which half of the keypoints are visible, got 4",
        ),
        ([replace(moving_body(12, 24)[0], skeleton=Skeleton(NAMES))], "a.csv: no bones are known"),
        (
            [replace(moving_body(12, 24)[0], skeleton=Skeleton(NAMES, ((0, 3), (5, 0))))],
            "a.csv: has one bone alone (hip-left_knee; left and right count once)",
        ),
        (
            [moving_body(12, 24)[0], replace(moving_body(12, 24)[0], skeleton=Skeleton((*NAMES[:6], "tail"), EDGES))],
            "a.csv: does not have the joints of a.csv (right_foot, tail in one of them only)",
        ),
        (
            [moving_body(12, 24)[0], replace(moving_body(12, 24)[0], skeleton=Skeleton(NAMES, EDGES[:5]))],
            "a.csv: does not have the bones of a.csv",
        ),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(recordings: list[KeypointTracks], words: str) -> None:
    with pytest.raises(InputError) as error:
        adapt(random_lifter(), recordings)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps must be >= 1, got 0"),
        ({"minutes": 0.0}, "minutes must be above 0, got 0"),
        ({"learning_rate": math.inf}, "learning_rate must be above 0"),
        ({"rounds": 0}, "rounds must be >= 1, got 0"),
        ({"views": -1}, "views must be >= 1, got -1"),
        ({"velocity_weight": -1.0}, "velocity_weight must be >= 0, got -1"),
    ],
)
def test_plans_out_of_range_are_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(InputError) as error:
        AdaptPlan(**changes)  # type: ignore[arg-type]
    assert words in str(error.value)


def test_the_picture_tells_relative_bone_lengths() -> None:
    tracks, joints = moving_body(60, 48, seed=3)
    clips = own_clips(random_lifter(), [tracks])
    true = torch.from_numpy(joints.astype(np.float32))
    logs = logarithms(true, torch.ones(true.shape[:3], dtype=torch.bool), SKELETON)
    lengths, scales = shared_lengths(logs, SKELETON)
    relative = lengths.exp().numpy() / lengths.exp().mean().item()
    np.testing.assert_allclose(relative, LENGTHS / LENGTHS.mean(), rtol=1e-4)
    picture = torch.log(torch.from_numpy(tracks.keypoints).std(dim=(1, 2, 3)))
    unit = torch.log(clips.keypoints.std(dim=(1, 2, 3)))
    body = body_of(clips, scales - picture + unit)
    np.testing.assert_allclose(body.lengths, LENGTHS / LENGTHS.mean(), rtol=0.05)
    assert body.lengths[2] == body.lengths[4] and body.frames.tolist() == [60 * 48] * 6
    assert (body.spread < 0.2).all() and (body.spread > 0).all()


def test_wild_keypoints_hardly_change_the_lengths() -> None:
    tracks, _ = moving_body(60, 48, seed=3)
    clips = own_clips(random_lifter(), [tracks])
    wild = torch.rand(clips.visible.shape, generator=torch.Generator().manual_seed(0)) < 0.05
    scales = torch.zeros(len(clips))
    before = lengths_in_picture(clips, scales)
    after = lengths_in_picture(replace(clips, keypoints=clips.keypoints + 5.0 * wild[..., None]), scales)
    torch.testing.assert_close(after, before, atol=0.1, rtol=0)


def test_a_bone_that_is_never_seen_has_no_length() -> None:
    tracks, _ = moving_body(12, 24)
    keypoints, confidence = tracks.keypoints.copy(), tracks.confidence.copy()
    keypoints[:, :, 2], confidence[:, :, 2] = np.nan, 0
    outcome = adapt(random_lifter(), [replace(tracks, keypoints=keypoints, confidence=confidence)], plan=quick(3))
    assert outcome.body.frames[1] == 0 and math.isnan(outcome.body.lengths[1])
    assert outcome.body.as_json()["bones"][1]["length"] is None
    assert all(math.isfinite(value) for value in outcome.after.as_json().values())
    with pytest.raises(InputError, match="does not tell how long that bone is"):
        outcome.body.scaled([(1, 2)], 0.1, "chest-nose=100mm")


def test_a_body_file_has_millimeters_where_one_length_is_known(tmp_path: Path) -> None:
    tracks, _ = moving_body(12, 24)
    body = body_of(own_clips(random_lifter(), [tracks]), torch.zeros(12))
    body.scaled([(0, 3), (0, 5)], 0.03, "hip-knee=30mm").write(tmp_path / "body.json")
    content = json.loads((tmp_path / "body.json").read_text())
    assert content["format"] == "olift-fast body" and len(content["bones"]) == 6
    knee, hip = content["bones"][2], content["bones"][0]
    assert knee["joints"] == ["hip", "left_knee"] and knee["millimeters"] == pytest.approx(30, abs=0.01)
    assert hip["millimeters"] == pytest.approx(30 * body.lengths[0] / body.lengths[2], rel=1e-3)
    with pytest.raises(InputError, match="nose and hip are not the ends of one bone"):
        body.scaled([(2, 0)], 0.03, "nose-hip=30mm")


def quick(steps: int, **changes: object) -> AdaptPlan:
    given = {"rounds": 1, "warmup": 2, "frames": 12, "views": 1} | changes
    return AdaptPlan(steps=steps, **given)  # type: ignore[arg-type]


def adapted(seed: int = 0) -> tuple[Lifter, Adaptation]:
    lifter = random_lifter()
    return lifter, adapt(lifter, [moving_body(40, 24)[0]], plan=quick(4, seed=seed))


def test_a_lifter_learns_a_body_that_it_has_never_seen() -> None:
    lifter = Lifter.from_pretrained("small-all")
    tracks, joints = moving_body(48, 24)
    outcome = adapt(lifter, [tracks], plan=AdaptPlan(rounds=2, steps=20))
    assert outcome.after.body < 0.8 * outcome.before.body and outcome.after.steadiness < outcome.before.steadiness
    assert (outcome.learned, outcome.held_out, outcome.frames, outcome.steps) == (39, 9, 24, 40)
    assert outcome.lifter.config == lifter.config and not outcome.lifter.training
    assert next(iter(outcome.changes()))[0] == "error on the new results, seen from other sides"
    true = torch.from_numpy(joints.astype(np.float32))
    labelled = torch.ones(true.shape[:3], dtype=torch.bool)
    errors = [float(sa_mpjpe(of(own, tracks), true, labelled).mean()) for own in (lifter, outcome.lifter)]
    assert errors[1] < 0.95 * errors[0]


def of(lifter: Lifter, tracks: KeypointTracks, frame: CoordinateFrame = "camera") -> torch.Tensor:
    return torch.from_numpy(lift_tracks(lifter, tracks, frame=frame).joints)


def test_the_same_seed_gives_the_same_weights_and_the_lifter_stays() -> None:
    before = random_lifter().state_dict()
    lifter, first = adapted()
    _, second = adapted()
    _, other = adapted(seed=1)
    same = {
        name: torch.equal(weight, second.lifter.state_dict()[name])
        for name, weight in first.lifter.state_dict().items()
    }
    assert all(same.values())
    assert any(not torch.equal(w, other.lifter.state_dict()[name]) for name, w in first.lifter.state_dict().items())
    assert all(torch.equal(weight, before[name]) for name, weight in lifter.state_dict().items())


def test_it_stops_when_the_minutes_are_over() -> None:
    seen: list[tuple[int, int]] = []
    plan = quick(50, minutes=1e-6)
    outcome = adapt(random_lifter(), [moving_body(12, 24)[0]], plan=plan, watch=lambda *steps: seen.append(steps))
    assert outcome.steps == 1 and seen == [(1, 50)]


def test_bones_that_point_at_the_camera_are_told() -> None:
    tracks, joints = moving_body(12, 24)
    clips = own_clips(random_lifter(), [tracks])
    true = torch.from_numpy(joints.astype(np.float32))
    assert seen_in_full(true, clips).tolist() == [True] * 6
    assert 0.9 < shown_share(true, clips) <= 1
    assert shown_share(true * torch.tensor([1.0, 1.0, 9.0]), clips) < 0.6
    true[:, :, 2] = true[:, :, 1] + torch.tensor([0.0, 1.0, -40.0])
    assert seen_in_full(true, clips).tolist() == [True, False, True, True, True, True]


def test_what_lies_along_the_view_is_told() -> None:
    tracks, joints = moving_body(12, 24)
    clips = own_clips(random_lifter(), [tracks])
    true = torch.from_numpy(joints.astype(np.float32))
    ends = np.array(EDGES)
    bones = joints[:, :, ends[:, 0]] - joints[:, :, ends[:, 1]]
    share = bones[..., 2] ** 2 / (bones**2).sum(axis=-1)
    assert share_along_view(true, clips) == pytest.approx(share.mean(), abs=1e-4)
    # Hidden joints are not read: bones to them count in the frames that show them.
    visible = torch.from_numpy(np.random.default_rng(1).random(clips.visible.shape) < 0.6)
    both = (visible[:, :, ends[:, 0]] & visible[:, :, ends[:, 1]]).numpy()
    expected = np.mean([share[..., bone][both[..., bone]].mean() for bone in range(len(EDGES))])
    hidden = torch.where(visible[..., None], true, torch.nan)
    assert share_along_view(hidden, replace(clips, visible=visible)) == pytest.approx(expected, abs=1e-4)
    assert share_along_view(true, replace(clips, visible=torch.zeros_like(visible))) == 0
    turned = true[..., [0, 2, 1]]
    standing = true * torch.tensor([0.1, 1.0, 0.1])
    assert share_along_view(standing, clips) < 0.1 < 0.8 < share_along_view(standing[..., [0, 2, 1]], clips)
    assert share_along_view(turned, clips) == pytest.approx((bones[..., 1] ** 2 / (bones**2).sum(-1)).mean(), abs=1e-4)


def test_what_is_known_before_the_training_is_told_before_it() -> None:
    seen: list[Outlook | int] = []
    lifter, tracks = random_lifter(), moving_body(12, 24)[0]
    outcome = adapt(lifter, [tracks], plan=quick(3), foresee=seen.append, watch=lambda done, _: seen.append(done))
    outlook = seen[0]
    assert isinstance(outlook, Outlook) and seen[1:] == [1, 2, 3]
    assert all(getattr(outcome, name) is value for name, value in vars(outlook).items())
    assert outlook.learned == 10 and outlook.body.frames[0] == 240 and 0 < outlook.along < 1

    def refusing(_outlook: Outlook) -> None:
        raise InputError("not so")

    steps: list[int] = []
    with pytest.raises(InputError, match="not so"):
        adapt(lifter, [tracks], plan=quick(3), foresee=refusing, watch=lambda done, _: steps.append(done))
    assert not steps


@pytest.mark.parametrize(("shown", "along", "held"), [(0.95, 0.3, True), (0.91, 0.3, False), (0.95, 0.37, False)])
def test_lengths_that_the_views_hide_are_not_learned_from(
    shown: float, along: float, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def labels(lifter: Lifter, clips: OwnClips, body: object = None) -> torch.Tensor:
        given.append(body)
        return pseudo_labels(lifter, clips)

    monkeypatch.setattr(adapting, "shown_share", lambda *_clips: shown)
    monkeypatch.setattr(adapting, "share_along_view", lambda *_clips: along)
    monkeypatch.setattr(adapting, "pseudo_labels", labels)
    outcome = adapt(random_lifter(), [moving_body(12, 24)[0]], plan=quick(1, rounds=2))
    assert outcome.held is held
    # The first labels are measured, those of the rounds are learned from, the last are judged by.
    assert given == [None, *2 * [outcome.body if held else None], None]


def test_the_training_draws_the_lifter_to_its_own_results_seen_anew() -> None:
    """Its own results from other views are what it learns: the error on them falls."""
    lifter, tracks = random_lifter(config=replace(SMALL, width=32)), moving_body(24, 24)[0]
    learned, _ = held_apart(own_clips(lifter, [tracks]))
    lessons = seen_anew(
        pseudo_labels(lifter, learned), learned, [elevation_of(tracks, 0.0, 0.3)], 2, np.random.default_rng(0)
    )

    def error(own: Lifter) -> float:
        with torch.no_grad():
            joints = own(lessons.keypoints, lessons.visible, **learned.take(lessons.clip).told(own.config))
        return float(sa_mpjpe(joints, lessons.joints, lessons.labelled).mean())

    outcome = adapt(lifter, [tracks], plan=AdaptPlan(rounds=1, steps=60, views=2, learning_rate=3e-3))
    assert error(outcome.lifter) < 0.8 * error(lifter)


def test_a_model_that_takes_all_is_told_all() -> None:
    config = replace(SMALL, pitch=True, kinds=47, uncertainty=True)
    tracks = moving_body(12, 24)[0]
    told = own_clips(random_lifter(config=config), [tracks], pitch=30.0).told(config)
    assert told["pitch"].tolist() == [30.0] * 12 and told["kinds"].shape == (12, 7)
    assert adapt(random_lifter(config=config), [tracks], plan=quick(2), pitch=30.0).lifter.config == config
    with pytest.raises(InputError, match="does not take the camera's pitch"):
        adapt(random_lifter(), [tracks], pitch=30.0)


def test_a_lifter_that_counts_too_few_frames_is_refused() -> None:
    config = replace(SMALL, time_encoding="table", time_rows=24)
    with pytest.raises(InputError, match="its time table must have 48 rows or more, got 24"):
        adapt(random_lifter(config=config), [moving_body(12, 24)[0]])
    assert (
        adapt(random_lifter(config=replace(config, time_rows=48)), [moving_body(12, 24)[0]], plan=quick(1)).steps == 1
    )


def test_a_lifter_with_one_frame_of_window_and_a_clip_with_gaps_learn() -> None:
    tracks, _ = moving_body(12, 24)
    keypoints, confidence = tracks.keypoints.copy(), tracks.confidence.copy()
    keypoints[:, 6:12], confidence[:, 6:12] = np.nan, 0
    config = replace(SMALL, window=(0, 0))
    outcome = adapt(
        random_lifter(config=config), [replace(tracks, keypoints=keypoints, confidence=confidence)], plan=quick(3)
    )
    assert all(weight.isfinite().all() for weight in outcome.lifter.parameters())
    assert all(math.isfinite(value) for value in outcome.after.as_json().values())


class Flat(torch.nn.Module):
    """Gives the keypoints back, at one depth."""

    config = SMALL

    def forward(self, keypoints: torch.Tensor, visible: torch.Tensor, **_told: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(torch.where(visible[..., None], keypoints, 0.0), (0, 1))


def test_signs_of_a_flat_lifter() -> None:
    clips = own_clips(random_lifter(), [moving_body(20, 24)[0]])
    flat = Flat()
    deep = torch.cat([clips.keypoints, clips.keypoints.flip(2)[..., :1]], dim=-1)
    views = seen_anew(deep, clips, [elevation_of(moving_body(1, 24)[0], 0.0, 0.3)], 1, np.random.default_rng(0))
    signs = label_free(flat, clips, lengths_in_picture(clips, torch.zeros(20))[None], views)  # type: ignore[arg-type]
    assert signs.picture == 0 and signs.mirror == 0 and signs.steadiness > 0.1
    assert signs.anew == error_anew(flat, clips, views) > 0.1  # type: ignore[arg-type]
    seen = replace(views, joints=torch.nn.functional.pad(views.keypoints, (0, 1)), labelled=views.visible)
    assert error_anew(flat, clips, seen) < 1e-4  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("anew", "steadiness", "picture", "helped"),
    [
        (0.18, 0.1, 0.05, True),
        (0.18, 0.109, 0.099, True),
        (0.195, 0.05, 0.05, False),
        (0.18, 0.111, 0.05, False),
        (0.18, 0.1, 0.101, False),
        *((math.nan, 0.1, 0.05, False), (0.18, math.nan, 0.05, False), (0.18, 0.1, math.nan, False)),
    ],
)
def test_three_signs_decide(anew: float, steadiness: float, picture: float, helped: bool) -> None:
    before = LabelFree(anew=0.2, steadiness=0.1, picture=0.05, body=0.2, mirror=0.1)
    after = LabelFree(anew=anew, steadiness=steadiness, picture=picture, body=0.3, mirror=0.2)
    judged = verdict(before, after)
    assert judged.helped is helped and "wanted: -5% or lower" in judged.reason


def test_a_lifter_that_knew_nothing_to_improve_is_not_judged_better() -> None:
    perfect = LabelFree(anew=0.0, steadiness=0.0, picture=0.0, body=0.0, mirror=0.0)
    assert not verdict(perfect, perfect).helped


LONG = LENGTHS * np.array([0.7, 1.4, 1.5, 0.8, 1.5, 0.8])


def two_animals(clips: int = 40) -> list[KeypointTracks]:
    """Recordings of mona, who has the usual lengths, and of lisa, who has other ones, two of each."""
    found = []
    for number, (name, lengths) in enumerate((("mona", LENGTHS), ("lisa", LONG)) * 2):
        for clip in range(clips // 2):
            own, _ = moving_body(1, 24, seed=1000 * number + clip, lengths=lengths)
            found.append(replace(own, tracks=(name,), source=f"day{number // 2}/{name}_{clip}.csv"))
    return found


def sized(clips: OwnClips, recordings: list[KeypointTracks], lengths: dict[str, np.ndarray]) -> torch.Tensor:
    """Logarithms ``(B,)`` of the sizes of clips of one recording each, by the bone that is seen best."""
    names = [tracks.tracks[0] for tracks in recordings]
    logs = logarithms(clips.keypoints, clips.visible, SKELETON)
    own = torch.tensor(np.log([lengths[name] for name in names]), dtype=torch.float32)
    return (logs - own[:, None]).flatten(1).max(dim=1).values


def relative(lengths: np.ndarray) -> np.ndarray:
    return lengths / lengths.mean()


def test_individuals_have_their_own_lengths_and_share_them_as_a_prior() -> None:
    recordings = two_animals()
    clips = own_clips(random_lifter(), recordings)
    assert clips.individuals == ("mona", "lisa") and len(clips) == 80
    assert [len(rows) for rows in clips.rows()] == [80, 40, 40]
    assert clips.individual.tolist() == 20 * [1] + 20 * [2] + 20 * [1] + 20 * [2]
    body = body_of(clips, sized(clips, recordings, {"mona": LENGTHS, "lisa": LONG}))
    assert list(body.individuals) == ["mona", "lisa"]
    for name, true in (("mona", LENGTHS), ("lisa", LONG)):
        own = body.individuals[name]
        errors = [np.abs(np.log(found / relative(true))).mean() for found in (own.lengths, body.lengths)]
        assert errors[0] < 0.5 * errors[1] and own.lengths[2] == own.lengths[4]
        assert own.frames.tolist() == [40 * 24] * 6 and (own.spread > 0).all()
    assert not mixed_names(clips, sized(clips, recordings, {"mona": LENGTHS, "lisa": LONG}))


@pytest.mark.parametrize("differing", [0.0, 0.1, 1.0])
def test_lengths_of_individuals_are_drawn_to_what_all_share(differing: float) -> None:
    """Four individuals with 16 clips each, whose lengths are measured with an error of 0.3 a clip."""
    recordings = [replace(moving_body(16, 24, seed=number)[0], source=f"day{number}.csv") for number in range(4)]
    clips = own_clips(random_lifter(), recordings)
    rng = torch.Generator().manual_seed(7)
    true = differing * torch.randn(4, 60, generator=rng)
    true = true - true.mean(dim=0)
    values = true.repeat_interleave(16, dim=0) + 0.3 * torch.randn(64, 60, generator=rng)
    shared, *own = by_individual(clips, lambda rows: values[rows].mean(dim=0))
    torch.testing.assert_close(shared, values.mean(dim=0))
    alone = values.reshape(4, 16, 60).mean(dim=1)
    found = torch.stack(own)

    def error(guess: torch.Tensor) -> float:
        off = guess - true
        return float((off - off.median(dim=1, keepdim=True).values).square().mean().sqrt())

    assert error(found) < 1.02 * min(error(alone), error(shared.expand(4, -1)))
    if differing == 0:
        assert (found - shared).square().mean() < 0.1 * (alone - shared).square().mean()


def test_whose_clips_are_by_names_of_tracks_and_of_recordings() -> None:
    def individuals(*recordings: KeypointTracks) -> tuple[str, ...]:
        return own_clips(random_lifter(), list(recordings)).individuals

    generic = [replace(moving_body(12, 24, seed=seed)[0], source=f"day{seed}/walk.csv") for seed in range(2)]
    assert individuals(generic[0]) == ()
    assert individuals(*generic) == ("day0/walk.csv", "day1/walk.csv")
    few = replace(moving_body(11, 24, seed=3)[0], source="few.csv")
    assert individuals(replace(generic[0], source="a/many.csv"), few) == ("many.csv",)
    named = [
        replace(moving_body(1, 12 * 24, seed=seed)[0], tracks=("mona",), source=f"{seed}.csv") for seed in range(3)
    ]
    assert individuals(*named) == ()
    assert individuals(*named, replace(named[0], tracks=("lisa",))) == ("mona", "lisa")


def test_lengths_of_individuals_are_learned() -> None:
    recordings = two_animals(30)
    lifter = Lifter.from_pretrained("small-all")
    outcome = adapt(lifter, recordings, plan=AdaptPlan(rounds=1, steps=25))
    assert list(outcome.body.individuals) == ["mona", "lisa"]
    assert outcome.after.body < 0.9 * outcome.before.body
    ratios = [own.lengths[1] / own.lengths[0] for own in outcome.body.individuals.values()]
    assert ratios[1] > 1.5 * ratios[0]


def test_several_animals_under_one_name_are_told() -> None:
    recordings = [replace(tracks, tracks=("mona",)) for tracks in two_animals()]
    merged = []
    for number in range(4):
        own = recordings[20 * number : 20 * number + 19]
        keypoints = np.concatenate([tracks.keypoints for tracks in own], axis=1)
        confidence = np.concatenate([tracks.confidence for tracks in own], axis=1)
        merged.append(replace(own[0], keypoints=keypoints, confidence=confidence, source=f"{number}.csv"))
    true = {0: LENGTHS, 1: LONG, 2: LENGTHS, 3: LONG}
    clips = own_clips(random_lifter(), merged)
    logs = logarithms(clips.keypoints, clips.visible, SKELETON)
    usual = torch.tensor(np.log([true[number] for number in clips.recording.tolist()]), dtype=torch.float32)
    scales = (logs - usual[:, None]).flatten(1).max(dim=1).values
    assert clips.individuals == ()
    ((name, off),) = mixed_names(clips, scales)
    assert name == "" and 0.1 < off < 0.5
    alike = clips.take((clips.recording % 2 == 0).nonzero()[:, 0])
    assert mixed_names(alike, scales[clips.recording % 2 == 0]) == []


def test_stretches_without_keypoints_are_no_clips() -> None:
    tracks, _ = moving_body(4, 240)
    keypoints = tracks.keypoints.copy()
    keypoints[:, 48:132] = np.nan
    keypoints[1, :24] = np.nan
    clips = own_clips(random_lifter(), [replace(tracks, keypoints=keypoints)])
    # Of the ten clips of 24 frames three are empty, and the sixth is half there.
    assert [int((clips.track == track).sum()) for track in range(4)] == [7, 6, 7, 7]
    outcome = adapt(random_lifter(), [replace(tracks, keypoints=keypoints)], plan=quick(2))
    assert all(weight.isfinite().all() for weight in outcome.lifter.parameters())
    nothing = replace(tracks, keypoints=np.full_like(keypoints, np.nan))
    with pytest.raises(InputError, match="half of the keypoints are visible, got 0"):
        adapt(random_lifter(), [nothing])


def test_one_view_alone_shows_little_of_the_bones() -> None:
    """Legs that swing towards the camera and away from it: no frame shows their lengths."""
    tracks, joints = moving_body(24, 24)
    flat = joints.copy()
    for (a, b), length in zip(EDGES, LENGTHS, strict=True):
        bone = joints[:, :, b] - joints[:, :, a]
        bone[..., :2] *= 0.25
        bone *= length / np.linalg.norm(bone, axis=-1, keepdims=True)
        flat[:, :, b] = flat[:, :, a] + 30 * bone
    clips = own_clips(random_lifter(), [replace(tracks, keypoints=flat[..., :2] + 300)])
    true = torch.from_numpy(flat.astype(np.float32))
    assert shown_share(true, clips) < 0.92
