"""A small random model, and an executor that lifts in this process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from olift_fast.archive import LiftSettings, Summary, archiving, lift_archive
from olift_fast.archive.lifting import Lifting
from olift_fast.model import Lifter, LifterConfig

Run = Callable[..., Summary]


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


def lift_with(random_model: str, /, source: Path | str, out: Path | str, **options: Any) -> Summary:
    """`lift_archive`, where settings may stand among the options."""
    of_settings = {name: options.pop(name) for name in list(options) if name in LiftSettings.__dataclass_fields__}
    return lift_archive(source, out, settings=LiftSettings(**{"model": random_model, **of_settings}), **options)
