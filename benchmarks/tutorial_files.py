"""The real recordings that the tutorials begin with, cut from the folder of recordings.

    python -m benchmarks.tutorial_files DATA      # writes docs/tutorials/data/; DATA: the folder of real recordings

docs/tutorials/data/README.md names where they come from, their licenses, and what was changed.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np

from olift_fast.cli.demo import Clip, write_files
from olift_fast.data.corruption import Corruption, corrupt
from olift_fast.tracks import Skeleton, infer_sides

RAT = slice(850, 1000)
"""Of the last fifth of the recording, on which no shipped model was trained."""
AZIMUTH, PITCH, PIXELS = np.deg2rad(112.0), np.deg2rad(12.0), 4.0
TAKES, TAKE = (1, 3, 5, 7, 10), 96
"""Takes of the mice on a treadmill, and how many frames of each."""
PEOPLE = "keypoints2d/openpose_body25b/S00_P00_T01_BalancingTrial"


def main(data: Path, folder: Path) -> None:
    """Writes all files."""
    folder.mkdir(parents=True, exist_ok=True)
    rat(data / "motion3d/rat_dannce23.npz", folder)
    mice(data / "recorded/real_mouse_oist_9.npz", folder / "clips" / "motion3d")
    shutil.copytree(data / PEOPLE, folder / "people", dirs_exist_ok=True)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def rat(recording: Path, folder: Path) -> None:
    """A rat before a level camera, with a detector's faults: rat.csv, its skeleton and its truth."""
    measured = np.load(recording)
    names = tuple(str(name) for name in measured["joint_names"])
    edges = tuple((int(a), int(b)) for a, b in measured["edges"])
    skeleton = Skeleton(names, edges, sides=infer_sides(names))
    joints = seen_from_beside(measured["positions"][RAT])
    faults = Corruption(clean=0.0, missing=0.03, swaps=0.0, never=0.0)
    rng = np.random.default_rng(0)
    points, visible, score = corrupt(rng, joints[None, ..., :2], skeleton, faults, depth=joints[None, ..., 2])
    likelihood = np.where(visible, np.maximum(score, 0.3), 0.05)
    points[~visible] += joints[None, ..., :2][~visible] + rng.normal(0, 30, points[~visible].shape)
    clip = Clip(skeleton, points[0], likelihood[0], joints[..., :2], joints)
    write_files(clip, folder / "rat.csv", folder / "rat.skeleton.json", folder / "rat.truth.npz")
    (folder / "rat.skeleton.json").write_text(to_read(skeleton), encoding="utf-8")


def to_read(skeleton: Skeleton) -> str:
    """The JSON of a skeleton, as a person would write it: a bone a line, by names."""
    bones = ",\n".join(f"    {json.dumps([skeleton.names[a], skeleton.names[b]])}" for a, b in skeleton.edges)
    names = "\n".join(textwrap.wrap(json.dumps(skeleton.names), 110, subsequent_indent=" " * 12))
    sides = json.dumps(skeleton.sides)
    return f'{{\n  "names": {names},\n  "edges": [\n{bones}\n  ],\n  "sides": {sides}\n}}\n'


def seen_from_beside(positions: np.ndarray) -> np.ndarray:
    """(T, J, 3) pixels, x right, y down, z away, of (T, J, 3) millimeters, z up: a camera far away."""
    x, y, z = np.moveaxis(positions - positions.mean(axis=(0, 1)), -1, 0)
    across, away = np.cos(AZIMUTH) * x + np.sin(AZIMUTH) * y, np.cos(AZIMUTH) * y - np.sin(AZIMUTH) * x
    down, depth = -np.cos(PITCH) * z - np.sin(PITCH) * away, np.cos(PITCH) * away - np.sin(PITCH) * z
    return (PIXELS * np.stack([across, down, depth], axis=-1) + (640, 360, 0)).astype(np.float32)


def mice(recording: Path, folder: Path) -> None:
    """Five takes of mice on a treadmill, measured by markers, as `olift finetune` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = dict(np.load(recording))
    starts = measured["clip_starts"][list(TAKES)]
    kept = np.concatenate([measured["positions"][start : start + TAKE] for start in starts])
    same = {key: measured[key] for key in ("joint_names", "edges", "fps", "units", "up_axis")}
    names = measured["clip_names"][list(TAKES)]
    np.savez_compressed(
        folder / "mouse_treadmill.npz",
        positions=kept,
        clip_starts=np.arange(len(TAKES)) * TAKE,
        clip_names=names,
        **same,
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(__file__).resolve().parent.parent / "docs" / "tutorials" / "data")
