"""Small archives for tests: tables of a few joints, and what a run makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.archive import LiftSettings, Summary, lift_archive
from olift_fast.archive.destination import Destination
from olift_fast.archive.manifest import Manifest
from olift_fast.io import read_keypoints, read_lifted
from olift_fast.model import lift_tracks, load
from olift_fast.tracks import with_inferred_skeleton
from olift_fast.tracks.containers import LiftedTracks

Run = Callable[..., Summary]

JOINTS = ("nose", "left_paw", "right_paw", "tail")
TIMES = ("finished", "seconds_fetch", "seconds_read", "seconds_lift", "seconds_write", "host", "why")
"""What differs from run to run."""


def table(path: Path, frames: int = 20, seed: int = 0) -> Path:
    """A table of keypoints (flat-csv) that move, of which some are hidden."""
    rng = np.random.default_rng(seed)
    joints = np.arange(len(JOINTS))[None]
    time = np.arange(frames)[:, None]
    points = np.stack([200 + 40 * joints + 2 * time, 150 + 25 * np.sin(0.4 * time + joints + seed)], axis=-1)
    points = points + rng.normal(size=points.shape)
    likelihood = np.where(rng.random(points.shape[:2]) < 0.1, 0.1, 0.9)
    names = [f"{name}_{kind}" for name in JOINTS for kind in ("x", "y", "likelihood")]
    cells = np.concatenate([points, likelihood[..., None]], axis=-1).reshape(frames, -1)
    lines = [",".join(names), *(",".join(f"{value:.3f}" for value in row) for row in cells)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def archive_of(folder: Path, count: int = 5) -> Path:
    """A folder with tables in two folders, the last but one of which is broken."""
    for number in range(count):
        table(folder / ("a" if number % 2 else "b c") / f"mouse {number}.csv", frames=20 + 7 * number, seed=number)
    (folder / "a").mkdir(parents=True, exist_ok=True)
    (folder / "a" / "broken.csv").write_text("no,keypoints\n1,2\n")
    return folder


def records(out: Path) -> dict[str, dict[str, Any]]:
    """The manifest, by the files' names."""
    with Manifest(Destination(str(out))) as manifest:
        manifest.load()
        return {Path(record["path"]).name: record for record in manifest.records()}


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """What is the same in every run."""
    return {name: value for name, value in record.items() if name not in TIMES}


def alone(model: str, path: Path, **options: Any) -> LiftedTracks:
    """What `olift lift` gives of the file."""
    tracks = with_inferred_skeleton(read_keypoints(path))
    return lift_tracks(load(model), tracks, **options)


def same(got: LiftedTracks, wanted: LiftedTracks) -> bool:
    """Whether two results are equal to the last bit."""
    names = ("joints", "keypoints", "confidence", "visible", "scale", "centers", "rotation")
    equal = all(np.array_equal(getattr(got, name), getattr(wanted, name), equal_nan=True) for name in names)
    others = ("skeleton", "tracks", "fps", "source", "format", "notes", "warnings", "frame", "model", "pitch")
    return equal and all(getattr(got, name) == getattr(wanted, name) for name in others)


def as_lifted_alone(out: Path, summary: Summary, model: str, **options: Any) -> bool:
    """Whether all results below `out` are those of their files alone; there is at least one."""
    done = [record for record in records(out).values() if record["status"] == "done"]
    assert len(done) >= summary.done > 0
    return all(same(read_lifted(out / one["output"]), alone(model, Path(one["path"]), **options)) for one in done)


def lift_with(random_model: str, /, source: Path | str, out: Path | str, **options: Any) -> Summary:
    """`lift_archive`, where settings may stand among the options."""
    of_settings = {name: options.pop(name) for name in list(options) if name in LiftSettings.__dataclass_fields__}
    return lift_archive(source, out, settings=LiftSettings(**{"model": random_model, **of_settings}), **options)
