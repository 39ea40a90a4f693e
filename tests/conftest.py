"""What all tests share: real data, and fresh memory that holds NaN."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings: ``OLIFT_DATA``, or ``shared/data`` beside the repository."""
    folder = Path(os.environ.get("OLIFT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = f"real recordings are not at {folder}; set OLIFT_DATA to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Fills what `torch.empty` and its kin return with NaN, so that an output that is never written shows."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)
