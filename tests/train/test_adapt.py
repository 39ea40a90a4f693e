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
from olift_fast.train.adapting import Adaptation, AdaptPlan, adapt
from olift_fast.train.body import body_of, lengths_in_picture, logarithms, seen_in_full, shared_lengths, shown_share
from olift_fast.train.label_free import LabelFree, label_free, turned_error, verdict
from olift_fast.train.metrics import sa_mpjpe
from olift_fast.train.own_clips import held_apart, own_clips, without_copies

NAMES = ("hip", "chest", "nose", "left_knee", "left_foot", "right_knee", "right_foot")
EDGES = ((0, 1), (1, 2), (0, 3), (3, 4), (0, 5), (5, 6))
LENGTHS = np.array([3.0, 1.2, 1.5, 0.8, 1.5, 0.8])
SKELETON = Skeleton(NAMES, EDGES)
SMALL = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=2, window=(2, 2), frequencies=8)


def moving_body(tracks: int, frames: int, seed: int = 0) -> tuple[KeypointTracks, np.ndarray]:
    """Tracks of a body of `LENGTHS` seen from far away, each of another size, and its joints ``(N, T, J, 3)``."""
    rng = np.random.default_rng(seed)
    joints = np.zeros((tracks, frames, len(NAMES), 3))
    time = np.arange(frames)[None, :, None] * rng.uniform(0.05, 0.3, (tracks, 1, 1))
    for (a, b), length in zip(EDGES, LENGTHS, strict=True):
        start, turn = rng.normal(size=(2, tracks, 1, 3))
        direction = start + turn * np.sin(time + rng.uniform(0, 6, (tracks, 1, 1)))
        joints[:, :, b] = joints[:, :, a] + length * direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    joints *= rng.uniform(20, 60, (tracks, 1, 1, 1))
    keypoints = (joints[..., :2] + 300).astype(np.float32)
    names = tuple(f"animal {index}" for index in range(tracks))
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
    others = [replace(tracks, keypoints=hidden), less_sure]
    copy = replace(tracks, keypoints=tracks.keypoints.copy(), source="a.h5")
    assert without_copies([tracks, others[0], copy, others[1]]) == [tracks, *others]
    alone, both = (own_clips(random_lifter(), recordings) for recordings in ([tracks], [tracks, copy]))
    assert len(alone) == len(both) and both.track.tolist() == alone.track.tolist()
    with pytest.raises(InputError, match="has not the bones of"):
        own_clips(random_lifter(), [tracks, replace(copy, skeleton=Skeleton(NAMES, EDGES[:5]))])


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
            "a.csv: has not the joints of a.csv (right_foot, tail in one of them only)",
        ),
        (
            [moving_body(12, 24)[0], replace(moving_body(12, 24)[0], skeleton=Skeleton(NAMES, EDGES[:5]))],
            "a.csv: has not the bones of a.csv",
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
        ({"share": 1.5}, "share must be from 0 to 1, got 1.5"),
        ({"tolerance": (0.3, 0.1)}, "tolerance must be two numbers above 0, the smaller first, got 0.3 and 0.1"),
        ({"own_depth": -1.0}, "own_depth must be >= 0, got -1"),
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
    return AdaptPlan(steps=steps, warmup=2, frames=12, **changes)  # type: ignore[arg-type]


def adapted(seed: int = 0) -> tuple[Lifter, Adaptation]:
    lifter = random_lifter()
    return lifter, adapt(lifter, [moving_body(40, 24)[0]], plan=quick(4, seed=seed))


def test_bones_get_the_lengths_that_the_picture_tells() -> None:
    lifter = Lifter.from_pretrained("small-all")
    tracks, joints = moving_body(48, 24)
    outcome = adapt(lifter, [tracks], plan=AdaptPlan(steps=30, own_depth=0.0))
    assert outcome.after.body < 0.8 * outcome.before.body and outcome.after.steadiness < outcome.before.steadiness
    assert (outcome.learned, outcome.held_out, outcome.frames, outcome.steps) == (39, 9, 24, 30)
    assert outcome.lifter.config == lifter.config and not outcome.lifter.training
    assert next(iter(outcome.changes()))[0] == "bone lengths off from those that the 2D tells"
    true = torch.from_numpy(joints.astype(np.float32))
    labelled = torch.ones(true.shape[:3], dtype=torch.bool)
    errors = [float(sa_mpjpe(of(own, tracks), true, labelled).mean()) for own in (lifter, outcome.lifter)]
    assert errors[1] < errors[0]


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


def test_a_share_of_nothing_is_the_old_weights() -> None:
    lifter = random_lifter()
    outcome = adapt(lifter, [moving_body(12, 24)[0]], plan=quick(3, share=0.0))
    assert all(torch.equal(a, b) for a, b in zip(lifter.parameters(), outcome.lifter.parameters(), strict=True))
    assert outcome.before == outcome.after and not outcome.verdict.helped


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


def test_a_model_that_takes_all_is_told_all() -> None:
    config = replace(SMALL, pitch=True, kinds=47, uncertainty=True)
    tracks = moving_body(12, 24)[0]
    told = own_clips(random_lifter(config=config), [tracks], pitch=30.0).told(config)
    assert told["pitch"].tolist() == [30.0] * 12 and told["kinds"].shape == (12, 7)
    assert adapt(random_lifter(config=config), [tracks], plan=quick(2), pitch=30.0).lifter.config == config
    with pytest.raises(InputError, match="can't be told the camera's pitch"):
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
    signs = label_free(flat, clips, lengths_in_picture(clips, torch.zeros(20)))  # type: ignore[arg-type]
    assert signs.picture == 0 and signs.mirror == 0 and signs.steadiness > 0.1
    upright = torch.nn.functional.pad(clips.keypoints[..., 1:], (1, 1))
    assert turned_error(flat, clips, upright) < 1e-4  # type: ignore[arg-type]
    deep = torch.cat([clips.keypoints, clips.keypoints.flip(2)[..., :1]], dim=-1)
    assert turned_error(flat, clips, deep) > 0.1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steadiness", "turned", "helped"),
    [(0.08, 0.2, True), (0.094, 0.15, True), (0.08, 0.21, False), (0.096, 0.1, False), (0.08, math.nan, False)],
)
def test_steadier_bones_and_no_worse_turned_results_decide(steadiness: float, turned: float, helped: bool) -> None:
    before = LabelFree(body=0.2, steadiness=0.1, picture=0.05, mirror=0.1, turned=0.2)
    after = replace(before, body=0.1, mirror=0.05, steadiness=steadiness, turned=turned)
    assert verdict(before, after, 0.92).helped is helped
    for views in (0.91, math.nan):
        assert not verdict(before, after, views).helped


def test_a_lifter_that_knew_nothing_to_improve_is_not_judged_better() -> None:
    perfect = LabelFree(body=0.0, steadiness=0.0, picture=0.0, mirror=0.0, turned=0.0)
    assert not verdict(perfect, perfect, 1.0).helped
