"""Every 2D file that real tools wrote is lifted by the shipped checkpoint through the command line."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from olift_fast.io import read_keypoints, read_lifted
from olift_fast.model.checkpoints import shipped
from olift_fast.tracks.containers import LiftedTracks

from .conftest import Run

ROOT = Path(os.environ.get("OLIFT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "keypoints2d"
# Settings, and nothing that holds keypoints.
NOT_KEYPOINTS = {".yaml"}


def sources() -> list[str]:
    """Files, and the folders that hold one JSON a frame, relative to ROOT; one placeholder where there is no data."""
    folders = [path for path in (ROOT / "openpose_body25b").glob("*") if path.is_dir()]
    files = [path for path in ROOT.rglob("*") if path.is_file() and "openpose_body25b" not in path.parts]
    found = [*folders, *(path for path in files if path.suffix not in NOT_KEYPOINTS)]
    return sorted(str(path.relative_to(ROOT)) for path in found) or ["."]


@pytest.mark.slow
@pytest.mark.parametrize("name", sources())
def test_real_file_is_lifted_onto_its_input(
    run: Run, real_data: Path, random_model: str, tmp_path: Path, name: str
) -> None:
    source, out = real_data / "keypoints2d" / name, tmp_path / "lifted.npz"
    model = "small" if "small" in shipped() else random_model
    outcome = run("lift", source, "-o", out, "--model", model, "--json")
    if "olift-fast[io]" in outcome.stderr and importlib.util.find_spec("movement") is None:
        pytest.skip(outcome.stderr.strip())
    assert outcome.exit_code == 0, outcome.stderr
    content, result, tracks = json.loads(outcome.stdout), read_lifted(out), read_keypoints(source)

    assert result.joints.shape == (*tracks.keypoints.shape[:3], 3)
    np.testing.assert_array_equal(result.keypoints, tracks.keypoints)
    assert content["joints"] == list(tracks.skeleton.names)
    finite = np.isfinite(result.joints).all(axis=-1)
    # The joints that a track has come together in a frame or not at all, and a frame that shows a keypoint has them.
    absent = tracks.absent()[:, None]
    assert not (finite & absent).any()
    assert ((finite | absent).all(axis=-1) == finite.any(axis=-1)).all()
    assert finite.any(axis=-1)[result.visible.any(axis=-1)].all()

    if model != "small":
        reason = "lifted as it should be, but no checkpoint is installed whose x, y could overlay the input"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    error = np.median(overlay_errors(result))
    assert error < 0.10, f"x, y are {error:.1%} of the animal's size away from the input"


def overlay_errors(result: LiftedTracks) -> np.ndarray:
    """Distance of x, y from each visible keypoint, as a share of the size of its animal.

    The size is the diagonal of the box around a frame's visible keypoints, its median over the frames of the track.
    """
    shares = []
    for joints, keypoints, visible in zip(result.joints, result.keypoints, result.visible, strict=True):
        boxes = [points[seen] for points, seen in zip(keypoints, visible, strict=True) if seen.sum() > 1]
        if not boxes:
            continue
        size = np.median([np.linalg.norm(np.ptp(box, axis=0)) for box in boxes])
        shares.append(np.linalg.norm(joints[..., :2] - keypoints, axis=-1)[visible] / size)
    return np.concatenate(shares)
