"""Bodies: bones of the lengths of a body file, the file itself, and whose a track is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifted_bodies import lifted, swinging
from scipy.optimize import minimize

from olift_fast.bodies import Body, bone_lengths, length_drift, read_body, steady_bones
from olift_fast.bodies.body import individual_of
from olift_fast.bodies.rigid import body_joints, with_lengths
from olift_fast.errors import InputError
from olift_fast.tracks import Skeleton, rig

FOX = rig("animalsyn3d_fox")
SMALL = Skeleton(("hip", "left_knee", "right_knee"), ((0, 1), (0, 2)))
BONES = [
    {"joints": ["hip", "left_knee"], "length": 1.2, "spread": 0.1, "frames": 40},
    {"joints": ["hip", "right_knee"], "length": 0.8, "spread": None, "frames": 30},
]
FILE = {"format": "olift-fast body", "format_version": 1, "version": "0.1.0", "bones": BONES}


def body_of(joints: np.ndarray, skeleton: Skeleton, spread: float = 0.0) -> Body:
    lengths = bone_lengths(joints, skeleton.edges)[0]
    lengths /= lengths.mean()
    return Body(skeleton, lengths, np.full(len(lengths), spread), np.full(len(lengths), 40))


def misjudged(skeleton: Skeleton, frames: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """True joints (T, J, 3), and what a lifter gives that takes each bone's depth for more or less than it is."""
    true = swinging(skeleton, frames)
    given, rng = true.copy(), np.random.default_rng(1)
    joints = {skeleton.edges[0][0]}
    while len(joints) < skeleton.num_joints:
        for edge in skeleton.edges:
            for start, end in (edge, edge[::-1]):
                if start in joints and end not in joints:
                    depth = true[:, end, 2] - true[:, start, 2]
                    given[:, end, 2] = given[:, start, 2] + rng.uniform(0.3, 1.7) * depth
                    joints.add(end)
    return true, given + rng.normal(0, 0.3, true.shape)


def error(joints: np.ndarray, true: np.ndarray) -> float:
    """The RMS distance, each frame centered."""
    apart = joints - true
    return float(np.sqrt(np.mean((apart - apart.mean(axis=1, keepdims=True)) ** 2)))


def test_true_lengths_lessen_the_error_and_steady_the_bones() -> None:
    true, given = misjudged(FOX)
    result = lifted(given, FOX)
    steady = steady_bones(result, body_of(true, FOX))
    joints = steady.joints[0]
    assert length_drift(given, FOX.edges, None) > 0.05
    assert length_drift(joints, FOX.edges, None) < 1e-3
    lengths = bone_lengths(joints, FOX.edges)[0]
    np.testing.assert_allclose(lengths / lengths.mean(), body_of(true, FOX).lengths, rtol=1e-3)
    assert error(joints, true) < 0.8 * error(given, true)
    assert error(joints, true) < error(steady_bones(result).joints[0], true)
    assert steady.notes[-1].startswith("bones: lengths of the body; joints moved by")
    np.testing.assert_array_equal(steady.joints, steady_bones(result, body_of(true, FOX)).joints)


def test_each_track_has_its_own_size() -> None:
    true, given = misjudged(FOX)
    one = steady_bones(lifted(given, FOX), body_of(true, FOX)).joints[0]
    both = steady_bones(lifted(np.stack([given, 7 * given]), FOX), body_of(true, FOX)).joints
    np.testing.assert_allclose(both[0], one, atol=1e-3)
    np.testing.assert_allclose(both[1], 7 * one, atol=1e-2)


def test_bones_with_a_large_spread_are_held_less() -> None:
    true, given = misjudged(FOX)
    body = body_of(true, FOX)
    spread = np.zeros(len(FOX.edges))
    spread[::2] = 0.3
    loose = steady_bones(lifted(given, FOX), replace(body, spread=spread)).joints[0]
    lengths = bone_lengths(loose, FOX.edges)
    drift = lengths.std(axis=0) / lengths.mean(axis=0)
    assert (drift[1::2] < 1e-3).all() and (drift[::2] > 0.01).all()
    drifts = [
        length_drift(steady_bones(lifted(given, FOX), body_of(true, FOX, alike)).joints[0], FOX.edges, None)
        for alike in (0.0, 0.04, np.nan, 0.6, 3.0, 150.0)
    ]
    assert drifts == sorted(drifts) and drifts[2] > 2 * drifts[1]
    assert drifts[5] == pytest.approx(length_drift(given, FOX.edges, None), rel=0.02)


@pytest.mark.parametrize("deviations", [None, np.array([1.0, 1.0, 3.0])])
def test_soft_bones_are_the_least_of_moves_and_lengths(deviations: np.ndarray | None) -> None:
    """Against a general optimizer, frame by frame; bone 1 has its length, those of the loop give way."""
    edges = ((0, 1), (1, 2), (1, 3), (3, 4), (1, 4))
    softness = np.array([0.5, 0.0, 0.1, 4.0, 1.0])
    rng = np.random.default_rng(2)
    start = rng.normal(0, 10, (5, 3)) + rng.normal(0, 2, (6, 5, 3))
    lengths = 1.1 * bone_lengths(start, edges).mean(axis=0)
    variance = np.ones(3) if deviations is None else np.square(deviations) / np.square(deviations).mean()
    found = with_lengths(start, edges, lengths, deviations, softness)
    soft = softness > 0

    def cost(x: np.ndarray, frame: np.ndarray) -> float:
        joints = x.reshape(1, 5, 3)
        short = (bone_lengths(joints, edges)[0] - lengths)[soft]
        return float(((joints[0] - frame) ** 2 / variance).sum() + (short**2 / softness[soft]).sum())

    np.testing.assert_allclose(bone_lengths(found, edges)[:, 1], lengths[1], rtol=1e-4)
    for frame, own in zip(start, found, strict=True):
        best = minimize(
            cost,
            own.ravel().astype(float),
            args=(frame,),
            constraints={"type": "eq", "fun": lambda x: bone_lengths(x.reshape(1, 5, 3), edges)[0, 1] - lengths[1]},
            method="SLSQP",
        )
        assert cost(own, frame) < 1.02 * best.fun + 1e-3


def test_what_is_hidden_or_absent_stays() -> None:
    true, given = misjudged(FOX)
    body = body_of(true, FOX)
    given[10:20, 3] = np.nan
    given[30] = np.nan
    seen = np.isfinite(given).all(axis=-1)
    joints = steady_bones(lifted(given, FOX, visible=seen[None]), replace(body, spread=body.spread + 0.01)).joints[0]
    np.testing.assert_array_equal(np.isfinite(joints), np.isfinite(given))
    lengths = body.lengths.copy()
    lengths[2] = np.nan
    found = bone_lengths(body_joints(true, FOX, lengths, body.spread), FOX.edges)
    np.testing.assert_allclose(found, bone_lengths(true, FOX.edges), rtol=1e-3)
    nothing = np.full_like(given, np.nan)
    assert np.isnan(body_joints(nothing, FOX, body.lengths, body.spread)).all()


def test_a_body_that_has_the_lengths_already_stays() -> None:
    true, _ = misjudged(FOX)
    for spread in (0.0, 0.1):
        joints = steady_bones(lifted(true, FOX), body_of(true, FOX, spread)).joints[0]
        np.testing.assert_allclose(joints, true, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 2, 7, 60])
def test_moves_do_not_jitter(frames: int) -> None:
    """A lifter that gives next to no depth: frame by frame, noise says whether a bone points forward or back."""
    true = misjudged(FOX, 60)[0][:frames]
    given = true * [1, 1, 0.03] + np.random.default_rng(3).normal(0, 1, true.shape) * [0, 0, 0.5]
    body = body_of(true, FOX, 0.02)
    lengths, errors = body.along(FOX)
    joints = body_joints(given, FOX, lengths, errors)
    assert np.isfinite(joints).all()
    if frames == 60:
        once = steady_once(given, lengths)
        jitter = [np.abs(np.diff(moved - given, axis=0)).mean() for moved in (joints, once)]
        assert jitter[0] < 0.8 * jitter[1]


def steady_once(joints: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    size = np.exp(np.median(np.log(bone_lengths(joints, FOX.edges) / lengths)))
    return with_lengths(joints, FOX.edges, size * lengths)


def test_individuals_have_their_own_lengths() -> None:
    true, given = misjudged(FOX)
    shared = body_of(true, FOX)
    own = replace(shared, lengths=shared.lengths * np.linspace(0.5, 1.5, len(FOX.edges)))
    body = replace(shared, individuals={"mona": own, "monday.csv": own}, source="body.json")
    result = replace(lifted(np.stack([given, given]), FOX), tracks=("mona", "lisa"), source="rec/monday.csv")
    joints = steady_bones(result, body)
    np.testing.assert_array_equal(joints.joints[0], steady_bones(lifted(given, FOX), own).joints[0])
    np.testing.assert_array_equal(joints.joints[1], steady_bones(lifted(given, FOX), shared).joints[0])
    assert joints.notes[-1].startswith("bones: lengths of body.json: mona, 1 of 2 tracks get what all share; joints")
    generic = steady_bones(replace(result, tracks=("track_0", "1")), body)
    np.testing.assert_array_equal(generic.joints[1], joints.joints[0])
    assert generic.notes[-1].startswith("bones: lengths of body.json: monday.csv; joints")


@pytest.mark.parametrize(
    ("track", "recording", "wanted"),
    [
        ("track_0", "rec/monday.csv", "rec/monday.csv"),
        ("3", "monday.csv", "monday.csv"),
        ("Individual 2", "monday.csv", "monday.csv"),
        ("left_hand", "monday.csv", "monday.csv"),
        ("", "monday.csv", "monday.csv"),
        ("track_0", None, "track_0"),
        ("mona", "monday.csv", "mona"),
        ("mouse1", "monday.csv", "mouse1"),
        ("fox/walk", "monday.csv", "fox/walk"),
        ("tracker", "monday.csv", "tracker"),
    ],
)
def test_whose_a_track_is(track: str, recording: str | None, wanted: str) -> None:
    assert individual_of(track, recording) == wanted


def test_what_is_written_is_read(tmp_path: Path) -> None:
    true, _ = misjudged(FOX)
    shared = replace(body_of(true, FOX, 0.02), millimeters=31.0)
    shared.lengths[4] = np.nan
    own = replace(body_of(true, FOX, 0.03), millimeters=None)
    replace(shared, individuals={"mona": own}).write(tmp_path / "body.json")
    found = read_body(tmp_path / "body.json")
    lengths, errors = found.along(FOX)
    np.testing.assert_allclose(lengths, shared.lengths, atol=1e-4)
    np.testing.assert_allclose(errors * 8**0.5, shared.spread, atol=1e-3)
    np.testing.assert_allclose(found.individuals["mona"].along(FOX)[0], own.lengths, atol=1e-4)
    assert (
        found.whose("lisa", None) is None
        and found.whose("mona", "a.csv") == "mona"
        and found.source == str(tmp_path / "body.json")
    )
    assert found.millimeters == pytest.approx(31, rel=1e-3) and found.individuals["mona"].millimeters is None


def test_files_of_version_1_are_read_and_names_are_matched_loosely(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps(FILE))
    body = read_body(tmp_path / "body.json")
    other = Skeleton(("Right Knee", "HIP", "LeftKnee", "nose"), ((2, 1), (0, 1)))
    lengths, errors = body.along(other)
    assert lengths.tolist() == [1.2, 0.8] and errors[0] == pytest.approx(0.1 / 8**0.5) and np.isnan(errors[1])
    assert body.individuals == {} and body.frames.tolist() == [40, 30]


def test_other_bones_are_refused_with_both_names(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps(FILE))
    body = read_body(tmp_path / "body.json")
    joints = swinging(FOX, 5)
    with pytest.raises(InputError) as error:
        steady_bones(replace(lifted(joints, FOX), source="fox.csv"), body)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'body.json'}: does not have the bones of fox.csv: fox.csv alone has ")
    assert message.endswith(f"{tmp_path / 'body.json'} alone has hip-left_knee, hip-right_knee")
    fewer = Skeleton(SMALL.names, SMALL.edges[:1])
    with pytest.raises(InputError, match=r"the recording: .*body.json alone has hip-right_knee$"):
        body.along(fewer)


def changed(**fields: Any) -> dict[str, Any]:
    return {**FILE, **fields}


def bone(**fields: Any) -> list[dict[str, Any]]:
    return [{**BONES[0], **fields}, BONES[1]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([1], "is no body: wanted an object"),
        (changed(format="skeleton"), "is no body: wanted an object"),
        (changed(format_version=3), "format_version must be 1 to 2, got 3"),
        (changed(format_version=True), "format_version must be 1 to 2, got True"),
        (changed(bones=[]), "bones must be a list of bones, got []"),
        (changed(bones=None), "bones must be a list of bones, got None"),
        (changed(bones=[3]), "bones[0].joints must be the names of two joints, got None"),
        (changed(bones=bone(joints=["hip"])), "bones[0].joints must be the names of two joints, got ['hip']"),
        (changed(bones=[*BONES, BONES[1]]), "edge"),
        (changed(bones=bone(length=-1)), "bones[0].length must be a number >= 0 or null, got -1"),
        (changed(bones=bone(length=0)), "bones[0].length must be above 0, got 0"),
        (changed(bones=bone(length="1")), "bones[0].length must be a number >= 0 or null, got '1'"),
        (changed(bones=bone(spread=float("inf"))), "bones[0].spread must be a number >= 0 or null, got inf"),
        (changed(bones=[{**row, "length": None} for row in BONES]), "bones must have a length that is known"),
        (changed(individuals={}), "individuals must be a list, got {}"),
        (changed(individuals=[{"bones": BONES}]), "individuals[0] must have a name of its own, got None"),
        (changed(individuals=2 * [{"name": "a", "bones": BONES}]), "individuals[1] must have a name of its own"),
        (changed(individuals=[{"name": "a", "bones": BONES[:1]}]), "individuals[0].bones must be the bones that all"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "body.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError) as error:
        read_body(path)
    assert str(error.value).startswith(f"{path}: ") and words in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json: no such file"):
        read_body(tmp_path / "absent.json")
    (tmp_path / "body.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not JSON"):
        read_body(tmp_path / "body.json")
    with pytest.raises(InputError, match=r"is a folder, wanted the file body\.json"):
        read_body(tmp_path)
