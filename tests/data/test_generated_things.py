"""Generated things, hands at work and postures: rigid parts stay rigid, hinges and postures do what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from olift_fast.data.cameras import CameraRange
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import FAMILIES, WEIGHTS, AnimalGenerator
from olift_fast.data.generator.bodies import PITCH, STRETCH, Body, Gait, Posture, Turn
from olift_fast.data.generator.curves import moves
from olift_fast.data.generator.motion import animate
from olift_fast.data.generator.objects import ARTICULATED, RIGID, articulated_object, rigid_object
from olift_fast.data.generator.paths import WAYS, carry
from olift_fast.data.generator.postures import HUMAN, QUADRUPED, human_postures, quadruped_postures
from olift_fast.data.generator.reported_joints import all_joints
from olift_fast.data.mocap import load_motion
from olift_fast.tracks.joint_names import read_names

FPS = (18.0, 70.0)


def rotations(points: np.ndarray) -> np.ndarray:
    """How a rigid set of points (N, 3, T) is turned in each frame, from the first one: (T, 3, 3)."""
    centered = points - points.mean(axis=0)
    u, _, vt = np.linalg.svd(np.einsum("nit,nj->tij", centered, centered[..., 0]))
    flip = np.ones((len(u), 3))
    flip[:, 2] = np.linalg.det(u @ vt)
    return u * flip[:, None] @ vt


def degrees_between(rotation: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((np.trace(rotation, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))


def test_new_families_are_drawn_by_name_alone() -> None:
    assert set(FAMILIES) - set(WEIGHTS) == {
        "quadruped_postures",
        "human_postures",
        "hand_at_work",
        "object",
        "articulated",
    }
    assert set(AnimalGenerator(0).families) == set(WEIGHTS)
    named = AnimalGenerator(0, families={"object": 1.0, "articulated": 1.0})
    assert {named.batch(1, 2).family for _ in range(12)} == {"object", "articulated"}


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(WEIGHTS)))
def test_the_same_seed_gives_the_same_clips_and_another_seed_others(family: str) -> None:
    first, again, other = (AnimalGenerator(seed).batch(3, 20, family) for seed in (7, 7, 8))
    assert first.skeleton == again.skeleton and np.array_equal(first.joints, again.joints)
    assert np.array_equal(first.keypoints, again.keypoints)
    assert first.joints.shape != other.joints.shape or not np.array_equal(first.joints, other.joints)


@pytest.mark.parametrize("seed", range(12))
def test_all_points_of_a_rigid_object_keep_their_distances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    body = rigid_object(rng)
    points = animate(body, rng, 3, 20, FPS).positions.astype(float)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert np.ptp(distances, axis=-1).max() < 1e-3 * distances.max()
    assert len(body.nodes) >= 5 and distances.mean(axis=(2, 3))[np.triu_indices(len(points), 1)].min() > 0


@pytest.mark.parametrize("seed", range(12))
def test_parts_of_articulated_objects_are_rigid_and_move_against_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    body = articulated_object(rng)
    body.still = 0.0
    motion = animate(body, rng, 8, 60, (29.0, 31.0))
    points = motion.positions.astype(float)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    change = np.ptp(distances, axis=-1).max(axis=-1) / distances.max()
    moving = [any(turn.low < turn.high for turn in node.turns) for node in body.nodes]

    def carrier(index: int) -> int:
        """The joint whose turns move this one against the root; -1 for the root's own part."""
        parent = body.nodes[index].parent
        return parent if parent < 0 or moving[parent] else carrier(parent)

    slides = {i for i, node in enumerate(body.nodes) if any(turn.axis == STRETCH for turn in node.turns)}
    for a in range(len(points)):
        for b in range(a):
            if carrier(a) == carrier(b) and not {a, b} & slides:
                assert change[a, b] < 1e-3, f"{a} and {b} are of one part"
    assert change.max() > 0.05, "parts move"


def test_lids_turn_about_their_hinge_and_drawers_slide() -> None:
    body = Body("articulated", (Posture(support="free"),), (Gait(1, 0, 0),))
    base = body.add("point_1", -1, (0, 0, 0), "part")
    hinge = body.add("point_2", base, (0, 1, 0), "part", [Turn("lid", PITCH, 0, 90, 45, 60, 10)])
    lid = body.add("point_3", hinge, (1, 0, 0), "part")
    rail = body.add("point_4", base, (0, 0, -1), "part")
    drawer = body.add("point_5", rail, (2, 0, 0), "part", [Turn("drawer", STRETCH, 0, 80, 40, 60, 10)])
    front = body.add("point_6", drawer, (0, 1, 0), "part")
    body.variety = 0.0
    body.carried = {"standing": 1}
    motion = animate(body, np.random.default_rng(0), 30, 20, FPS)
    p, angles = motion.positions, motion.angles
    pulled = np.linalg.norm(p[drawer] - p[rail], axis=0) / np.linalg.norm(motion.offsets[drawer], axis=0)[:, None]
    assert np.allclose(pulled, 1 + np.degrees(angles[1]) / 100, rtol=1e-3)
    assert pulled.min() < 1.2 and pulled.max() > 1.6 and pulled.min() >= 1 and pulled.max() <= 1.8
    assert np.ptp(np.linalg.norm(p[front] - p[drawer], axis=0), axis=-1).max() < 1e-3
    opened = np.einsum("kbt,kbt->bt", p[lid] - p[hinge], p[drawer] - p[rail])
    opened /= np.linalg.norm(p[lid] - p[hinge], axis=0) * np.linalg.norm(p[drawer] - p[rail], axis=0)
    assert np.allclose(opened, np.cos(angles[0]), atol=1e-3)


@pytest.mark.parametrize("make", [maker for _, maker in (*RIGID, *ARTICULATED)])
def test_every_kind_of_thing_is_drawn(make: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olift_fast.data.generator.objects.RIGID", ((1.0, make),))
    batch = AnimalGenerator(3).batch(2, 4, "object")
    assert np.isfinite(batch.joints).all() and read_names(batch.skeleton.names) == (None,) * batch.skeleton.num_joints


@pytest.mark.parametrize("way", WAYS)
def test_carried_things_are_only_turned_and_moved(way: str) -> None:
    rng = np.random.default_rng(1)
    shapes = np.repeat(rng.normal(size=(7, 3, 40, 1)), 30, axis=-1).astype(np.float32)
    moved = carry(rng, shapes, {way: 1.0}, rng.uniform(18, 70, 40)).astype(float)
    apart = np.linalg.norm(moved[:, None] - moved[None], axis=2)
    assert np.allclose(apart, np.linalg.norm(shapes[:, None] - shapes[None], axis=2), atol=1e-3)
    volume = np.linalg.det(np.moveaxis(moved[1:4] - moved[:1], (0, 1), (-2, -1)))
    assert np.allclose(volume, np.linalg.det(np.moveaxis(shapes[1:4] - shapes[:1], (0, 1), (-2, -1))), atol=1e-2)
    turned = np.array([degrees_between(rotations(moved[:, :, clip])).max() for clip in range(40)])
    upright = np.ptp(moved[:, 2] - moved[:, 2].mean(axis=0), axis=-1).max(axis=0)
    drift = np.ptp(moved.mean(axis=0), axis=-1).max(axis=0)
    if way == "standing":
        assert turned.max() < 0.1 and drift.max() < 1e-3
    else:
        assert np.median(turned) > 8
    assert (upright.max() < 1e-3) == (way in ("standing", "turned", "driven"))
    assert (np.median(drift) > 0.2) == (way not in ("standing", "turned"))


def test_moves_follow_each_other_and_are_smooth() -> None:
    rate = np.full(50, 30.0)
    progress = moves(np.random.default_rng(2), rate, 60, 1.0, (0.3, 1.0))
    assert progress.min() == 0 and progress.max() == 1 and (np.diff(progress, axis=-1) >= 0).all()
    running = (progress > 0) & (progress < 1)
    assert running.sum(axis=0).max() == 1, "one move at a time"
    # A move of least jerk is at most 1.875 times as fast as its mean.
    assert np.diff(progress, axis=-1).max() <= 1.875 / (0.3 * 30) + 1e-3
    assert 0.2 < np.mean(progress[0, :, 0] == 0) < 0.9, "some are on their way in the first frame"


def only(body: Body, *postures: Posture) -> Body:
    body.postures = postures
    body.any_attitude, body.still = 0.0, 0.0
    return body


@pytest.mark.parametrize(("make", "postures"), [(quadruped_postures, QUADRUPED), (human_postures, HUMAN)])
def test_bodies_on_the_ground_stay_on_it(make: Callable[[np.random.Generator], Body], postures: tuple) -> None:
    grounded = [posture for posture in postures if posture.support == "ground"]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        body = only(make(rng), *grounded)
        body.gaits = tuple(gait for gait in body.gaits if gait.airborne == 0)
        height = animate(body, rng, 12, 48, FPS).positions[:, 2]
        assert np.abs(height.min(axis=0)).mean() < 0.05 * np.ptp(height, axis=0).mean()


def heights(body: Body, rng: np.random.Generator, *names: str) -> list[np.ndarray]:
    found = [node.name for node in body.nodes]
    z = animate(body, rng, 24, 30, FPS).positions[:, 2]
    size = np.linalg.norm(animate(body, rng, 1, 1, FPS).offsets, axis=1).sum()
    return [z[found.index(name)].mean() / size for name in names]


def test_postures_are_what_they_say() -> None:
    """Sitting, the chest is over the pelvis; on the belly and the side, the trunk is low; rearing, the head is up."""
    sits, belly, side, rears, grazes = QUADRUPED[1], QUADRUPED[2], QUADRUPED[5], QUADRUPED[7], QUADRUPED[9]
    stands = QUADRUPED[0]
    found = {}
    for name, posture in {
        "stands": stands, "sits": sits, "belly": belly, "side": side, "rears": rears, "grazes": grazes
    }.items():  # fmt: skip
        rows = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            rows.append(heights(only(quadruped_postures(rng), posture), rng, "pelvis", "chest", "nose"))
        found[name] = np.mean(rows, axis=0)
    pelvis, chest, nose = np.array([found[name] for name in ("stands", "sits", "belly", "side", "rears", "grazes")]).T
    assert chest[1] > pelvis[1] + 0.5 * (chest[0] - pelvis[1]) and pelvis[1] < 0.75 * pelvis[0]
    assert max(chest[2], pelvis[2], chest[3], pelvis[3]) < 0.7 * min(chest[0], pelvis[0])
    assert nose[4] > 1.2 * nose[0] and nose[5] < 0.7 * nose[0]


def test_postures_change_within_a_clip() -> None:
    rng = np.random.default_rng(4)
    body = only(quadruped_postures(rng), QUADRUPED[0], QUADRUPED[2])
    names = [node.name for node in body.nodes]
    body.gaits = tuple(gait for gait in body.gaits if gait.airborne == 0)
    spread = {}
    for changes in (0.0, 1.0):
        body.changes = changes
        z = animate(body, np.random.default_rng(5), 40, 90, (30.0, 30.0)).positions[names.index("pelvis"), 2]
        spread[changes] = np.median(np.ptp(z, axis=-1) / z.max(axis=-1))
    assert spread[1.0] > 1.5 * spread[0.0]


def test_a_shaken_body_rolls_to_and_fro_several_times_a_second() -> None:
    rolls = []
    for shake in (0.0, 18.0):
        body = only(quadruped_postures(np.random.default_rng(3)), Posture(gait=0.0, shake=shake))
        body.changes = 0.0
        names = [node.name for node in body.nodes]
        z = animate(body, np.random.default_rng(4), 40, 60, (40.0, 40.0)).positions[:, 2]
        roll = z[names.index("left_hip")] - z[names.index("right_hip")]
        turns = np.diff(np.sign(np.diff(roll, axis=-1)), axis=-1) != 0
        rolls.append((np.median(np.ptp(roll, axis=-1)), np.median(turns.sum(axis=-1))))
    (still_range, _), (range_, turns_) = rolls
    assert range_ > 1.5 * still_range and 2 * 3 * 1.5 - 2 <= turns_ <= 2 * 6 * 1.5 + 3


def test_fingers_flex_as_far_as_those_of_recorded_hands(real_data) -> None:  # type: ignore[no-untyped-def]
    """Ranges (5 to 95 %) of a finger's bends; recorded by a Leap sensor, and posed by artists."""
    rng = np.random.default_rng(6)
    made = []
    for _ in range(10):
        body = FAMILIES["hand_at_work"](rng)
        names = [node.name for node in body.nodes]
        chain = [names.index(f"index_{k}") for k in (1, 2, 3, 4)]
        made.append(bends(animate(body, rng, 12, 30, FPS).positions[chain].transpose(2, 3, 0, 1).reshape(-1, 4, 3)))
    made_range = np.quantile(np.concatenate(made), (0.05, 0.95), axis=0)
    for file, joints in (
        ("recorded/hands_leap", ("index_mcp", "index_pip", "index_dip", "index_tip")),
        ("animated/hands_handy_left", ("index-proximal", "index-intermediate", "index-distal", "index-tip")),
    ):
        with np.load(real_data / f"{file}.npz") as stored:
            found = list(stored["joint_names"])
            real = bends(stored["positions"][:, [found.index(name) for name in joints]])
        real_range = np.quantile(real, (0.05, 0.95), axis=0)
        assert (np.abs(made_range - real_range) < 40).all(), f"{file}: {real_range}, generated {made_range}"


def chirality(index: np.ndarray, middle: np.ndarray, little: np.ndarray, wrist: np.ndarray) -> np.ndarray:
    """Negative for a right hand, positive for a left one, of which fingers (B, 4, 3) are bent toward the palm.

    Seen from the side of the palm, with the fingers up, a right hand's index finger is on the right.
    """
    back_to_palm = np.cross(index[:, 0] - little[:, 0], middle[:, 0] - wrist)
    return -(back_to_palm * (middle[:, 3] - middle[:, 1] + index[:, 3] - index[:, 1])).sum(axis=1)


@pytest.mark.parametrize("family", ["hand", "hand_at_work"])
def test_hands_are_told_which_they_are(family: str) -> None:
    right = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        body = FAMILIES[family](rng)
        made = all_joints(body)
        positions = animate(body, rng, 12, 30, FPS).positions.transpose(2, 3, 0, 1).reshape(-1, len(body.nodes), 3)
        finger = {
            name: positions[:, [made.skeleton.names.index(f"{name}_{k}") for k in (1, 2, 3, 4)]]
            for name in ("index", "middle", "little")
        }
        found = np.median(chirality(**finger, wrist=positions[:, made.skeleton.names.index("wrist")]))
        assert set(made.skeleton.sides) == {int(np.sign(found))}
        right.append(made.skeleton.sides[0] < 0)
    assert 0 < sum(right) < len(right)


@pytest.mark.parametrize("file", ["hands_leap", "hands_handy_left", "hands_handy_right", "hands_xrtools_left"])
def test_recorded_hands_are_those_that_they_are_told_to_be(real_data: Path, file: str) -> None:
    motion = load_motion(next(real_data.glob(f"*/{file}.npz")))
    names = [re.sub(r"[-_ ]", " ", name.lower()) for name in motion.skeleton.names]
    phalanges = (("mcp", "proximal"), ("pip", "intermediate"), ("dip", "distal"), ("tip",))

    def place(finger: str, words: Sequence[str]) -> int:
        return next(k for k, name in enumerate(names) if finger in name and any(word in name for word in words))

    def points(finger: str) -> np.ndarray:
        return motion.positions[:, [place(finger, words) for words in phalanges]]

    little = points("little" if any("little" in name for name in names) else "pinky")
    wrist = motion.positions[:, next(k for k, name in enumerate(names) if "wrist" in name or name == "palm")]
    found = np.sign(chirality(points("index"), points("middle"), little, wrist))
    assert set(motion.skeleton.sides) == {int(np.sign(np.median(found)))}
    for start, stop in motion.clips:
        assert np.median(found[start:stop]) == motion.skeleton.sides[0] or file != "hands_leap"


def bends(chain: np.ndarray) -> np.ndarray:
    """Degrees (B, 2) by which a chain of joints (B, 4, 3) is bent at its second and third."""
    bone = np.diff(chain.astype(float), axis=1)
    bone /= np.linalg.norm(bone, axis=-1, keepdims=True)
    return np.degrees(np.arccos(np.clip((bone[:, 1:] * bone[:, :-1]).sum(axis=-1), -1, 1)))


def test_names_of_animals_tell_their_parts_and_those_of_things_nothing() -> None:
    for family in ("quadruped_postures", "human_postures", "hand_at_work", "object", "articulated"):
        skeleton = AnimalGenerator(2, corruption=Corruption.none(), camera=CameraRange()).batch(1, 1, family).skeleton
        read = [part is not None for part in read_names(skeleton.names)]
        assert all(read) if family not in ("object", "articulated") else not any(read), skeleton.names
