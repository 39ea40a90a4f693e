"""What `olift adapt` brings on rigs that training left out: ``python -m benchmarks.adapting MODEL FOLDER``.

FOLDER holds recordings in motion3d/, recorded/ and animated/. Each rig of `olift_fast.train.families.VALIDATION`, and
the held-out part of each recording of motion3d/, is cut into clips of 48 frames, or of 24 where there are few. Three
fifths of its clips, each seen by random cameras, are adapted to as 2D alone; the error before and after is that on the
others. The rows go to
benchmarks/results/scores/adapting-MODEL.json, and with ``--seen`` other cameras to a file of their name. Then, and
without a run for ``--again FILE …``, a summary is printed.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.families import group_of
from benchmarks.scores import RECORDS, write_rows
from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.data.mocap import Segment, cut_clips, load_motion, load_paired, segments_of, split
from olift_fast.data.sources import observe
from olift_fast.model import Lifter
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.train.adapting import AdaptPlan, adapt
from olift_fast.train.evaluate import lifted_by, score
from olift_fast.train.families import VALIDATION, held_out_as, recordings
from olift_fast.train.held_out import held_out
from olift_fast.train.memory import keep_freed_memory

LEARNED, SCORED, FEW = 120, 32, 6
REAL = "real cameras"
SEEN = {"level": CameraRange(), "top": CameraRange(elevation=(45.0, 90.0)), "end-on": CameraRange(end_on=1.0)}
"""Cameras that the clips are seen by: all round a body, from above, or from its two ends alone."""


def rigs(folder: Path) -> Iterator[tuple[str, str, list[Segment]]]:
    """Names and groups of the rigs, and the motion of each that training left out."""
    for path in sorted((folder / "motion3d").glob("*.npz")):
        yield path.stem, "rigs of the training", split(load_motion(path))[1]
    paths = recordings(sorted({path.parent for path in folder.glob("*/*.npz")} - {folder / "paired"}))
    for name, path in paths.items():
        families: dict[str, list[Segment]] = {}
        if any(fnmatchcase(name, pattern.partition(":")[0]) for pattern in VALIDATION):
            for segment in segments_of(load_motion(path)):
                if family := held_out_as(segment, VALIDATION):
                    families.setdefault(family, []).append(segment)
        for family, segments in families.items():
            yield family, group_of(family), segments


def clips_of(
    name: str, segments: Sequence[Segment], faults: bool, seed: int, seen: str = "level"
) -> tuple[ClipBatch, ClipBatch] | None:
    """Clips to learn from and clips of other motion to score; None where there is one clip only."""
    positions = cut_clips(segments, 48, 48)
    if len(positions) < FEW:
        positions = cut_clips(segments, 24, 24)
    positions = positions[np.isfinite(positions).all(axis=-1).mean(axis=(1, 2)) > 0.5]
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    cut = round(0.6 * len(positions))
    if not 0 < cut < len(positions):
        return None
    corruption = Corruption() if faults else Corruption.none()
    found = []
    for part, count in ((positions[:cut], LEARNED), (positions[cut:], SCORED)):
        rows = np.arange(count) * len(part) // count
        found.append(observe(part[rows], segments[0], rng, SEEN[seen], corruption, name))
    return found[0], found[1]


def real(folder: Path) -> Iterator[tuple[str, KeypointTracks, ClipBatch]]:
    """The sequences before real cameras: the 2D of all their cameras, and the clips of it, whose 3D is known."""
    sets = held_out(folder)
    for path in sorted((folder / "paired").glob("*.npz")):
        paired = load_paired(path)
        if paired.sequence:
            own = (paired.keypoints_2d, paired.confidence, paired.skeleton, paired.camera_names)
            yield path.stem, KeypointTracks(*own, source=path.stem), sets[path.stem]


def as_tracks(clips: ClipBatch) -> KeypointTracks:
    """The 2D of the clips, each as a track."""
    keypoints = np.where(clips.visible[..., None], clips.keypoints, np.float32(np.nan))
    names = tuple(f"clip {index}" for index in range(len(clips)))
    return KeypointTracks(keypoints, clips.visible.astype(np.float32), clips.skeleton, names, source=clips.family)


def row_of(
    lifter: Lifter, name: str, group: str, tracks: KeypointTracks, scored: ClipBatch, plan: AdaptPlan
) -> dict[str, Any]:
    """One rig, as it is written."""
    outcome = adapt(lifter, [tracks], plan=plan)
    errors = {
        when: dict(score(name, scored, when, lifted_by(own, pitch=False, uncertainty=own.config.uncertainty)).values)
        for when, own in (("before", lifter), ("after", outcome.lifter))
    }
    return {
        "family": name,
        "group": group,
        "clips": outcome.learned + outcome.held_out,
        "joints": scored.skeleton.num_joints,
        "frames": outcome.frames,
        "helped": outcome.verdict.helped,
        "apart": round(outcome.apart, 4),
        "views": round(outcome.views, 4),
        "signs_before": outcome.before.as_json(),
        "signs_after": outcome.after.as_json(),
        "before": errors["before"],
        "after": errors["after"],
        "seconds": round(outcome.seconds, 1),
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the rows say together, in lines."""
    change = np.array([row["after"]["sa_mpjpe"] / row["before"]["sa_mpjpe"] - 1 for row in rows])
    kept = np.array([row["helped"] for row in rows])
    yield f"{len(rows)} adaptations: SA-MPJPE {change.mean():+.1%} on average, better in {(change < 0).sum()}"
    for metric in ("sa_mpve", "bone_length_drift", "bone_ratio_error"):
        own = [row["after"][metric] / row["before"][metric] - 1 for row in rows if row["before"][metric]]
        if own:
            yield f"  {metric}: {np.mean(own):+.1%}"
    right = kept == (change < 0)
    yield f"  kept {kept.sum()}, rightly judged {right.sum()}; missed gains: {((change < 0) & ~kept).sum()}"
    if kept.any():
        yield f"  kept: {change[kept].mean():+.1%} on average, worst {change[kept].max():+.1%}"
    if not kept.all():
        yield f"  not kept: {change[~kept].mean():+.1%} on average, worst {change[~kept].max():+.1%}"
    yield f"  with what is kept, else the old weights: {np.where(kept, change, 0).mean():+.1%} on average"
    signs = {name: np.array([_logarithm(row, name) for row in rows]) for name in rows[0]["signs_before"]}
    signs["steadiness and turned"] = signs["steadiness"] + signs["turned"]
    for name, values in signs.items():
        yield f"  rank correlation of {name} with the change: {_rank_correlation(values, change):.2f}"


def _logarithm(row: Mapping[str, Any], sign: str) -> float:
    return float(np.log(max(row["signs_after"][sign], 1e-6) / max(row["signs_before"][sign], 1e-6)))


def _rank_correlation(values: np.ndarray, others: np.ndarray) -> float:
    """Spearman's, of values without ties."""
    first, second = (np.argsort(np.argsort(each)) for each in (values, others))
    return float(np.corrcoef(first, second)[0, 1])


def _wanted(given: argparse.Namespace) -> Iterator[tuple[str, str, KeypointTracks, ClipBatch]]:
    """Names, groups, 2D to learn from and clips to score of the rigs that are asked for."""
    if given.seen == REAL:
        for name, tracks, scored in real(given.folder):
            yield name, REAL, tracks, scored
        return
    for name, group, segments in rigs(given.folder):
        if any(fnmatchcase(name, pattern) for pattern in given.only):
            clips = clips_of(name, segments, not given.clean, given.seed, given.seen)
            if clips is not None:
                yield name, group, as_tracks(clips[0]), clips[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", nargs="?", help="a shipped name, or a folder")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--again", nargs="+", type=Path, help="files of rows to summarize")
    parser.add_argument("--clean", action="store_true", help="2D without a detector's faults")
    parser.add_argument("--seen", choices=[*SEEN, REAL], default="level", help="by which cameras")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of rigs")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.again:
        print("\n".join(summary([row for path in given.again for row in json.loads(path.read_text())])))
        return
    if given.folder is None:
        parser.error("needs a model and a folder, or --again")
    keep_freed_memory()
    lifter, plan = Lifter.from_pretrained(given.model), AdaptPlan(seed=given.seed)
    rows: list[dict[str, Any]] = []
    seen = "" if given.seen == "level" else f"-{given.seen.replace(' ', '-')}"
    out = given.out or RECORDS / f"adapting-{Path(given.model).name}{seen}.json"
    for name, group, tracks, scored in _wanted(given):
        told = {"model": lifter.name, "seen": given.seen, "faults": not given.clean, "seed": given.seed}
        rows.append(told | row_of(lifter, name, group, tracks, scored, plan))
        write_rows(out, rows)
        before, after = (rows[-1][when]["sa_mpjpe"] for when in ("before", "after"))
        print(f"{name}: {before} → {after} ({after / before - 1:+.1%}), apart {rows[-1]['apart']}", flush=True)
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
