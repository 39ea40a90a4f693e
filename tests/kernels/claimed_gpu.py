"""A plugin of pytest that says there is a GPU: what would run on one can then be collected, not run.

A collected test that would skip there fails the collection, as it fails a run with `--no-skips`.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

os.environ["TRITON_INTERPRET"] = "0"


def _capability(*_: Any) -> tuple[int, int]:
    return 9, 0


torch.cuda.is_available = lambda: True  # type: ignore[assignment]
torch.cuda.get_device_capability = _capability  # type: ignore[assignment]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Looks at the marks alone: no test runs."""
    skipped = [item.nodeid for item in session.items if _skips(item)]
    if skipped:
        pytest.exit("\n".join(["would skip on a GPU:", *skipped]), returncode=1)


def _skips(item: pytest.Item) -> bool:
    conditions = (mark.args[0] for mark in item.iter_markers("skipif"))
    return any(conditions) or item.get_closest_marker("skip") is not None
