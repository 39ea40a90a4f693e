"""Small made-up result files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# `python -m pytest` puts the root on the path; `pytest` doesn't.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

MACHINE = {
    "cpu": {"brand_raw": "Made-up CPU", "family": 1, "model": 2, "count": 4},
    "python_version": "3.11.7",
    "torch": "9.8.7",
    "triton": None,
    "threads": 3,
    "gpu": None,
    "native": {"compiler": "12.2.0", "simd": "avx2"},
    "olift_fast": "0.0.1",
    "commit": "abc1234-dirty",
    "copy_GB/s": {"cpu": 20.0},
}


def way(p20: float, p50: float, p80: float, first: float, bandwidth: float) -> dict[str, float]:
    return {"p20_ms": p20, "p50_ms": p50, "p80_ms": p80, "first_ms": first, "GB/s": bandwidth}


def banded(frames: int, times: dict[str, dict[str, float]], **facts: Any) -> dict[str, Any]:
    """A benchmark of banded attention as pytest-benchmark writes it."""
    extra = {"shape": [1, frames, 26, 8, 32], "dtype": "torch.float32", "window": 8, "device": "cpu", "threads": 3}
    return {
        "fullname": f"benchmarks/test_banded_attention.py::test_banded_attention[{frames}]",
        "params": {"backward": False, "dtype": "UNSERIALIZABLE[torch.float32]"},
        "stats": {"median": 1e-3, "rounds": 15, "data": [1e-3]},
        "extra_info": {**extra, "ways": times, "share_of_copy": 0.123, **facts},
    }


@pytest.fixture
def entries() -> list[dict[str, Any]]:
    """Banded attention with a peer at three lengths, its time growing with T², and a benchmark of one way."""
    lengths = (100, 1000, 10000)
    ours = [way(0.9 * t, 1.0 * t, 1.1 * t, 1.5 * t, 6.54) for t in (0.01, 0.1, 1)]
    peers = [way(2.1 * t, 2.46 * t, 2.8 * t, 2.46 * t, 3.21) for t in (0.01, 1, 100)]
    alone = {
        "fullname": "benchmarks/test_generator.py::test_clips_per_second[bird]",
        "params": {"family": "bird"},
        "stats": {"median": 0.0421, "rounds": 30, "data": [0.041, 0.0421, 0.045]},
        "extra_info": {"clips_per_second": 1521.9},
    }
    rows = zip(lengths, ours, peers, strict=True)
    return [*(banded(T, {"olift_fast": a, "the peer": b}) for T, a, b in rows), alone]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write(name, entries)`` writes a result file of the device "made-up", and returns its path."""

    def run(name: str, benchmarks: list[dict[str, Any]], **machine: Any) -> Path:
        path = tmp_path / "results" / "made-up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine_info": MACHINE | machine, "benchmarks": benchmarks}), encoding="utf-8")
        return path

    return run
