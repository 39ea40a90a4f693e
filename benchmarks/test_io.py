"""One recording from file to page: reading, lifting, writing and drawing apart, for three formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest

from olift_fast.cli.demo import Clip, deeplabcut_table, film
from olift_fast.io import read_keypoints, write_lifted
from olift_fast.model import Lifter, lift_tracks
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

FRAMES, JOINTS, ROUNDS = 2000, 26, 7
SEED = 1
"""Seed of the generator, for an animal that has more than `JOINTS` joints."""


class Recording(NamedTuple):
    path: Path
    tracks: KeypointTracks
    lifted: LiftedTracks


def write_deeplabcut(clip: Clip, path: Path) -> None:
    path.write_text(deeplabcut_table(clip))


def write_sleap(clip: Clip, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array(clip.skeleton.names, dtype="S")
        file["track_names"] = np.array(["animal"], dtype="S")
        file["edge_inds"] = np.array(clip.skeleton.edges)
        tracks, scores = clip.keypoints[None], clip.likelihood[None]
        file.create_dataset("tracks", data=tracks.transpose(0, 3, 2, 1), compression="gzip", compression_opts=9)
        file.create_dataset("point_scores", data=scores.transpose(0, 2, 1), compression="gzip", compression_opts=9)


def write_npz(clip: Clip, path: Path) -> None:
    names, edges = np.array(clip.skeleton.names), np.array(clip.skeleton.edges)
    np.savez(path, keypoints=clip.keypoints, confidence=clip.likelihood, names=names, edges=edges)


# The format, who writes it, the file's name, and the ending of a result of the same kind.
FORMATS: dict[str, tuple[Callable[[Clip, Path], None], str, str]] = {
    "deeplabcut": (write_deeplabcut, "recording.csv", ".csv"),
    "sleap-analysis": (write_sleap, "recording.analysis.h5", ".h5"),
    "npz": (write_npz, "recording.npz", ".npz"),
}


@pytest.fixture(scope="module", params=FORMATS)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A generated animal with a detector's errors, in a file of each format; DeepLabCut's has no edges."""
    write, name, _ = FORMATS[request.param]
    path = tmp_path_factory.mktemp("recordings") / name
    clip = film(SEED, FRAMES)
    kept = clip.skeleton.subset(clip.skeleton.names[:JOINTS])
    write(
        replace(clip, skeleton=kept, keypoints=clip.keypoints[:, :JOINTS], likelihood=clip.likelihood[:, :JOINTS]), path
    )
    tracks = read_keypoints(path)
    assert tracks.format == request.param and tracks.keypoints.shape == (1, FRAMES, JOINTS, 2)
    np.testing.assert_allclose(tracks.keypoints[0], clip.keypoints[:, :JOINTS], atol=1e-3)
    return Recording(path, tracks, lift_tracks(Lifter.from_pretrained("small"), tracks))


def timed(benchmark: Any, recording: Recording, stage: str, call: Callable[[], object], **facts: Any) -> None:
    """Times a stage and records what it worked on."""
    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=1)
    tracks = recording.tracks
    benchmark.extra_info.update(
        facts, stage=stage, format=tracks.format, frames=tracks.num_frames, joints=tracks.skeleton.num_joints
    )
    if benchmark.stats is not None:
        benchmark.extra_info["frames_per_second"] = tracks.num_frames / benchmark.stats.stats.median


def test_read(benchmark: Any, recording: Recording) -> None:
    size = recording.path.stat().st_size
    timed(benchmark, recording, "read", lambda: read_keypoints(recording.path), bytes=size)


def test_lift(benchmark: Any, recording: Recording) -> None:
    lifter = Lifter.from_pretrained("small")
    edges = len(recording.tracks.skeleton.edges)
    timed(benchmark, recording, "lift", lambda: lift_tracks(lifter, recording.tracks), edges=edges)


def test_write(benchmark: Any, recording: Recording, tmp_path: Path) -> None:
    ending = FORMATS[str(recording.tracks.format)][2]
    if ending == ".h5":
        pytest.importorskip("movement", reason="writing .h5 needs the extra `io`")
    out = tmp_path / f"lifted{ending}"
    timed(benchmark, recording, "write", lambda: write_lifted(recording.lifted, out), ending=ending)
    benchmark.extra_info["bytes"] = out.stat().st_size


def test_draw(benchmark: Any, recording: Recording, tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="the viewer needs the extra `view`")
    from olift_fast.view import write_html

    page = tmp_path / "lifted.html"
    timed(benchmark, recording, "draw", lambda: write_html(recording.lifted, page))
    benchmark.extra_info["bytes"] = page.stat().st_size
