"""A small random-weight model and helpers to run the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import save_random_lifter
from typer.testing import CliRunner, Result

from olift_fast.cli import app

Run = Callable[..., Result]
JOINTS = ("nose", "left_paw", "right_paw", "tail")


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a small untrained lifter: good for all tests but those of accuracy."""
    return save_random_lifter(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture
def run() -> Run:
    """Runs the command line: run("lift", path, "--json")."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def lift(run: Run, random_model: str) -> Run:
    """Runs `olift lift` with the random model."""
    return lambda *arguments: run("lift", *arguments, "--model", random_model)


@pytest.fixture
def mouse(tmp_path: Path) -> Path:
    """A DeepLabCut table of 30 frames and 4 joints, of which the tail is below 0.3 in every third frame."""
    folder = tmp_path / "input"
    folder.mkdir()
    return write_table(folder / "mouse.csv", *walk())


def walk(frames: int = 30, joints: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (T, J, 2) that move, and likelihoods (T, J)."""
    t, j = np.arange(frames)[:, None], np.arange(joints)[None]
    keypoints = np.stack([200 + 40 * j + 2 * t, 150 + 25 * np.sin(0.4 * t + 1.3 * j)], axis=-1)
    likelihood = np.full((frames, joints), 0.9)
    likelihood[::3, -1] = 0.1
    return keypoints, likelihood


def write_table(path: Path, keypoints: np.ndarray, likelihood: np.ndarray, names: tuple[str, ...] = JOINTS) -> Path:
    """DeepLabCut's csv of one animal; NaN leaves a cell empty."""
    columns = [name for name in names for _ in range(3)]
    lines = [["scorer", *["net"] * len(columns)], ["bodyparts", *columns]]
    lines.append(["coords", *["x", "y", "likelihood"] * len(names)])
    cells = np.concatenate([keypoints, likelihood[..., None]], axis=-1).reshape(len(keypoints), -1)
    lines += [[str(t), *("" if np.isnan(value) else f"{value:.3f}" for value in row)] for t, row in enumerate(cells)]
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one recording: a chain of joints that swings."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "motion3d").mkdir()
    time = np.linspace(0, 60, 600)[:, None]
    joint = np.arange(6)[None]
    positions = np.stack([joint + 0 * time, np.sin(time + joint), 1 + 0.5 * np.cos(time * 0.7 + joint)], axis=-1)
    np.savez(
        folder / "motion3d" / "chain.npz",
        positions=positions.astype(np.float32),
        joint_names=np.array([f"joint{i}" for i in range(6)]),
        edges=np.array([[i, i + 1] for i in range(5)]),
        fps=np.float64(30),
        clip_starts=np.array([0]),
        units=np.array("m"),
    )
    return folder
