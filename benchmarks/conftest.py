"""What every benchmark's record carries: the machine as the kernels see it, and percentiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import olift_fast
from olift_fast.ops._native import native_module, why_not_native


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    native = native_module()
    machine_info["olift_fast"] = olift_fast.__version__
    machine_info["torch"] = torch.__version__
    machine_info["threads"] = torch.get_num_threads()
    machine_info["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    machine_info["native"] = native.info() if native is not None else why_not_native()


@pytest.fixture(autouse=True)
def percentiles(request: pytest.FixtureRequest) -> Iterator[None]:
    """Adds the 20th, 50th and 80th percentile, in milliseconds, to what a benchmark records."""
    fixture = request.getfixturevalue("benchmark") if "benchmark" in request.fixturenames else None
    yield
    if fixture is not None and fixture.stats is not None:
        p20, p50, p80 = np.percentile(np.asarray(fixture.stats.stats.data) * 1e3, (20, 50, 80))
        fixture.extra_info.update(p20_ms=float(p20), p50_ms=float(p50), p80_ms=float(p80))
