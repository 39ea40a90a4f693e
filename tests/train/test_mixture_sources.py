"""The mixture's sources: the same groups as before there were sources, shares by weight, and errors."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from olift_fast.data.animalsyn3d import load_animalsyn3d, load_animation, split_animations
from olift_fast.data.augmentation import recombine
from olift_fast.data.cameras import CameraRange, project, random_cameras
from olift_fast.data.clips import ClipBatch, mirror
from olift_fast.data.corruption import Corruption, corrupt
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import first_frames, load_all, sample_clips, split
from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train.mixture import Mixture

WEIGHTS = {"crawl": 3.0, "swim": 1.0}


@dataclass(frozen=True)
class Constant:
    """Clips whose family is the name of their source."""

    name: str
    value: float = 1.0

    def draw(self, rng: np.random.Generator, clips: int, frames: int) -> ClipBatch:
        shape = (clips, frames, 2)
        keypoints = np.full((*shape, 2), self.value, np.float32)
        seen = np.ones(shape, dtype=bool)
        return ClipBatch(keypoints, seen, np.zeros((*shape, 3), np.float32), seen, Skeleton(("a", "b")), self.name)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index, name in enumerate(WEIGHTS):
        positions = rng.normal(0, 0.05, (300, 5 + index, 3)).cumsum(axis=0) + rng.normal(size=(5 + index, 3))
        names = ["hip", "knee_l", "knee_r", "foot_l", "foot_r", "head"][: 5 + index]
        edges = [(0, 1), (0, 2), (1, 3), (2, 4), (0, 5)][: 4 + index]
        np.savez(tmp_path / f"{name}.npz", positions=positions, joint_names=names, edges=edges, fps=30.0)
    return tmp_path


def first_recipe(mixture: Mixture, folder: Path) -> Iterator[ClipBatch]:
    """Groups as they were drawn before there were sources."""
    rng = np.random.default_rng((mixture.seed, 0, 1))
    generator = AnimalGenerator((mixture.seed, 0), None, CameraRange(), Corruption())
    motions = load_all(folder)
    weights = np.array([WEIGHTS[name] for name in motions])
    while True:
        if rng.random() < 0.45:
            name = list(motions)[int(rng.choice(len(motions), p=weights / weights.sum()))]
            skeleton = motions[name].skeleton
            positions = sample_clips(split(motions[name])[0], 3, 8, rng, (0.6, 1.8))
            positions = recombine(positions, skeleton, rng, 0.5)
            true, joints = project(positions, random_cameras(rng, positions, CameraRange()))
            keypoints, visible, _ = corrupt(rng, true, skeleton, Corruption(), depth=joints[..., 2])
            group = ClipBatch(keypoints, visible, joints, np.ones_like(visible), skeleton, name)
        else:
            group = generator.batch(3, 8)
        yield mirror(group) if rng.random() < 0.5 else group


@pytest.mark.slow
def test_the_same_seed_draws_the_same_numbers_as_before_there_were_sources(recordings: Path) -> None:
    mixture = Mixture(seed=4, frames=8, clips=3, real=recordings, real_weights=WEIGHTS, recombined=0.5)
    groups = list(islice(mixture.groups(), 40))
    assert {"crawl", "swim"} < {group.family for group in groups}
    for group, wanted in zip(groups, first_recipe(mixture, recordings), strict=False):
        assert group.family == wanted.family and group.skeleton == wanted.skeleton
        for name in ("keypoints", "visible", "joints", "labelled"):
            np.testing.assert_array_equal(getattr(group, name), getattr(wanted, name))


@pytest.mark.slow
def test_sources_are_drawn_by_weight_beside_recordings(recordings: Path) -> None:
    other = [(Constant("mine"), 4.0), (Constant("unused"), 0.0)]
    mixture = Mixture(frames=2, clips=1, real=recordings, real_weights=WEIGHTS, real_share=1, sources=other)
    counts = Counter(group.family for group in islice(mixture.groups(), 400))
    assert set(counts) == {"mine", "crawl", "swim"}
    assert counts["mine"] == pytest.approx(200, abs=40) and counts["crawl"] == pytest.approx(150, abs=40)


@pytest.mark.slow
def test_sources_alone_share_with_the_generator_and_are_mirrored() -> None:
    mixture = Mixture(frames=2, clips=1, sources=[(Constant("mine", 7.0), 1.0)], real_share=0.7)
    groups = list(islice(mixture.groups(), 100))
    mine = [group for group in groups if group.family == "mine"]
    assert 55 < len(mine) < 85
    assert {float(group.keypoints[0, 0, 0, 0]) for group in mine} == {7.0, -7.0}
    assert next(pickle.loads(pickle.dumps(mixture)).groups()).family == groups[0].family


def test_a_recording_without_a_weight_is_drawn_too_and_a_weight_of_0_leaves_it_out(recordings: Path) -> None:
    drawn = [source.name for source, _ in Mixture(real=recordings).real_sources]
    assert drawn == ["crawl", "swim"]
    weighted = Mixture(real=recordings, real_weights={"swim": 0, "crawl": 2.5}).real_sources
    assert [(source.name, weight) for source, weight in weighted] == [("crawl", 2.5)]
    # Left out, it may be too short to be split.
    with np.load(recordings / "swim.npz") as archive:
        short = {name: archive[name][:40] if name == "positions" else archive[name] for name in archive.files}
    np.savez(recordings / "stub.npz", **short)
    with pytest.raises(InputError, match="stub: 40 frames are too few"):
        next(Mixture(real=recordings).groups())
    assert len(Mixture(real=recordings, real_weights={"stub": 0}).real_sources) == 2


@pytest.mark.slow
def test_animalsyn3d_and_human36m_are_drawn_by_path_and_their_held_out_part_never(tmp_path: Path) -> None:
    folder, path = tmp_path / "AnimalSyn3D" / "unicorn", tmp_path / "h36m.npz"
    folder.mkdir(parents=True)
    for index in range(5):
        # Each animation has its own depth, which identifies it in a clip.
        seen = np.random.default_rng(0).uniform([-1, -1, 4 + index], [1, 1, 6 + index], (20, 4, 3))
        content = {
            "model": "unicorn",
            "animation": f"Walk{index}",
            "connections": [[0, 1]],
            "camera": {
                "intrinsic": [[1000, 0, 540], [0, 1000, 540], [0, 0, 1]],
                "extrinsic": np.eye(4)[:3].tolist(),
                "width": 1080,
                "height": 1080,
            },
            "points": {"2d": (seen[..., :2] / seen[..., 2:] * 1000 + 540).tolist(), "cam_3d": seen.tolist()},
        }
        (folder / f"Walk{index}.json").write_text(json.dumps(content))
    walk = np.random.default_rng(0).normal(size=(60, 17, 3)).cumsum(axis=0)
    stretched = walk * [1, 1, 50]
    np.savez(path, **{"S1/Walking": walk, "S9/Walking": stretched})  # type: ignore[arg-type]

    mixture = Mixture(
        frames=8,
        clips=2,
        animalsyn3d=folder.parent,
        human36m=path,
        real_weights={"animalsyn3d": 3.0},
        real_share=1,
        mirrored=0,
        speed=(1, 1),
        corruption=Corruption.none(),
    )
    assert [(s.name, weight) for s, weight in mixture.real_sources] == [("animalsyn3d", 3.0), ("human36m", 1.0)]
    groups = list(islice(mixture.groups(), 120))
    counts = Counter(group.family for group in groups)
    assert counts["unicorn"] + counts["human36m"] == 120 and 75 < counts["unicorn"] < 105
    # Four of five animations; no S9, who stands 50 times as tall.
    kept = {animation.source for animation in split_animations(load_animalsyn3d(folder.parent))[1]["unicorn"]}
    assert len(kept) == 1
    pictures = {f"unicorn/Walk{i}": load_animation(folder / f"Walk{i}.json").keypoints_2d for i in range(5)}
    drawn = set()
    for group in groups:
        for clip in group.keypoints if group.family == "unicorn" else ():
            for name, pixels in pictures.items():
                if any(np.allclose(pixels[0, start : start + 8], clip, atol=0.01) for start in range(13)):
                    drawn.add(name)
    assert drawn == set(pictures) - kept
    tall = [np.ptp(g.joints[..., 1]) / np.ptp(g.joints[..., 0]) for g in groups if g.family == "human36m"]
    assert max(tall) < 10


def test_weights_that_draw_nothing_are_refused(recordings: Path) -> None:
    none = Mixture(real=recordings, real_weights={"swim": 0, "crawl": 0}, sources=[(Constant("mine"), 0)])
    with pytest.raises(
        InputError, match=r"one source at least must have a weight above 0, got .*'crawl': 0, 'mine': 0"
    ):
        next(none.groups())
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="weight of mine must be a number >= 0, got"):
            next(Mixture(sources=[(Constant("mine"), weight)]).groups())
    with pytest.raises(InputError, match="no such folder of recordings"):
        next(Mixture(real=recordings / "nowhere").groups())


@pytest.mark.slow
def test_batches_of_several_lengths_have_as_many_frames_each(recordings: Path) -> None:
    given = {"seed": 1, "real": recordings, "real_weights": WEIGHTS, "skeletons": 2, "clips": 3}
    mixture = Mixture(**given, lengths={4: 3, 8: 1})
    batches = list(islice(mixture.batches(), 64))
    shapes = Counter(tuple(batch.keypoints.shape[:2]) for batch in batches)
    assert set(shapes) == {(12, 4), (6, 8)} and 35 <= shapes[12, 4] <= 60
    assert len({float(batch.joints.abs().sum()) for batch in batches}) == 64
    # `batches` promises that a batch depends on the seed and its number alone.
    for batch, again in zip(batches[21:], islice(mixture.batches(21), 5), strict=False):
        assert (batch.keypoints == again.keypoints).all() and (batch.joints == again.joints).all()
    other = next(Mixture(**given, lengths={8: 1, 4: 3}).batches())
    assert (other.joints == batches[0].joints).all(), "the order in which lengths are named is of no matter"
    lengths = [batch.keypoints.shape[1] for batch in batches[:16]]
    assert sorted(lengths) != lengths, "short and long ones must alternate"


def test_a_recording_is_cut_to_its_first_frames(recordings: Path) -> None:
    mixture = Mixture(real=recordings, real_weights=WEIGHTS, real_frames={"swim": 20})
    crawl, swim = (source.segments for source, _ in mixture.real_sources)
    whole = split(load_all(recordings)["swim"])[0]
    assert sum(len(segment.positions) for segment in crawl) > 100
    assert [len(segment.positions) for segment in swim] == [20]
    assert (swim[0].positions == whole[0].positions[:20]).all() and swim[0].stop == swim[0].start + 20
    with pytest.raises(InputError, match=r"real_frames must name recordings of crawl, swim, got fly"):
        _ = Mixture(real=recordings, real_weights=WEIGHTS, real_frames={"fly": 20}).real_sources
    with pytest.raises(InputError, match=r"real_frames must name recordings of a folder data.real, got fly"):
        _ = Mixture(sources=[(Constant("c"), 1.0)], real_frames={"fly": 20}).real_sources


def test_first_frames_of_several_segments(recordings: Path) -> None:
    segment = split(load_all(recordings)["swim"])[0][0]
    both = [segment, segment]
    assert [len(part.positions) for part in first_frames(both, len(segment.positions) + 7)] == [
        len(segment.positions),
        7,
    ]
    assert [len(part.positions) for part in first_frames(both, 5)] == [5]
    assert [len(part.positions) for part in first_frames(both, None)] == [len(segment.positions)] * 2
