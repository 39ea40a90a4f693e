"""Times several ways to compute the same thing by turns, so that what disturbs one of them disturbs all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Way = Callable[[], object]
FULL = os.environ.get("OLIFT_BENCH_FULL", "") not in ("", "0")
"""Whether what takes minutes is included: compiled competitors of the whole model, and the longest sequences."""
L2_BYTES = 256 << 20
MATTERS_LITTLE = 5e-3
"""Seconds; for a longer call, the state of the caches at its start matters little."""


def touch_memory() -> None:
    """Touches as much memory as most runs need: the first touch since the machine started costs most."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    torch.zeros(min(2**31 - (64 << 20), available // 4), dtype=torch.uint8)


def stopwatch(device: torch.device) -> Callable[[Way], float]:
    """What times one call, in seconds: the wall clock on a CPU; on a GPU its events, with a cold L2 cache."""
    if device.type == "cpu":

        def wall(way: Way) -> float:
            begin = time.perf_counter()
            way()
            return time.perf_counter() - begin

        return wall
    cold = torch.empty(L2_BYTES, dtype=torch.uint8, device=device)

    def events(way: Way) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        cold.zero_()
        begin.record()
        way()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    return events


def warm_up(way: Way) -> None:
    """Calls it at least twice, and up to 8 times within a second: an allocator needs a few calls to settle."""
    end = time.perf_counter() + 1.0
    for call in range(8):
        if call < 2 or time.perf_counter() < end:
            way()


def run_side_by_side(
    benchmark: Any, ways: Mapping[str, Way], *, rounds: int, device: torch.device, traffic: int | None = None
) -> dict[str, dict[str, float]]:
    """Times the ways by turns; pytest-benchmark records the first, its ``extra_info["ways"]`` all of them.

    A turn on a CPU is a first call, which finds in the caches what the other ways left, and for short ways some more
    calls, which find the caches as a model's next layer would. The two are kept apart. On a GPU all are first calls.

    Args:
        benchmark: pytest-benchmark's fixture.
        ways: by name, ours first.
        rounds: how many turns each way has.
        device: where they compute.
        traffic: the least bytes that any way must move; gives GB/s.

    Returns:
        For each way the 20th, 50th and 80th percentile in milliseconds, "first_ms", the median of its first calls, and
        "GB/s" at the median.
    """
    (ours, first), *peers = ways.items()
    measure = stopwatch(device)
    for way in (*(way for _, way in peers), first):
        warm_up(way)
    more = {name: more_calls(measure(way), device) for name, way in ways.items()}
    firsts: dict[str, list[float]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}

    def take_turn(name: str, last: int = 0) -> None:
        calls = [measure(ways[name]) for _ in range(1 + more[name] - last)]
        firsts[name].extend(calls[:1])
        seconds[name].extend(calls[1:])

    def others_then_all_but_the_last() -> None:
        for name, _ in peers:
            take_turn(name)
        take_turn(ours, last=1)

    benchmark.pedantic(
        lambda: (seconds[ours] if more[ours] else firsts[ours]).append(measure(first)),
        setup=others_then_all_but_the_last,
        rounds=rounds,
        warmup_rounds=0,
        iterations=1,
    )
    rows = {}
    for name in ways:
        values = seconds[name] or firsts[name]
        p20, p50, p80 = (float(x) for x in np.percentile(np.asarray(values) * 1e3, (20, 50, 80)))
        rows[name] = {"p20_ms": p20, "p50_ms": p50, "p80_ms": p80, "first_ms": float(np.median(firsts[name])) * 1e3}
        if traffic is not None:
            rows[name]["GB/s"] = traffic / p50 / 1e6
    benchmark.extra_info["ways"] = rows
    return rows


def more_calls(seconds: float, device: torch.device) -> int:
    """How many calls a turn has after the first one: up to 10 of a short way, none of one that takes over 5 ms."""
    if device.type != "cpu" or seconds > MATTERS_LITTLE:
        return 0
    return min(10, int(MATTERS_LITTLE / seconds) + 1)


def copy_bandwidth(device: torch.device, rounds: int = 20) -> float:
    """GB/s of a copy larger than any cache, counting bytes read and written; the median of some rounds."""
    source = torch.ones((64 if device.type == "cpu" else 1024) << 20, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    measure = stopwatch(device)
    seconds = [measure(lambda: target.copy_(source)) for _ in range(rounds + 2)][2:]
    return 2 * source.nbytes / float(np.median(seconds)) / 1e9


def max_error(got: Tensor, wanted: Tensor) -> float:
    """Relative Frobenius error, in float64."""
    return float((got.double() - wanted.double()).norm() / wanted.double().norm().clamp(min=1e-30))
