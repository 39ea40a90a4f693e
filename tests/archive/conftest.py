"""A small random model, and an executor that lifts in this process."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from archives import Run, lift_with

from olift_fast.archive import archiving
from olift_fast.archive.lifting import Lifting
from olift_fast.model import Lifter, LifterConfig


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a small untrained lifter."""
    folder = tmp_path_factory.mktemp("models") / "random"
    with torch.random.fork_rng():
        torch.manual_seed(7)
        Lifter(LifterConfig(width=32, heads=2, motion_layers=1, space_layers=1), name="random").save_pretrained(folder)
    return str(folder)


@pytest.fixture
def run(model: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`lift_archive` with the random model, in this process: run(SOURCE, DEST, fps=30, dry_run=True)."""

    def here(packs: Any, setup: Any, stop: Any) -> Any:
        lifting = Lifting(setup)
        for pack in packs:
            if stop.is_set():
                return
            yield from lifting.lift(pack)

    monkeypatch.setattr(archiving, "_executor", lambda *_: here)
    return partial(lift_with, model)
