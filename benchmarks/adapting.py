"""What `olift adapt` brings on rigs that training left out: ``python -m benchmarks.adapting MODEL FOLDER``.

FOLDER holds recordings in motion3d/, recorded/ and animated/. Each rig of `olift_fast.train.families.VALIDATION`, and
the held-out part of each recording of motion3d/, is cut into clips of 48 frames, or of 24 where there are few. Three
fifths of its clips, each seen by random cameras, are adapted to as 2D alone; the errors before and after, each without
and with the learned lengths (`olift lift --body`), are those on the others. With ``--finetune`` five of the clips are
fine-tuned on, too, with their 3D. ``--seeds 0 1 2`` does all of it with other cameras, faults and orders of clips. The
rows go to benchmarks/results/scores/adapting-MODEL.json, and with ``--seen`` other cameras to a file of their name.
Then, and without a run for ``--again FILE …``, a summary is printed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.families import group_of
from benchmarks.scores import RECORDS, write_rows
from olift_fast.bodies.body import Body
from olift_fast.bodies.rigid import DEPTH, body_joints
from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.data.mocap import Segment, cut_clips, load_motion, load_paired, segments_of, split
from olift_fast.data.sources import observe
from olift_fast.model import Lifter, LifterConfig
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train.adapting import AdaptPlan, adapt
from olift_fast.train.batches import Batch
from olift_fast.train.config import RECIPES, load_config
from olift_fast.train.evaluate import Method, lifted_by, score
from olift_fast.train.families import VALIDATION, held_out_as, recordings
from olift_fast.train.fitting import fit
from olift_fast.train.held_out import held_out
from olift_fast.train.memory import keep_freed_memory
from olift_fast.train.toml import as_change

LEARNED, SCORED, FEW = 120, 32, 6
FINETUNED = 5
"""Clips that fine-tuning gets, with their 3D."""
TOLD = {"pitch": 0.5, "kinds": 0.5}
"""How often fine-tuning tells a model of them, which has inputs for them."""
REAL = "real cameras"
SEEN = {"level": CameraRange(), "top": CameraRange(elevation=(45.0, 90.0)), "end-on": CameraRange(end_on=1.0)}
"""Cameras that the clips are seen by: all round a body, from above, or from its two ends alone."""


WAYS = {
    "before_body": "old weights, lengths of the body file",
    "after_body": "new weights, lengths of the body file",
    "finetuned": f"fine-tuned on {FINETUNED} clips of 3D",
}
"""What rows hold beside the errors before and after."""


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


def positions_of(segments: Sequence[Segment]) -> tuple[np.ndarray, np.ndarray] | None:
    """3D of clips to learn from, and of other motion to score; None where there is one clip only."""
    positions = cut_clips(segments, 48, 48)
    if len(positions) < FEW:
        positions = cut_clips(segments, 24, 24)
    positions = positions[np.isfinite(positions).all(axis=-1).mean(axis=(1, 2)) > 0.5]
    cut = round(0.6 * len(positions))
    return (positions[:cut], positions[cut:]) if 0 < cut < len(positions) else None


def clips_of(
    name: str, segments: Sequence[Segment], faults: bool, seed: int, seen: str = "level"
) -> tuple[ClipBatch, ClipBatch] | None:
    """Clips to learn from and clips of other motion to score; None where there is one clip only."""
    parts = positions_of(segments)
    if parts is None:
        return None
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    corruption = Corruption() if faults else Corruption.none()
    found = []
    for part, count in zip(parts, (LEARNED, SCORED), strict=True):
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
    """The 2D of the clips, each as a track; all are of one individual (`olift_fast.bodies.body.individual_of`)."""
    keypoints = np.where(clips.visible[..., None], clips.keypoints, np.float32(np.nan))
    names = tuple(f"track_{index}" for index in range(len(clips)))
    return KeypointTracks(keypoints, clips.visible.astype(np.float32), clips.skeleton, names, source=clips.family)


def row_of(
    lifter: Lifter, name: str, group: str, tracks: KeypointTracks, scored: ClipBatch, plan: AdaptPlan
) -> dict[str, Any]:
    """One rig, as it is written."""
    outcome = adapt(lifter, [tracks], plan=plan)
    errors = {}
    for when, own in (("before", lifter), ("after", outcome.lifter)):
        method = _lifted(own)
        errors[when] = dict(score(name, scored, when, method).values)
        errors[f"{when}_body"] = dict(
            score(name, scored, when, with_body(method, outcome.body, scored.skeleton)).values
        )
    return {
        "family": name,
        "group": group,
        "clips": outcome.learned + outcome.held_out,
        "joints": scored.skeleton.num_joints,
        "frames": outcome.frames,
        "helped": outcome.verdict.helped,
        "apart": round(outcome.apart, 4),
        "views": round(outcome.views, 4),
        "along": round(outcome.along, 4),
        "held": outcome.held,
        "signs_before": outcome.before.as_json(),
        "signs_after": outcome.after.as_json(),
        **errors,
        "seconds": round(outcome.seconds, 1),
    }


def _lifted(lifter: Lifter) -> Method:
    return lifted_by(lifter, pitch=False, uncertainty=lifter.config.uncertainty)


def with_body(method: Method, body: Body, skeleton: Skeleton) -> Method:
    """What `olift lift --body` gives, each clip as a track: the method's joints with the body's lengths."""
    lengths, errors = body.along(skeleton)

    def steadied(batch: Batch) -> Tensor:
        lifted = method(batch)
        given, seen = lifted.numpy(), batch.visible.numpy()
        deviations = given[..., [3, 3, 4]] if given.shape[-1] == 5 else [np.array([1.0, 1.0, DEPTH])] * len(given)
        steady = [
            body_joints(joints[..., :3], skeleton, lengths, errors, *told)
            for joints, *told in zip(given, seen, deviations, strict=True)
        ]
        return torch.cat([torch.from_numpy(np.stack(steady)), lifted[..., 3:]], dim=-1)

    return steadied


def finetuned(model: str, config: LifterConfig, segments: Sequence[Segment], seed: int, steps: int) -> Lifter:
    """What `olift finetune` makes of a model by `FINETUNED` clips of those to learn from, spread over them."""
    learned, _ = positions_of(segments) or (np.empty(0), None)
    clips = learned[np.arange(FINETUNED) * len(learned) // FINETUNED]
    # `olift finetune` never trains on the last fifth of the takes.
    takes = np.concatenate([clips, clips[-1:]])
    skeleton = segments[0].skeleton
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "motion3d"
        data.mkdir()
        np.savez(
            data / "animal.npz",
            positions=takes.reshape(-1, *takes.shape[2:]),
            joint_names=np.array(skeleton.names),
            edges=np.array(skeleton.edges),
            fps=segments[0].fps,
            clip_starts=np.arange(len(takes)) * takes.shape[1],
            up_axis="+z",
        )
        given = {
            "model.start": model,
            "data.real": str(data),
            "run.out": str(Path(folder) / "out"),
            "run.seed": seed,
            "schedule.steps": steps,
            "schedule.warmup": min(60, max(1, steps // 10)),
        }
        # `small-all` is told as often in its own training.
        given |= {f"data.{name}_told": share for name, share in TOLD.items() if getattr(config, name)}
        return fit(load_config(RECIPES / "finetune.toml", [as_change(*item) for item in given.items()])).eval()


def summary(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the rows say together, in lines."""
    change = _changes(rows, "after")
    kept = np.array([row["helped"] for row in rows])
    yield f"{len(rows)} adaptations: SA-MPJPE {change.mean():+.1%} on average, better in {(change < 0).sum()}"
    for metric in ("sa_mpve", "bone_length_drift", "bone_ratio_error"):
        own = _changes(rows, "after", metric)
        if len(own):
            yield f"  {metric}: {own.mean():+.1%}"
    right = kept == (change < 0)
    yield f"  kept {kept.sum()}, rightly judged {right.sum()}; missed gains: {((change < 0) & ~kept).sum()}"
    if kept.any():
        yield f"  kept: {change[kept].mean():+.1%} on average, worst {change[kept].max():+.1%}"
    if not kept.all():
        yield f"  not kept: {change[~kept].mean():+.1%} on average, worst {change[~kept].max():+.1%}"
    yield f"  with what is kept, else the old weights: {np.where(kept, change, 0).mean():+.1%} on average"
    for way, words in WAYS.items():
        part = [row for row in rows if way in row]
        if part:
            errors, drift = _changes(part, way), _changes(part, way, "bone_length_drift")
            told = f"SA-MPJPE {errors.mean():+.1%} on average, better in {(errors < 0).sum()} of {len(errors)}"
            yield f"  {words}: {told}, worst {errors.max():+.1%}; drift {drift.mean() if len(drift) else 0:+.1%}"
    seeds = sorted({row.get("seed", 0) for row in rows})
    if len(seeds) > 1:
        for way, words in {"after": "adapted", **WAYS}.items():
            parts = [_changes([row for row in rows if row.get("seed", 0) == seed], way) for seed in seeds]
            if all(map(len, parts)):
                means = [part.mean() for part in parts]
                each = ", ".join(f"{mean:+.1%}" for mean in means)
                yield f"  {words}, of seeds {', '.join(map(str, seeds))}: {each} (± {np.std(means, ddof=1):.1%})"
    signs = {name: np.array([_logarithm(row, name) for row in rows]) for name in rows[0]["signs_before"]}
    signs["anew and steadiness"] = signs["anew"] + signs["steadiness"]
    for name, values in signs.items():
        yield f"  rank correlation of {name} with the change: {_rank_correlation(values, change):.2f}"


def _changes(rows: Sequence[Mapping[str, Any]], way: str, metric: str = "sa_mpjpe") -> np.ndarray:
    """How much each row's value differs from that before, as a share of it; rows without one are left out."""
    found = [(row[way].get(metric), row["before"].get(metric)) for row in rows if way in row]
    return np.array([own / before - 1 for own, before in found if own is not None and before])


def _logarithm(row: Mapping[str, Any], sign: str) -> float:
    return float(np.log(max(row["signs_after"][sign], 1e-6) / max(row["signs_before"][sign], 1e-6)))


def _rank_correlation(values: np.ndarray, others: np.ndarray) -> float:
    """Spearman's, of values without ties."""
    first, second = (np.argsort(np.argsort(each)) for each in (values, others))
    return float(np.corrcoef(first, second)[0, 1])


def _wanted(
    given: argparse.Namespace, seed: int
) -> Iterator[tuple[str, str, KeypointTracks, ClipBatch, Sequence[Segment]]]:
    """Names, groups, 2D to learn from, clips to score and motion of the rigs that are asked for."""
    if given.seen == REAL:
        for name, tracks, scored in real(given.folder):
            yield name, REAL, tracks, scored, ()
        return
    for name, group, segments in rigs(given.folder):
        if any(fnmatchcase(name, pattern) for pattern in given.only):
            clips = clips_of(name, segments, not given.clean, seed, given.seen)
            if clips is not None:
                yield name, group, as_tracks(clips[0]), clips[1], segments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", nargs="?", help="a shipped name, or a folder")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--again", nargs="+", type=Path, help="files of rows to summarize")
    parser.add_argument("--clean", action="store_true", help="2D without a detector's faults")
    parser.add_argument("--seen", choices=[*SEEN, REAL], default="level", help="by which cameras")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of rigs")
    parser.add_argument("--finetune", action="store_true", help=f"beside it on {FINETUNED} clips of 3D")
    parser.add_argument("--finetune-steps", type=int, default=600)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.again:
        print("\n".join(summary([row for path in given.again for row in json.loads(path.read_text())])))
        return
    if given.folder is None:
        parser.error("needs a model and a folder, or --again")
    if given.finetune and given.seen == REAL:
        parser.error("--finetune needs motion to learn from; real cameras have none to spare")
    keep_freed_memory()
    lifter = Lifter.from_pretrained(given.model)
    rows: list[dict[str, Any]] = []
    seen = "" if given.seen == "level" else f"-{given.seen.replace(' ', '-')}"
    out = given.out or RECORDS / f"adapting-{Path(given.model).name}{seen}.json"
    for seed in given.seeds:
        for name, group, tracks, scored, segments in _wanted(given, seed):
            told = {"model": lifter.name, "seen": given.seen, "faults": not given.clean, "seed": seed}
            row = told | row_of(lifter, name, group, tracks, scored, AdaptPlan(seed=seed))
            if given.finetune:
                own = finetuned(given.model, lifter.config, segments, seed, given.finetune_steps)
                row["finetuned"] = dict(score(name, scored, "finetuned", _lifted(own)).values)
            rows.append(row)
            write_rows(out, rows)
            ways = {way: row[way]["sa_mpjpe"] for way in ("before", "after", *WAYS) if way in row}
            print(f"{name}, seed {seed}: {', '.join(f'{way} {error}' for way, error in ways.items())}", flush=True)
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
