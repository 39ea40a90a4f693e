"""Generated animals: deterministic, well-formed bodies that keep their bones and their joint limits."""

from __future__ import annotations

import numpy as np
import pytest

from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch, concatenate, mirror
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import FAMILIES, WEIGHTS, AnimalGenerator
from olift_fast.data.generator.bodies import STRETCH
from olift_fast.data.generator.kinematics import forward_kinematics, rotation_matrices
from olift_fast.data.generator.motion import animate, limits
from olift_fast.data.generator.reported_joints import FEWEST, MOST, all_joints, choose_joints

FPS = (18.0, 70.0)


def same(a: ClipBatch, b: ClipBatch) -> bool:
    fields = ("keypoints", "visible", "joints", "labelled")
    return a.skeleton == b.skeleton and all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields)


def test_same_seed_gives_the_same_clips() -> None:
    first, second = AnimalGenerator(5), AnimalGenerator(5)
    for family in (None, "insect", None):
        assert same(first.batch(3, 11, family), second.batch(3, 11, family))


def test_clips_differ_between_seeds_calls_and_workers() -> None:
    batches = [AnimalGenerator(seed).batch(2, 9, "rodent") for seed in (1, 2, (1, 0), (1, 1), (1, 1, 0))]
    generator = AnimalGenerator(1)
    generator.batch(2, 9, "rodent")
    batches.append(generator.batch(2, 9, "rodent"))
    for i, a in enumerate(batches):
        assert not any(same(a, b) for b in batches[:i])


def test_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    AnimalGenerator(0).batch(2, 5)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frames", [1, 2, 48])
def test_batch_is_well_formed(family: str, frames: int) -> None:
    batch = AnimalGenerator(frames).batch(5, frames, family)
    joints = batch.skeleton.num_joints
    assert batch.family == family and FEWEST <= joints <= MOST
    assert batch.keypoints.shape == (5, frames, joints, 2) and batch.joints.shape == (5, frames, joints, 3)
    assert batch.keypoints.dtype == np.float32 and batch.joints.dtype == np.float32
    assert batch.visible.dtype == np.bool_ and batch.labelled.all()
    assert np.isfinite(batch.keypoints).all() and np.isfinite(batch.joints).all()
    assert np.all(batch.keypoints[~batch.visible] == 0)
    scale = np.abs(batch.joints).max()
    assert np.abs(batch.joints.mean(axis=2)).max() < 1e-4 * scale


@pytest.mark.parametrize("family", FAMILIES)
def test_bones_keep_their_length_and_sides_match(family: str) -> None:
    rng = np.random.default_rng(3)
    body = FAMILIES[family](rng)
    motion = animate(body, rng, 6, 40, FPS)
    for index, node in enumerate(body.nodes):
        if node.parent < 0:
            continue
        if any(turn.axis == STRETCH for turn in node.turns):
            continue
        length = np.linalg.norm(motion.positions[index] - motion.positions[node.parent], axis=0)
        true = np.linalg.norm(motion.offsets[index], axis=0)
        assert np.allclose(length, true[:, None], rtol=2e-4, atol=2e-4 * np.abs(motion.offsets).max())
        twin_length = np.linalg.norm(motion.offsets[node.twin], axis=0)
        assert np.allclose(true, twin_length, rtol=1e-6), f"{node.name} is as long as its twin"
        assert body.nodes[node.twin].side == -node.side


@pytest.mark.parametrize("family", FAMILIES)
def test_joints_keep_their_limits(family: str) -> None:
    rng = np.random.default_rng(4)
    for _ in range(3):
        body = FAMILIES[family](rng)
        angles = animate(body, rng, 8, 30, FPS).angles
        bounds = limits(body)
        assert np.all(angles >= bounds[:, 0, None, None] - 1e-5)
        assert np.all(angles <= bounds[:, 1, None, None] + 1e-5)


def interior_angle(positions: np.ndarray, names: list[str], a: str, b: str, c: str) -> np.ndarray:
    """Signed bend (B, T) at b towards the front of the body, in radians; seen from the body's left side."""
    first, middle, last = (positions[names.index(name)] for name in (a, b, c))
    across = positions[names.index("left_hip")] - positions[names.index("right_hip")]
    turn = np.cross(middle - first, last - middle, axis=0)
    return np.einsum("kbt,kbt->bt", turn, across)


@pytest.mark.parametrize("family", ["quadruped", "rodent", "human"])
def test_knees_and_elbows_bend_one_way(family: str) -> None:
    rng = np.random.default_rng(7)
    knees, elbows = [], []
    for _ in range(5):
        body = FAMILIES[family](rng)
        names = [node.name for node in body.nodes]
        positions = animate(body, rng, 10, 24, FPS).positions
        knees.append(interior_angle(positions, names, "left_hip", "left_knee", "left_ankle"))
        elbows.append(interior_angle(positions, names, "left_shoulder", "left_elbow", "left_wrist"))
    # Shins fold back; forearms fold forward. A person's arm may turn inward, so this holds for most elbows only.
    assert np.mean(np.stack(knees) > 0) > 0.97
    assert np.mean(np.stack(elbows) < 0) > (0.7 if family == "human" else 0.97)


def test_left_and_right_idle_alike_in_unison() -> None:
    body = FAMILIES["human"](np.random.default_rng(5))
    turns = [(index, k) for index, node in enumerate(body.nodes) for k in range(len(node.turns))]
    pairs = [(turns.index((body.nodes[i].twin, k)), row) for row, (i, k) in enumerate(turns) if body.nodes[i].side]
    left, right = np.array(pairs).T
    apart = []
    for share in (0.0, 1.0):
        body.in_unison = share
        angles = animate(body, np.random.default_rng(6), 40, 48, FPS).angles
        apart.append((angles[left] - angles[right]).std(axis=-1).mean() / angles[left].std(axis=-1).mean())
    assert apart[0] > 0.9 and apart[1] < 0.75 * apart[0]


def test_variety_is_how_much_bones_differ_between_clips() -> None:
    body = FAMILIES["human"](np.random.default_rng(5))
    spread = []
    for variety in (1.0, 0.35):
        body.variety = variety
        offsets = animate(body, np.random.default_rng(6), 40, 2, FPS).offsets
        spread.append(np.log(np.linalg.norm(offsets[1:], axis=1)).std(axis=-1).mean())
    assert 0.3 < spread[1] / spread[0] < 0.4


@pytest.mark.parametrize("family", ["quadruped", "lizard", "human", "bird"])
def test_lowest_joint_of_a_walker_stays_near_the_ground(family: str) -> None:
    rng = np.random.default_rng(8)
    body = FAMILIES[family](rng)
    body.postures = tuple(posture for posture in body.postures if posture.support == "ground")[:1]
    body.gaits = tuple(gait for gait in body.gaits if gait.airborne == 0)
    body.any_attitude = 0.0
    height = animate(body, rng, 16, 48, FPS).positions[:, 2]
    size = np.ptp(height, axis=0).mean()
    assert np.abs(height.min(axis=0)).mean() < 0.05 * size


def test_heads_are_in_front() -> None:
    rng = np.random.default_rng(9)
    for family in ("quadruped", "rodent", "lizard", "bird", "insect"):
        body = FAMILIES[family](rng)
        names = [node.name for node in body.nodes]
        rest = np.zeros((1, 3, 1), np.float32)
        parents = np.array([node.parent for node in body.nodes])
        offsets = np.stack([node.offset for node in body.nodes]).astype(np.float32)[:, :, None]
        positions = forward_kinematics(parents, offsets, np.array([0]), rest)
        assert positions[names.index("head"), 0, 0] > positions[:, 0].mean()


def test_forward_kinematics_turns_children_about_their_parent() -> None:
    parents = np.array([-1, 0, 1])
    offsets = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0]], np.float32)[:, :, None]
    quarter = np.array([[0, 0, np.pi / 2], [0, 0, np.pi / 2]], np.float32)[:, :, None]
    positions = forward_kinematics(parents, offsets, np.array([0, 1]), quarter)[..., 0]
    assert np.allclose(positions, [[0, 0, 0], [0, 1, 0], [-1, 1, 0]], atol=1e-6)


def test_rotation_matrices_match_the_matrix_exponential() -> None:
    linalg = pytest.importorskip("scipy.linalg", reason="scipy computes the matrix exponential")
    vectors = np.random.default_rng(0).normal(size=(3, 20)) * np.geomspace(1e-8, 3, 20)
    matrices = rotation_matrices(vectors.astype(np.float32))
    for k in range(20):
        x, y, z = vectors[:, k]
        exact = linalg.expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
        assert np.allclose(matrices[..., k], exact, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_edges_form_a_tree_over_all_joints(family: str) -> None:
    rng = np.random.default_rng(11)
    for _ in range(12):
        body = FAMILIES[family](rng)
        for reported in (all_joints(body), choose_joints(body, rng, without_edges=0.0)):
            joints = reported.skeleton.num_joints
            assert len(set(reported.nodes.tolist())) == joints
            assert len(reported.skeleton.edges) == joints - 1
            assert reported.skeleton.hop_distances().max() < joints, "connected"
            assert reported.skeleton.sides == tuple(body.nodes[node].side or body.side for node in reported.nodes)
            assert not body.side or family.startswith("hand")
            assert all(reported.skeleton.names[i] == body.nodes[n].name for i, n in enumerate(reported.nodes))


def test_links_follow_the_body() -> None:
    body = FAMILIES["human"](np.random.default_rng(0))
    skeleton = all_joints(body).skeleton
    links = {frozenset((skeleton.names[a], skeleton.names[b])) for a, b in skeleton.edges}
    assert {frozenset(("left_knee", "left_ankle")), frozenset(("right_elbow", "right_wrist"))} <= links


@pytest.mark.slow
def test_bodies_vary() -> None:
    generator = AnimalGenerator(0)
    skeletons = [generator.batch(1, 1).skeleton for _ in range(200)]
    families = [skeleton.name for skeleton in skeletons]
    assert set(families) == {FAMILIES[name](np.random.default_rng(0)).family for name in WEIGHTS}
    assert len({skeleton.num_joints for skeleton in skeletons}) >= 25
    assert len({frozenset(skeleton.names) for skeleton in skeletons}) >= 120
    bare = np.mean([not skeleton.edges for skeleton in skeletons])
    assert 0.01 <= bare <= 0.12
    orders = [np.all(np.diff([sorted(s.names).index(n) for n in s.names]) > 0) for s in skeletons]
    assert not any(orders)


def test_clips_of_a_batch_differ_in_shape_and_motion() -> None:
    rng = np.random.default_rng(2)
    body = FAMILIES["quadruped"](rng)
    motion = animate(body, rng, 20, 30, FPS)
    relative = np.linalg.norm(motion.offsets, axis=1)
    relative /= relative.mean(axis=0)
    assert np.std(relative[-1] / relative[-1].mean()) > 0.03
    centred = motion.positions - motion.positions.mean(axis=0)
    size = np.sqrt(np.square(centred).sum(axis=1).mean(axis=(0, 2)))
    speed = np.sqrt(np.square(np.diff(centred, axis=-1)).sum(axis=1)).mean(axis=(0, 2)) / size
    assert speed.max() > 3 * speed.min()


def test_target_overlays_the_image_of_a_clean_distant_clip() -> None:
    camera = CameraRange(weak=1.0)
    batch = AnimalGenerator(1, camera=camera, corruption=Corruption.none()).batch(4, 12, "quadruped")
    assert batch.visible.all()
    flat = batch.keypoints - batch.keypoints.mean(axis=2, keepdims=True)
    assert np.abs(flat - batch.joints[..., :2]).max() < 0.05 * np.abs(flat).max()


@pytest.mark.slow
def test_real_motion_lies_within_the_generated_range(real_data) -> None:  # type: ignore[no-untyped-def]
    """Joint speed relative to body size: the middle half of real clips falls between the generator's extremes."""
    rng = np.random.default_rng(0)
    for family, file in (("human", "human_cmu"), ("rodent", "rat_dannce23"), ("insect", "fly_df3d_30")):
        generated = []
        for _ in range(12):
            body = FAMILIES[family](rng)
            reported = choose_joints(body, rng)
            generated.append(speed(animate(body, rng, 12, 48, FPS).positions[reported.nodes].transpose(2, 3, 0, 1)))
        positions = np.load(real_data / "motion3d" / f"{file}.npz")["positions"]
        starts = rng.integers(0, len(positions) - 48, 60)
        real = np.quantile(speed(np.stack([positions[s : s + 48] for s in starts])), [0.25, 0.75])
        low, high = np.quantile(np.concatenate(generated), [0.02, 0.98])
        assert low <= real[0] and real[1] <= high, f"{family}: real {real}, generated {low:.4f} ... {high:.4f}"


def speed(positions: np.ndarray) -> np.ndarray:
    centred = positions - positions.mean(axis=2, keepdims=True)
    size = np.sqrt(np.square(centred).sum(-1).mean((1, 2)))
    return np.sqrt(np.square(np.diff(centred, axis=1)).sum(-1)).mean((1, 2)) / size


def test_mirror_swaps_sides_and_is_its_own_inverse() -> None:
    batch = AnimalGenerator(3).batch(3, 8, "human")
    turned = mirror(batch)
    assert turned.skeleton.sides == tuple(-side for side in batch.skeleton.sides)
    assert np.array_equal(turned.joints, batch.joints * np.array([-1, 1, 1], np.float32))
    assert np.array_equal(turned.keypoints, batch.keypoints * np.array([-1, 1], np.float32))
    assert same(mirror(turned), batch)


def test_concatenate_joins_clips_of_one_skeleton_only() -> None:
    batch = AnimalGenerator(3).batch(3, 8, "human")
    assert same(concatenate([batch, batch]), concatenate([batch, batch]))
    assert len(concatenate([batch, batch])) == 6
    with pytest.raises(ValueError, match="one skeleton and length"):
        concatenate([batch, AnimalGenerator(4).batch(3, 8, "bird")])
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])


@pytest.mark.slow
def test_families_can_be_chosen_and_are_checked() -> None:
    generator = AnimalGenerator(0, families=["bird", "fish"])
    assert {batch.family for batch, _ in zip(generator.stream(1, 2), range(30), strict=False)} == {"bird", "fish"}
    weighted = AnimalGenerator(0, families={"hand": 1.0, "bird": 0.0})
    assert {weighted.batch(1, 2).family for _ in range(5)} == {"hand"}
    with pytest.raises(ValueError, match="got unicorn"):
        AnimalGenerator(0, families=["bird", "unicorn"])
    with pytest.raises(ValueError, match="'unicorn'"):
        generator.batch(1, 2, "unicorn")
    with pytest.raises(ValueError, match="got 0 and 4"):
        generator.batch(0, 4)
