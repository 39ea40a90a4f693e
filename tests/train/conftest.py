"""A training that takes seconds, as a TOML file, and the environment to start it in another process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TINY = """
[model]
name = "tiny"
changes = { width = 16, heads = 2, motion_layers = 1, space_layers = 1, window = 2, frequencies = 8 }

[data]
frames = 4
skeletons = 2
clips = 2

[schedule]
steps = 40
warmup = 5
look_ahead = { 0 = 1, 2 = 1 }

[run]
out = "out"
device = "cpu"
workers = 0
save_every = 5
report_every = 10
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The TOML file; its training writes to the folder "out" beside it."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace('"out"', f"'{tmp_path / 'out'}'"), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of other processes: they import the tree under test, and use one thread."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
