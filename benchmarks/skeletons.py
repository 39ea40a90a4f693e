"""How well bones are found from motion alone: ``python -m benchmarks.skeletons FOLDER``; ``fit`` finds the weights.

FOLDER holds recordings of 3D motion in motion3d/, recorded/ and animated/. Of every recording, one clip of 300 frames
is seen by an upright camera (0 … 40 degrees down) and one by an overhead camera (45 … 90), with a detector's faults.
The bones that are found are compared with the recording's own: F1 = 2 x common / (found + true). Joints in one place
and loops count like all others: a tree can't have a loop's last bone. Nothing is tuned on these recordings: the weights
come from generated animals, and ``fit`` prints them again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import FAMILIES, AnimalGenerator
from olift_fast.data.mocap import Motion, load_motion, segments_of
from olift_fast.data.sources import observe
from olift_fast.tracks.rigid_pairs import CALIBRATION, FACTS, edges_by_motion, pair_evidence
from olift_fast.tracks.skeleton import Skeleton

FRAMES = 300
CAMERAS = {"upright": CameraRange(elevation=(0, 40)), "overhead": CameraRange(elevation=(45, 90))}
GROUPS = {
    "people": "human",
    "hands": "hands",
    "animals of animators": "animalia draconis qs",
    "animals made of boxes": "aw lf pp",
    "measured animals": "",
}


class Score(NamedTuple):
    """What was found in one clip, or in several of a recording together.

    f1: of the bones. near: share of the found bones whose joints are at most two true bones apart. sure, true: of each
    found bone, its confidence and whether it is one.
    """

    recording: str
    camera: str
    joints: int
    f1: float
    near: float
    sure: tuple[float, ...]
    true: tuple[bool, ...]


def clips(folder: Path, count: int = 1) -> Iterator[tuple[str, ClipBatch]]:
    """Of every recording and each kind of camera, a group of `count` clips of 300 frames with a detector's faults."""
    paths = [path for part in ("motion3d", "recorded", "animated") for path in sorted((folder / part).glob("*.npz"))]
    for number, path in enumerate(paths):
        motion = load_motion(path)
        for camera, seen in enumerate(CAMERAS):
            rng = np.random.default_rng((2412, number, camera))
            positions = np.stack([_clip(motion, _up_axis(path), rng) for _ in range(count)])
            yield seen, observe(positions, segments_of(motion)[0], rng, CAMERAS[seen], Corruption(), path.stem)


def _clip(motion: Motion, up: str, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """300 frames of takes in random order, each brought to the middle; as often as it takes."""
    pieces: list[npt.NDArray[np.float32]] = []
    while sum(map(len, pieces)) < FRAMES:
        for take in rng.permutation(len(motion.clips)):
            start, stop = motion.clips[take]
            begin = start + int(rng.integers(max(stop - start - FRAMES, 0) + 1))
            piece = motion.positions[begin : min(stop, begin + FRAMES)]
            if up == "+y":
                piece = np.stack([piece[..., 0], -piece[..., 2], piece[..., 1]], axis=-1)
            elif up == "+x":
                piece = np.stack([piece[..., 1], piece[..., 2], piece[..., 0]], axis=-1)
            pieces.append(piece - np.nanmean(piece.reshape(-1, 3), axis=0) * np.array([1, 1, 0], np.float32))
    return np.concatenate(pieces)[:FRAMES]


def _up_axis(path: Path) -> str:
    with np.load(path) as content:
        return str(content["up_axis"]) if "up_axis" in content else ""


def score(seen: str, batch: ClipBatch) -> Score:
    """The bones that are found in a group of clips, against its own."""
    found, sure = edges_by_motion(batch.keypoints, batch.visible)
    true = {frozenset(edge) for edge in batch.skeleton.edges}
    right = tuple(frozenset(edge) in true for edge in found)
    hops = batch.skeleton.hop_distances()
    near = float(np.mean([hops[edge] <= 2 for edge in found])) if found else 0.0
    f1 = 2 * sum(right) / max(len(true) + len(found), 1)
    return Score(batch.family, seen, batch.skeleton.num_joints, f1, near, sure, right)


def group_of(recording: str) -> str:
    """What kind of recording it is, by its name."""
    return next(group for group, starts in GROUPS.items() if recording.startswith(tuple(starts.split() or [""])))


def table(scores: Sequence[Score]) -> Iterator[str]:
    """Lines: F1 of each kind of recording and camera, and the worst recordings."""
    yield "| recordings | skeletons | mean F1 | upright | overhead | at most 2 bones apart |"
    yield "|---|---:|---:|---:|---:|---:|"
    for group in (*GROUPS, "all"):
        part = [row for row in scores if group in ("all", group_of(row.recording))]
        if part:
            by_camera = " | ".join(f"{np.mean([row.f1 for row in part if row.camera == name]):.3f}" for name in CAMERAS)
            f1, near = (np.mean([getattr(row, field) for row in part]) for field in ("f1", "near"))
            yield f"| {group} | {len({row.recording for row in part})} | {f1:.3f} | {by_camera} | {near:.3f} |"
    worst = sorted(scores, key=lambda row: row.f1)[:8]
    yield "worst: " + ", ".join(f"{row.recording} {row.camera} {row.f1:.2f}" for row in worst)


def calibration(scores: Sequence[Score]) -> Iterator[str]:
    """Lines: how many bones are true of those that were about so sure."""
    sure = np.concatenate([row.sure for row in scores])
    true = np.concatenate([row.true for row in scores])
    yield "| sure | bones | true |"
    yield "|---|---:|---:|"
    for low, high in ((0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 0.95), (0.95, 1.01)):
        those = (sure >= low) & (sure < high)
        if those.any():
            yield f"| {low} … {min(high, 1)} | {those.sum()} | {true[those].mean():.2f} |"


def animals(seed: int, count: int) -> Iterator[tuple[str, ClipBatch]]:
    """Generated animals, all families alike but more quadrupeds and people; two upright cameras to one overhead."""
    families = {name: 2.0 if name in ("quadruped", "human") else 1.0 for name in FAMILIES}
    for number, seen in enumerate(("upright", "upright", "overhead")):
        generator = AnimalGenerator((seed, number, 9, 1), families, CAMERAS[seen], without_edges=0)
        for _ in range(count // 3):
            yield seen, generator.batch(1, FRAMES)


def fit(
    groups: Sequence[ClipBatch], steps: int = 400, rate: float = 0.05, decay: float = 3e-4
) -> npt.NDArray[np.float64]:
    """Weights (11) of the facts, by likelihood (Adam, in units of the facts' spread).

    Removing a true bone leaves two pieces; of all pairs that would join them, a pair is chosen with a probability of
    exp(score) / the sum of theirs, and it should be that bone.
    """
    problems = [problem for batch in groups if (problem := _cuts(batch)) is not None]
    spread = np.concatenate([facts for facts, _, _ in problems]).std(axis=0)
    weights, mean, square = (np.zeros(len(FACTS)) for _ in range(3))
    rng = np.random.default_rng(0)
    for step in range(1, steps + 1):
        gradient = -2 * decay * weights
        for index in rng.choice(len(problems), 40, replace=False):
            facts, cut, true = problems[index]
            facts = facts / spread
            score = np.where(cut, facts @ weights, -np.inf)
            chance = np.exp(score - score.max(axis=1, keepdims=True))
            chance /= chance.sum(axis=1, keepdims=True)
            gradient += (facts[true] - chance @ facts).mean(axis=0) / 40
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        slower = 0.5 * (1 + np.cos(np.pi * step / steps))
        weights = weights + rate * slower * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return weights / spread


def _cuts(batch: ClipBatch) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.int64]] | None:
    """The facts of the pairs, for each bone the pairs that would join what its removal parts, and which pair it is."""
    evidence = pair_evidence(batch.keypoints, batch.visible)
    if evidence is None:
        return None
    place = {
        pair: index for index, pair in enumerate(zip(evidence.first.tolist(), evidence.second.tolist(), strict=True))
    }
    cuts, true = [], []
    for edge in batch.skeleton.edges:
        pair = (min(edge), max(edge))
        rest = Skeleton(batch.skeleton.names, tuple(other for other in batch.skeleton.edges if other != edge))
        side = rest.hop_distances()[edge[0]] < batch.skeleton.num_joints
        if pair in place and not side[edge[1]]:
            cuts.append(side[evidence.first] != side[evidence.second])
            true.append(place[pair])
    return (evidence.facts, np.array(cuts), np.array(true)) if cuts else None


def calibrate(scores: Sequence[Score]) -> tuple[float, float]:
    """`CALIBRATION` anew: the factor and the power of the odds that make them those of true bones (Newton's method)."""
    sure = np.clip(np.concatenate([row.sure for row in scores]), 1e-9, 1 - 1e-9)
    raw = (np.log(sure / (1 - sure)) - np.log(CALIBRATION[0])) / CALIBRATION[1]
    columns = np.stack([np.ones_like(raw), raw], axis=1)
    true = np.concatenate([row.true for row in scores])
    found = np.array([0.0, 1.0])
    for _ in range(20):
        chance = 1 / (1 + np.exp(-columns @ found))
        slope = (columns * (chance * (1 - chance))[:, None]).T @ columns
        found += np.linalg.solve(slope, columns.T @ (true - chance))
    return float(np.exp(found[0])), float(found[1])


def timing() -> Iterator[str]:
    """Lines: processor time for one clip of joints that wander, the least of three."""
    rng = np.random.default_rng(0)
    for joints in (17, 40, 120, 500):
        keypoints = rng.normal(size=(1, joints, 2)) + 0.01 * rng.normal(size=(FRAMES, joints, 2)).cumsum(axis=0)
        times = []
        for _ in range(3):
            began = time.process_time()
            edges_by_motion(keypoints, np.ones((FRAMES, joints), dtype=bool))
            times.append(time.process_time() - began)
        yield f"{joints} joints, {FRAMES} frames: {1e3 * min(times):.0f} ms"


def main(argument: str) -> None:
    if argument == "fit":
        weights = fit([batch for _, batch in animals(5, 360)])
        print("weights:", ", ".join(f"{name} {weight:.3f}" for name, weight in zip(FACTS, weights, strict=True)))
        scores = [score(*group) for group in animals(6, 360)]
        print("calibration: {:.2f}, {:.2f}".format(*calibrate(scores)))
        lines = [f"F1 {np.mean([row.f1 for row in scores]):.3f} on {len(scores)} other animals", *calibration(scores)]
    else:
        scores = [score(*group) for group in clips(Path(argument))]
        pooled = [score(*group) for group in clips(Path(argument), 4)]
        lines = ["One clip:", *table(scores), *calibration(scores), "", "Four clips, four cameras:", *table(pooled)]
        lines += ["", *timing()]
    print("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
