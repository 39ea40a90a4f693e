"""Known lengths as users say them, and the sizes that follow."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_lifts import TABLE, lifted

from benchmarks.walkers import planted
from olift_fast.errors import InputError
from olift_fast.tracks.rigs import rig
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.world import parse_length, pitch_and_roll, to_world
from olift_fast.world.size import relative_sizes

UP = np.array([0, -1.0, 0])


@pytest.mark.parametrize(
    ("text", "meters"),
    [
        ("310mm", 0.31),
        ("31 cm", 0.31),
        ("0.31m", 0.31),
        (".31M", 0.31),
        ("250um", 2.5e-4),
        ("2.5e2µm", 2.5e-4),
        ("10in", 0.254),
    ],
)
def test_a_number_and_its_unit(text: str, meters: float) -> None:
    assert parse_length(f"nose-left_hip={text}", "bone", TABLE).meters == pytest.approx(meters)
    assert parse_length(text, "height", TABLE).meters == pytest.approx(meters)


def test_pixels_are_told_in_millimeters() -> None:
    assert parse_length("0.5", "pixel", TABLE).meters == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nose-left_hip", "wanted two joints and a length"),
        ("nose=3mm", "wanted two joints and a length"),
        ("nose-left_hip=3", "wanted a unit"),
        ("nose-left_hip=3 yards", "wanted a unit"),
        ("nose-left_hip=long", "wanted a number and its unit"),
        ("nose-left_hip=0mm", "must be from 1 µm to 100 m"),
        ("nose-left_hip=-3mm", "must be from 1 µm to 100 m"),
        ("nose-left_hip=1e9m", "must be from 1 µm to 100 m"),
        ("nose-left_hipp=3mm", "no joint 'left_hipp'; did you mean left_hip"),
        ("noise-left_hip=3mm", "no joint 'noise'; did you mean nose"),
        ("xyz-left_hip=3mm", "no joint 'xyz'; the joints are left_front_paw, right_front_paw"),
        ("nose-nose=3mm", "is one joint"),
    ],
)
def test_what_is_no_length_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_length(text, "bone", TABLE)
    assert "\n" not in str(caught.value)


def pairs(text: str, skeleton: Skeleton) -> set[tuple[str, str]]:
    return {(skeleton.names[a], skeleton.names[b]) for a, b in parse_length(f"{text}=1m", "bone", skeleton).joints}


def test_a_name_without_a_side_stands_for_both_sides() -> None:
    both = {("left_shoulder", "left_front_paw"), ("right_shoulder", "right_front_paw")}
    assert pairs("shoulder-front paw", TABLE) == both
    assert pairs("Shoulder-FRONT_PAW", TABLE) == both
    assert pairs("left_shoulder-front_paw", TABLE) == {("left_shoulder", "left_front_paw")}
    assert pairs("nose-hip", TABLE) == {("nose", "left_hip"), ("nose", "right_hip")}
    assert pairs("shoulder-elbow", rig("openpose_body_25")) == {("RShoulder", "RElbow"), ("LShoulder", "LElbow")}
    assert pairs("hip-knee", rig("coco_17")) == {("left_hip", "left_knee"), ("right_hip", "right_knee")}


def test_left_to_right_is_what_two_sided_names_say() -> None:
    assert pairs("left_hip-right_hip", TABLE) == {("left_hip", "right_hip")}


def test_names_may_hold_hyphens() -> None:
    skeleton = Skeleton(("tail-base", "nose", "ear-L", "ear-R"))
    assert pairs("nose-tail-base", skeleton) == {("nose", "tail-base")}
    assert pairs("tail-base-ear", skeleton) == {("tail-base", "ear-L"), ("tail-base", "ear-R")}


def chain(lengths: np.ndarray) -> np.ndarray:
    """(1, T, 9, 3) a body of which all but one joint are at the origin: the distance from nose to all others varies."""
    joints = np.zeros((1, len(lengths), TABLE.num_joints, 3))
    joints[0, :, -1, 0] = lengths
    return joints


def size_of(result, *lengths, **options) -> tuple[float, float]:
    known = [parse_length(text, kind, result.skeleton) for text, kind in lengths]
    placed = to_world(result, up=UP, floor=False, lengths=known, **options)
    assert placed.units == "meters"
    return float(placed.meters_per_pixel[0]), float(placed.world.size_spread[0])


def test_a_bone_counts_by_a_high_quantile_and_a_length_when_stretched_out() -> None:
    slow = lifted(chain(np.linspace(50, 150, 2001)))
    assert size_of(slow, ("nose-left_hip=2m", "bone"))[0] == pytest.approx(2 / 135, rel=1e-3)
    result = lifted(chain(np.linspace(50, 150, 101)))
    assert size_of(result, ("nose-left_hip=2m", "length"))[0] == pytest.approx(2 / 140)
    assert size_of(result, ("0.5", "pixel")) == pytest.approx((5e-4, 0))


def test_the_spread_is_that_of_the_frames() -> None:
    pixels = 100 * (1 + 0.05 * np.random.default_rng(0).normal(size=4000))
    assert size_of(lifted(chain(pixels)), ("nose-left_hip=2m", "bone"))[1] == pytest.approx(0.05, rel=0.1)


def test_noise_makes_no_bone_longer() -> None:
    pixels = 100 * (1 + 0.05 * np.random.default_rng(1).normal(size=2000))
    assert size_of(lifted(chain(pixels)), ("nose-left_hip=1m", "bone"))[0] == pytest.approx(1 / 100, rel=0.015)


def test_the_twin_of_a_bone_counts_as_well() -> None:
    joints, names = np.zeros((1, 60, 9, 3)), TABLE.names
    joints[0, :, names.index("left_shoulder"), 0] = 100
    joints[0, :, names.index("right_shoulder")] = (30, 0, 80)
    result = lifted(joints)
    for side in ("left", "right"):
        told = (f"{side}_shoulder-{side}_front_paw=1m", "bone")
        assert size_of(result, told)[0] == pytest.approx(1 / 100)
    assert size_of(result, ("right_shoulder-right_front_paw=1m", "length"))[0] == pytest.approx(1 / np.hypot(30, 80))


def test_frames_count_in_which_a_bone_lies_across_the_view() -> None:
    joints = chain(np.full(100, 100.0))
    joints[0, 50:, -1] = (10, 0, 300)
    assert size_of(lifted(joints), ("nose-left_hip=1m", "bone"))[0] == pytest.approx(1 / 100)


def test_hidden_joints_do_not_count() -> None:
    joints = chain(np.full(100, 100.0))
    joints[0, 50:, -1, 0] = 900
    visible = np.ones((1, 100, 9), dtype=bool)
    visible[0, 50:, -1] = False
    assert size_of(lifted(joints, visible=visible), ("nose-left_hip=1m", "bone"))[0] == pytest.approx(1 / 100)
    visible[...] = False
    visible[..., 0] = True
    with pytest.raises(InputError, match="no frame shows both of its ends"):
        size_of(lifted(joints, visible=visible), ("nose-left_hip=1m", "bone"))


def test_a_person_is_as_tall_as_told() -> None:
    person = next(planted(1, frames=60))
    result = person.true_lift(0.0, 0)
    assert person.family == "person"
    told = parse_length("1.75m", "height", result.skeleton)
    placed = to_world(result, up=person.up, lengths=[told])
    knee, hip = (result.skeleton.names.index(f"left_{name}") for name in ("knee", "hip"))
    thigh = np.median(np.linalg.norm(placed.joints[0, :, knee] - placed.joints[0, :, hip], axis=-1))
    true = np.median(np.linalg.norm(person.positions[:, knee] - person.positions[:, hip], axis=-1))
    assert thigh == pytest.approx(true, rel=0.03)
    with pytest.raises(InputError, match="a height is measured on a person"):
        to_world(lifted(chain(np.full(9, 50.0))), up=UP, lengths=[told])


def test_lengths_that_contradict_each_other_are_warned_of() -> None:
    result = lifted(chain(100 + np.arange(40) % 5.0))
    known = [
        parse_length(text, "bone", TABLE) for text in ("nose-left_hip=1m", "nose-right_hip=1m", "nose-left_shoulder=3m")
    ]
    warnings = to_world(result, up=UP, floor=False, lengths=known).warnings
    assert len(warnings) == 1 and "'nose-left_shoulder=3m' says +200%" in warnings[0]


@pytest.mark.parametrize(("length", "warned"), [("1m", False), ("99m", True), ("50um", True)])
def test_absurd_sizes_are_warned_of(length: str, warned: bool) -> None:
    known = parse_length(f"nose-left_hip={length}", "bone", TABLE)
    result = lifted(chain(np.full(20, 100.0)))
    assert any("in the right unit?" in text for text in to_world(result, up=UP, lengths=[known]).warnings) == warned


def test_size_is_right_to_2_percent_by_one_true_bone() -> None:
    errors = []
    for number, walker in enumerate(planted(9, frames=60, seed=3)):
        result, names = walker.true_lift(0.01, number), walker.tracks.skeleton.names
        first, second = np.array(walker.tracks.skeleton.edges).T
        bones = np.median(np.linalg.norm(walker.positions[:, first] - walker.positions[:, second], axis=-1), axis=0)
        a, b = walker.tracks.skeleton.edges[int(bones.argmax())]
        told = parse_length(f"{names[a]}-{names[b]}={bones.max():.6f}m", "bone", walker.tracks.skeleton)
        pitch = pitch_and_roll(walker.up)[0]
        placed = to_world(result, pitch=pitch, focal=walker.matrix[0, 0], lengths=[told])
        camera = (walker.positions - walker.cameras.position[0, 0]) @ walker.cameras.rotation[0, 0].T
        true = np.median(camera[..., 2].mean(axis=1)) / walker.matrix[0, 0]
        errors.append(float(placed.meters_per_pixel[0]) / true - 1)
    assert np.median(np.abs(errors)) < 0.02


def test_relative_sizes_are_those_of_the_bones_over_their_median() -> None:
    joints = np.random.default_rng(1).normal(size=(1, 1, 9, 3)) * np.linspace(0.8, 1.2, 21)[None, :, None, None]
    for skeleton in (TABLE, Skeleton(TABLE.names)):
        sizes, scatter = relative_sizes(lifted(joints, skeleton))
        np.testing.assert_allclose(sizes[0], np.linspace(0.8, 1.2, 21), rtol=1e-5)
        assert scatter[0] < 0.03


def test_what_is_alike_in_many_tracks_takes_one_line() -> None:
    joints = np.repeat(chain(100 + np.arange(40) % 5.0), 27, axis=0)
    joints[[6, 9]] = np.nan
    result = lifted(joints, tracks=tuple(f"rat_{track}" for track in range(27)))
    known = [
        parse_length(text, "bone", TABLE)
        for text in ("nose-left_hip=45m", "nose-right_hip=45m", "nose-left_shoulder=99m")
    ]
    warnings = to_world(result, up=UP, floor=False, lengths=known).warnings
    (apart, unseen, absurd) = warnings
    assert apart.startswith("rat_0, rat_1, rat_2, rat_3 and 21 more: 'nose-left_shoulder=99m' says +120% of what ")
    assert unseen == "rat_6, rat_9: no known length is seen, so their size is that of the others"
    assert absurd.startswith("rat_0, rat_1, rat_2, rat_3 and 23 more: would be ") and absurd.endswith("right unit?")
