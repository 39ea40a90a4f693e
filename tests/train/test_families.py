"""Weights of groups of recordings, and families and persons that are held out whole."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from olift_fast.data.mocap import cut_clips, load_motion, segments_of, split
from olift_fast.data.sources import MotionSource
from olift_fast.errors import InputError
from olift_fast.train import fit, load_config
from olift_fast.train.config import Config, EarlyStop, Run
from olift_fast.train.evaluate import FLAT, evaluate, flat, mean_scores, score
from olift_fast.train.families import (
    VALIDATION,
    check_patterns,
    expanded,
    held_out_as,
    held_out_whole,
    recordings,
    shared_weights,
)
from olift_fast.train.held_out import held_out_batches, held_out_families
from olift_fast.train.mixture import Mixture
from olift_fast.train.schedule import Schedule
from olift_fast.train.toml import as_change

JOINTS = ["hip", "knee_l", "knee_r", "foot_l", "foot_r"]
EDGES = [(0, 1), (0, 2), (1, 3), (2, 4)]


def write(folder: Path, name: str, takes: int = 3, frames: int = 70, **changed: object) -> None:
    rng = np.random.default_rng()
    folder.mkdir(exist_ok=True)
    positions = rng.normal(0, 0.05, (takes * frames, 5, 3)).cumsum(axis=0) + rng.normal(size=(5, 3))
    content = {
        "positions": positions,
        "joint_names": JOINTS,
        "edges": EDGES,
        "fps": 30.0,
        "clip_starts": np.arange(takes) * frames,
    }
    np.savez(folder / f"{name}.npz", **{**content, **changed})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "motion3d", "walk")
    for name in ("box_a", "box_b", "box_c", "cat"):
        write(tmp_path / "animated", name, frames=20, cyclic=[True, True, False])
    write(tmp_path / "recorded", "people", takes=4, subjects=["s1", "s1", "s2", "s3"])
    write(tmp_path / "recorded", "crowd", clip_names=["anna_1", "anna_2", "bob_1"])
    return tmp_path


def mixture(data: Path, **changed: object) -> Mixture:
    whole = [data / "animated", data / "recorded"]
    return Mixture(real=data / "motion3d", real_whole=whole, frames=12, clips=2, **changed)  # type: ignore[arg-type]


def sources(made: Mixture) -> dict[str, MotionSource]:
    return {source.name: source for source, _ in made.real_sources if isinstance(source, MotionSource)}


def test_the_weight_of_a_pattern_is_shared_by_its_group() -> None:
    given = {"b*": 1.0, "box_a": 3.0, "box_?": 2.0, "[cd]*": 0.5, "far_*": 9.0}
    weights = shared_weights(["bat", "box_a", "box_b", "cat", "dog", "eel"], given)
    assert weights == {"bat": 0.5, "box_a": 3.0, "box_b": 0.5, "cat": 0.25, "dog": 0.25, "eel": 1.0}


def test_groups_are_drawn_by_their_weight(data: Path) -> None:
    weights = {"box_*": 3.0, "cat": 1.0, "walk": 2.0, "[pc]*": 0.0}
    made = mixture(data, real_weights=weights, held_out=["box_c"], real_share=1.0)
    assert {source.name: weight for source, weight in made.real_sources} == {
        "walk": 2.0,
        "box_a": 1.5,
        "box_b": 1.5,
        "cat": 1.0,
    }
    drawn = Counter(group.family for group in itertools.islice(made.groups(), 600))
    for name, weight in {"walk": 2.0, "box_a": 1.5, "box_b": 1.5, "cat": 1.0}.items():
        assert abs(drawn[name] / 600 - weight / 6) < 0.08


def test_folders_are_used_whole_or_in_their_training_part(data: Path) -> None:
    found = sources(mixture(data))
    assert list(found) == ["walk", "box_a", "box_b", "box_c", "cat", "crowd", "people"]
    walk = load_motion(data / "motion3d" / "walk.npz")
    assert [part.clip_name for part in found["walk"].segments] == [part.clip_name for part in split(walk)[0]]
    assert len(found["people"].segments) == 4 and [part.cyclic for part in found["cat"].segments] == [True, True, False]


def test_families_and_persons_are_never_trained_on_and_are_all_that_is_scored(data: Path) -> None:
    patterns = ["box_[ab]", "people:s[13]", "crowd:anna_*", "walk"]
    found = sources(mixture(data, held_out=patterns))
    assert set(found) == {"box_c", "cat", "people", "crowd"}
    assert [part.subject for part in found["people"].segments] == ["s2"]
    assert [part.clip_name for part in found["crowd"].segments] == ["bob_1"]
    families = held_out_families(mixture(data).folders, patterns, cameras=3)
    # Loops of 20 frames go round, and of takes of 70 frames there is one clip each.
    clips = {"walk": 9, "box_a": 6, "box_b": 6, "crowd:anna_*": 6, "people:s[13]": 9}
    assert {name: len(batch) for name, batch in families.items()} == clips
    assert all(batch.visible.shape[1] == 48 for batch in families.values())
    looped = families["box_a"].joints
    assert np.isfinite(looped).all() and not np.allclose(looped[0], looped[3])


def test_clips_of_a_family_depend_on_its_name_and_the_seed_alone(data: Path) -> None:
    folders = mixture(data).folders
    alone = held_out_families(folders, ["people:s1"], noise=True)
    among = held_out_families(folders, ["box_*", "people:s1"], noise=True)
    np.testing.assert_array_equal(alone["people:s1"].keypoints, among["people:s1"].keypoints)
    other = held_out_families(folders, ["people:s1"], noise=True, seed=1)
    assert not np.array_equal(alone["people:s1"].keypoints, other["people:s1"].keypoints)
    motion = load_motion(data / "recorded" / "people.npz")
    assert len(alone["people:s1"]) == 4 * len(cut_clips([s for s in segments_of(motion) if s.subject == "s1"]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"held_out": ["box_x"]}, "held_out must match recordings of walk, box_a, .*, got 'box_x'"),
        ({"held_out": ["people:s4"]}, "held_out must match subjects or takes of people: s1, s2, s3, got 'people:s4'"),
        ({"held_out": ["crowd:carl*"]}, "held_out must match .* anna_1, anna_2, bob_1, got 'crowd:carl"),
        ({"real_weights": {"bix_*": 1.0}}, r"real_weights must name recordings of walk, .*, got bix_\*"),
        ({"held_out": ["*"]}, "one source at least must have a weight above 0"),
    ],
)
def test_what_matches_nothing_is_told(data: Path, changed: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _ = mixture(data, **changed).real_sources


def test_scoring_what_matches_nothing_is_told(data: Path) -> None:
    with pytest.raises(InputError, match="got 'unicorn'"):
        held_out_families([data / "animated"], ["cat", "unicorn"])
    with pytest.raises(InputError, match="got 'people:s9'"):
        held_out_families([data / "recorded"], ["people:s9"])
    with pytest.raises(InputError, match="got 'crowd:'"):
        held_out_families([data / "recorded"], ["crowd:"])
    with pytest.raises(InputError, match="must hold recordings that @validation matches, found none"):
        held_out_families([data / "recorded"], ["@validation"])
    with pytest.raises(InputError, match=r"no \.npz recordings here"):
        held_out_families([data], ["cat"])


def test_two_recordings_of_one_name_are_told(data: Path) -> None:
    write(data / "recorded", "walk")
    with pytest.raises(InputError, match=r"names of their own, got .*motion3d.walk.npz and .*recorded.walk.npz"):
        recordings([data / "motion3d", data / "recorded"])


def test_means_count_each_family_once(data: Path) -> None:
    families = ["cat", "people:s1"]
    rows = evaluate({}, data, families=families)
    assert [row.source for row in rows] == ["cat", "people:s1", "mean of 2 families"]
    assert {row.method for row in rows} == {FLAT}
    for name, batch in held_out_families([data / "animated", data / "recorded"], families).items():
        assert rows[families.index(name)] == score(name, batch, FLAT, flat)
    first, second, mean = (row.values["sa_mpjpe"] for row in rows)
    assert first and second and mean == pytest.approx((first + second) / 2, abs=0.006)
    assert mean_scores(rows[:2]) == rows[2:]


def test_early_stopping_scores_the_families(data: Path, tmp_path: Path) -> None:
    made = mixture(data, held_out=["cat", "people:s1"], skeletons=1)
    assert len(held_out_batches(None, 1, made.folders, made.held_out)) == 2
    assert len(held_out_batches(data, 1, made.folders, made.held_out)) == 3
    config = load_config("study")
    stopping = Config(
        Schedule(steps=2), Run(tmp_path / "out", workers=0), config.model, made, EarlyStop(every=1, held_out=True)
    )
    fit(stopping)
    logged = (tmp_path / "out" / "log.csv").read_text().splitlines()
    assert float(logged[-1].split(",")[-1]) > 0
    with pytest.raises(InputError, match=r"early_stop.held_out = true needs families in data.held_out, got none"):
        Config(Schedule(steps=2), Run(tmp_path), early_stop=EarlyStop(held_out=True))


def test_patterns_can_be_set_on_the_command_line(data: Path) -> None:
    changes = [as_change("data.real_weights", {"box_*": 2.0, "cat": 1.0}), "data.real_weights.[pc]*=0.5"]
    config = load_config("study", [*changes, 'data.held_out=["cat", "people:s1"]', 'data.real_whole=["a"]'])
    assert config.data.real_weights == {"box_*": 2.0, "cat": 1.0, "[pc]*": 0.5}
    assert config.data.held_out == ("cat", "people:s1") and config.data.real_whole == (Path("a"),)


@pytest.mark.slow
def test_validation_is_a_fifth_of_all_with_its_twins(real_data: Path) -> None:
    paths = recordings([real_data / "animated", real_data / "recorded"])
    check_patterns(VALIDATION, paths, [])
    held = {name for name in paths if held_out_whole(name, VALIDATION)}
    assert 0.15 < len(held) / len(paths) < 0.25
    twins = (
        {"draconis_fire_dragon", "draconis_ice_dragon"},
        {"qs_wolf", "qs_fox", "qs_dog_husky", "qs_dog_shiba"},
        {"qs_velociraptor", "qs_parasaurolophus"},
        {"animalia_rat", "animalia_opossum"},
        {"qs_horse", "qs_donkey", "qs_alpaca", "qs_deer", "qs_stag"},
        {name for name in paths if name.startswith("qs_fish_")},
        {"human_qs_men", "human_qs_women"},
        {"hands_handy_left", "hands_handy_right"},
        {"hands_xrtools_left", "hands_xrtools_right"},
        *({name, f"{name}_hands"} for name in paths if f"{name}_hands" in paths),
    )
    assert all(group <= set(paths) and len(group & held) in (0, len(group)) for group in twins)
    named = [pattern for pattern in VALIDATION if ":" in pattern]
    segments = [s for name in {p.partition(":")[0] for p in named} for s in segments_of(load_motion(paths[name]))]
    check_patterns(named, paths, segments)
    apart = {held_out_as(segment, named) for segment in segments}
    assert apart == {None, *named}
    # A person of CMU who is seen in several files is in validation with all of them or with none.
    cmu = [s for name in paths if name.startswith("human_cmu_") for s in segments_of(load_motion(paths[name]))]
    sides: dict[str, set[bool]] = {}
    for segment in (segment for segment in cmu if segment.subject):
        sides.setdefault(segment.subject, set()).add(held_out_as(segment, VALIDATION) is not None)
    assert all(len(each) == 1 for each in sides.values())


@pytest.mark.slow
def test_the_recipe_of_all_recordings_trains_on_none_of_validation(real_data: Path) -> None:
    where = {key: real_data / key for key in ("motion3d", "animated", "recorded")}
    changes = [f"data.real='{where['motion3d']}'", f"data.real_whole=['{where['animated']}', '{where['recorded']}']"]
    made = load_config("study-all", changes).data
    held = held_out_families(made.folders, made.held_out, cameras=1)
    assert len(held) > 40 and all(np.isfinite(batch.joints).all() for batch in held.values())
    assert expanded(made.held_out) == VALIDATION
    found = sources(made)
    assert len(found) > 140 and not set(found) & set(held) and not any(name.endswith("_hands") for name in found)
    assert not any(held_out_as(part, VALIDATION) for source in found.values() for part in source.segments)
    assert {batch.keypoints.shape[1] for batch in made.pool(0)} == {12, 48}
