"""How live joints differ from those of the whole recording: ``python -m benchmarks.live FOLDER``.

FOLDER holds recordings of 3D motion in motion3d/, which upright cameras see with a detector's faults, and keypoints of
real detectors in keypoints2d/. `small-causal` lifts each of them three times: with `lift_tracks`, as a stream that
answers from the first frame, and as one that also aligns the joints to the keypoints as they come. Then it lifts the
first frames once more, at the scale that the stream came to, to tell what it is worth before. The numbers go to
results/scores/live.json, and from there into the tables in docs/streaming.md; without FOLDER only these are written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.report import ROOT
from benchmarks.scores import MOTION
from olift_fast import Lifter, StreamingLifter, lift_tracks, read_keypoints
from olift_fast.data.cameras import CameraRange
from olift_fast.data.corruption import Corruption
from olift_fast.data.mocap import load_motion, segments_of
from olift_fast.data.sources import observe
from olift_fast.io.docs import filled, markdown_table
from olift_fast.model import Normalization
from olift_fast.tracks import with_inferred_skeleton
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

Floats = npt.NDArray[np.float64]

RECORD = ROOT / "benchmarks/results/scores/live.json"
PAGE = ROOT / "docs/streaming.md"
MODEL = "small-causal"
CLIPS, FRAMES, ALIGN, FIRST = 16, 300, 60, 100
WAYS = {"live": None, "aligned": ALIGN}
"""By the name in the record: what the stream is given as `align`."""
REAL = {
    "sleap/predictions.analysis.h5": "two fruit flies, SLEAP (13)",
    "lightning_pose/mirror-mouse_180607_004.rng0.csv": "mouse on a treadmill, Lightning Pose (8)",
}
MEASURES = ("rotation", "scale", "joints", "size", "overlay")


def recordings(folder: Path) -> Iterator[tuple[str, KeypointTracks]]:
    """What is lifted, with its name; each track by itself."""
    for number, name in enumerate(MOTION):
        motion = load_motion(folder / "motion3d" / f"{name}.npz")
        segments = segments_of(motion)
        rng = np.random.default_rng((2412, number))
        long = [segment.positions for segment in segments if len(segment.positions) >= FRAMES]
        chosen = [long[place] for place in rng.integers(len(long), size=CLIPS)]
        starts = [int(rng.integers(len(positions) - FRAMES + 1)) for positions in chosen]
        clips = [positions[start : start + FRAMES] for positions, start in zip(chosen, starts, strict=True)]
        batch = observe(np.stack(clips), segments[0], rng, CameraRange(), Corruption(), name)
        names = tuple(f"clip {clip}" for clip in range(CLIPS))
        confidence = batch.visible.astype(np.float32)
        yield name, KeypointTracks(batch.keypoints, confidence, motion.skeleton, names, source=name)
    for name in REAL:
        yield name, with_inferred_skeleton(read_keypoints(folder / "keypoints2d" / name))


class Streamed(NamedTuple):
    """What a stream gave: joints ``(N, T, J, 3)``, which were provisional ``(N, T)``, and each track's last scale."""

    joints: Floats
    provisional: npt.NDArray[np.bool_]
    scales: list[Normalization | None]


def streamed(
    lifter: Lifter,
    tracks: KeypointTracks,
    visible: npt.NDArray[np.bool_],
    align: int | None = None,
    scales: Sequence[Normalization | None] | None = None,
    stop: npt.NDArray[np.int64] | None = None,
) -> Streamed:
    """A stream that takes frame by frame, as many as `visible` has.

    `scales` are those of the tracks, if known. Each track's scale stays as it is from frame ``stop[track]`` on.
    """
    stream = StreamingLifter(lifter, tracks.skeleton, tracks=tracks.num_tracks, fit="running", align=align)
    for track, scale in enumerate(scales or ()):
        stream.reset(track, normalization=scale)
    joints, provisional = np.full((*visible.shape, 3), np.nan), np.zeros(visible.shape[:2], dtype=np.bool_)
    for t in range(visible.shape[1]):
        if stop is not None:
            stream._scales.fitting[stop <= t] = False
        for result in stream.push(tracks.keypoints[:, t : t + 1], visible[:, t : t + 1]):
            joints[result.track, result.frame] = result.joints
            provisional[result.track, result.frame] = result.provisional
    return Streamed(joints, provisional, [stream.normalization(track) for track in range(tracks.num_tracks)])


def settling(lifter: Lifter, tracks: KeypointTracks, visible: npt.NDArray[np.bool_]) -> dict[str, float]:
    """What the fit of the scale does to the first frames, at most, over all tracks; RMS distances in % of the scale.

    first: of the first frame's joints from those at the scale that the track comes to. moved: of the joints of the
    frame that settles the scale from those at the scale of the frame before. results: how many are provisional.
    """
    live = streamed(lifter, tracks, visible[:, :FIRST])
    known = streamed(lifter, tracks, visible[:, :FIRST], scales=live.scales)
    settled = live.provisional.sum(axis=1)
    stopped = streamed(lifter, tracks, visible[:, :FIRST], stop=settled)
    scales = np.array([np.nan if scale is None else scale.scale for scale in live.scales])
    first = np.argmax(np.isfinite(live.joints).all(axis=(2, 3)), axis=1)
    own = np.arange(len(first))

    def apart(other: Streamed, frames: npt.NDArray[np.int64]) -> float:
        offsets = live.joints[own, frames] - other.joints[own, frames]
        return round(100 * float(np.nanmax(np.sqrt(np.square(offsets).sum(axis=-1).mean(axis=-1)) / scales)), 3)

    return {"first": apart(known, first), "moved": apart(stopped, settled), "results": int(settled.max())}


def measured(lifted: LiftedTracks, joints: Floats) -> list[dict[str, float]]:
    """For each track, what `MEASURES` name, of joints ``(N, T, J, 3)`` beside the lifted ones.

    rotation, in degrees, and scale, in %: of the similarity that brings the joints nearest to the lifted ones. joints,
    in % of the animal's RMS radius in the picture: RMS distance from the lifted ones. size, in %: by how much x and y
    are too large for the keypoints; overlay, in % of the radius: their RMS distance from visible keypoints.
    """
    rows = []
    for track in range(len(joints)):
        # `lift_tracks` leaves out the joints that a track never has; a stream can't know them.
        own = np.isfinite(lifted.joints[track]).any(axis=(0, 2))
        mine, other = joints[track][:, own], lifted.joints[track][:, own].astype(np.float64)
        points, seen = lifted.keypoints[track][:, own], lifted.visible[track][:, own]
        known = np.isfinite(mine).all(axis=(1, 2)) & np.isfinite(other).all(axis=(1, 2)) & (seen.sum(axis=1) > 1)
        mine, other, points, seen = mine[known], other[known], points[known], seen[known]
        radius = Normalization.fit(points, seen).scale
        rotation, scale = _similarity(_centered(mine).reshape(-1, 3), _centered(other).reshape(-1, 3))
        flat, wanted = (_centered(x, seen)[seen] for x in (mine[..., :2], np.where(seen[..., None], points, 0)))
        rows.append({
            "rotation": float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))),
            "scale": 100 * (1 / scale - 1),
            "joints": 100 * _rms(mine - other) / radius,
            "size": 100 * (np.square(flat).sum() / (flat * wanted).sum() - 1),
            "overlay": 100 * _rms(flat - wanted) / radius,
        })  # fmt: skip
    return rows


def measure(folder: Path) -> dict[str, Any]:
    """The record: by recording and way, each measure's mean over the tracks and, of its size, the largest."""
    lifter = Lifter.from_pretrained(MODEL)
    record: dict[str, Any] = {}
    for name, tracks in recordings(folder):
        lifted = lift_tracks(lifter, tracks)
        ways = {"offline": lifted.joints.astype(np.float64)}
        ways |= {way: streamed(lifter, tracks, lifted.visible, align).joints for way, align in WAYS.items()}
        record[name] = {"tracks": tracks.num_tracks, "frames": tracks.num_frames}
        record[name]["settling"] = settling(lifter, tracks, lifted.visible)
        for way, joints in ways.items():
            values = {key: np.array([row[key] for row in measured(lifted, joints)]) for key in MEASURES}
            record[name][way] = {
                key: {"mean": round(float(np.abs(x).mean()), 3), "largest": round(float(np.abs(x).max()), 3)}
                for key, x in values.items()
            }
    return record


def table(record: Mapping[str, Any], which: str) -> str:
    """A table of docs/streaming.md: "offline" or "settling"."""
    if which == "offline":
        return beside_offline(record)
    heads = ["recording (joints)", "first frame", "when it settles", "provisional results"]
    rows = []
    for name, label in (MOTION | REAL).items():
        found = record[name]["settling"]
        rows.append([label, f"{found['first']:.1f}", f"{found['moved']:.2f}", str(found["results"])])
    return markdown_table(heads, rows, left=heads[:1])


def beside_offline(record: Mapping[str, Any]) -> str:
    """Each measure's mean over the tracks, and the largest in brackets."""
    heads = ["recording (joints)", "way", "rotation", "scale", "joints", "size", "overlay"]
    called = {"offline": "`lift_tracks`", "live": "live", "aligned": f"live, `align={ALIGN}`"}
    rows = []
    for name, label in (MOTION | REAL).items():
        for way, words in called.items():
            found = record[name][way]
            cells = [f"{found[key]['mean']:.1f} ({found[key]['largest']:.1f})" for key in MEASURES]
            if way == "offline":
                cells[:3] = ["", "", ""]
            rows.append([label if way == "offline" else "", words, *cells])
    return markdown_table(heads, rows, left=heads[:2])


def _centered(points: Floats, counted: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Each frame's points less their mean, or that of those that are counted."""
    weights = np.ones(points.shape[:-1]) if counted is None else counted.astype(np.float64)
    total = (weights[..., None] * points).sum(axis=1, keepdims=True)
    return np.asarray(points - total / weights.sum(axis=1)[:, None, None])


def _similarity(source: Floats, target: Floats) -> tuple[Floats, float]:
    """The rotation and the scale that bring the source nearest to the target."""
    left, values, right = np.linalg.svd(target.T @ source)
    values[2] *= np.sign(np.linalg.det(left @ right))
    left[:, 2] *= np.sign(np.linalg.det(left @ right))
    return left @ right, float(values.sum() / np.square(source).sum())


def _rms(offsets: Floats) -> float:
    return float(np.sqrt(np.square(offsets).sum(axis=-1).mean()))


def main(arguments: Sequence[str]) -> None:
    torch.set_num_threads(1)
    if arguments:
        RECORD.write_text(json.dumps(measure(Path(arguments[0])), indent=1) + "\n", encoding="utf-8")
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), "live", partial(table, record)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
