"""What all benchmarks share: ways timed side by side, a record of the machine, and a table at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import olift_fast
from olift_fast.ops.native_module import native_module, why_not_native
from olift_fast.train.memory import keep_freed_memory

sys.path.insert(0, str(Path(__file__).parent))

from revision import revision_of
from side_by_side import copy_bandwidth, run_side_by_side, touch_memory
from ways_table import TITLE, table_lines

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
KEEPS_FREED_MEMORY = keep_freed_memory()
if KEEPS_FREED_MEMORY:
    touch_memory()
THREADS = int(os.environ.get("OLIFT_BENCH_THREADS", "0"))


def pytest_configure() -> None:
    if THREADS:
        torch.set_num_threads(THREADS)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    native = native_module()
    cpu = machine_info.get("cpu", {})
    kept = {key: cpu[key] for key in ("brand_raw", "family", "model", "count", "arch") if key in cpu}
    for key in ("node", "release", "processor", "python_build"):
        machine_info.pop(key, None)
    machine_info["cpu"] = kept
    machine_info["olift_fast"] = olift_fast.__version__
    machine_info["torch"] = torch.__version__
    machine_info["triton"] = _triton_version()
    machine_info["threads"] = torch.get_num_threads()
    machine_info["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    machine_info["keeps_freed_memory"] = KEEPS_FREED_MEMORY
    machine_info["native"] = native.info() if native is not None else why_not_native()
    machine_info["copy_GB/s"] = {device: bandwidth(device) for device in DEVICES}
    machine_info["commit"] = revision_of(Path(__file__).parent)


@cache
def bandwidth(device: str) -> float:
    """GB/s of a large copy on the device, measured once a session."""
    return copy_bandwidth(torch.device(device))


def _triton_version() -> str | None:
    try:
        import triton
    except ImportError:
        return None
    return triton.__version__


@pytest.fixture
def side_by_side(benchmark: Any, request: pytest.FixtureRequest) -> Callable[..., None]:
    """``side_by_side(ways, rounds=…, device=…, traffic=…, **facts)``: `run_side_by_side`, and a record of the facts.

    With ``wall=True`` the wall clock times ways on a GPU, too: they wait for it themselves. Where benchmarks are
    disabled, each way runs once.
    """

    def run(
        ways: Any,
        *,
        rounds: int = 15,
        device: str = "cpu",
        traffic: int | None = None,
        wall: bool = False,
        **facts: Any,
    ) -> None:
        if benchmark.disabled:
            ours, *peers = ways.values()
            benchmark.pedantic(ours, rounds=1)
            for peer in peers:
                peer()
            return
        clock = torch.device("cpu" if wall else device)
        rows = run_side_by_side(benchmark, ways, rounds=rounds, device=clock, traffic=traffic)
        benchmark.extra_info.update(facts, device=device, threads=torch.get_num_threads())
        if traffic is not None:
            benchmark.extra_info["share_of_copy"] = next(iter(rows.values()))["GB/s"] / bandwidth(device)
        _tables(request.config).append((request.node.name, benchmark.extra_info))

    return run


@pytest.fixture(autouse=True)
def percentiles(request: pytest.FixtureRequest) -> Any:
    """Adds the 20th, 50th and 80th percentile, in milliseconds, to what a benchmark of one way records."""
    fixture = request.getfixturevalue("benchmark") if "benchmark" in request.fixturenames else None
    yield
    if fixture is not None and fixture.stats is not None and "ways" not in fixture.extra_info:
        p20, p50, p80 = np.percentile(np.asarray(fixture.stats.stats.data) * 1e3, (20, 50, 80))
        fixture.extra_info.update(p20_ms=float(p20), p50_ms=float(p50), p80_ms=float(p80))


def _tables(config: pytest.Config) -> list[tuple[str, dict[str, Any]]]:
    if not hasattr(config, "olift_tables"):
        config.olift_tables = []  # type: ignore[attr-defined]
    return config.olift_tables  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tables = _tables(config)
    if not tables or config.getoption("benchmark_disable"):
        return
    terminalreporter.section(TITLE)
    for name, info in tables:
        for line in table_lines(name, info):
            terminalreporter.write_line(line)
