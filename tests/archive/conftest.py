"""A small random model, and an executor that lifts in this process."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from archives import Run, lift_with
from helpers import save_random_lifter

from olift_fast.archive import archiving
from olift_fast.archive.lifting import Lifting


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a small untrained lifter."""
    return save_random_lifter(tmp_path_factory.mktemp("models") / "random")


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
