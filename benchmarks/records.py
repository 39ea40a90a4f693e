"""Reads the result files: the newest of each device, what each benchmark measured, and under which conditions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SCORES = "scores"
FUZZ = "fuzz"
"""The folders of results that hold no times, but accuracies, and counts of damaged files."""
PER_WAY = ("p20_ms", "p50_ms", "p80_ms", "first_ms", "GB/s")
NOT_FACTS = {"ways", "share_of_copy", "histogram_ms", *PER_WAY}
FILE_NAME = re.compile(r"(\d{4}-\d\d-\d\d)-(.+)\.json")


class BadResultsError(ValueError):
    """A result file is unusable; the message is one line naming it, what it has and what is wanted."""


@dataclass(frozen=True)
class Way:
    """One way to compute a case: milliseconds, GB/s of the least traffic, and other measurements by name."""

    name: str
    p50: float
    spread: tuple[float, float] | None
    first: float | None = None
    bandwidth: float | None = None
    share: float | None = None
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One benchmark: its facts (shape, dtype, pass, …) and its ways, ours first; a single way may have no name.

    histogram: pairs of (milliseconds, calls that took up to that, but more than the pair before), where recorded.
    """

    suite: str
    function: str
    facts: Mapping[str, Any]
    ways: tuple[Way, ...]
    rounds: int
    histogram: tuple[tuple[float, float], ...] = ()

    @property
    def frames(self) -> int | None:
        """T, where it follows from the facts."""
        shape, points = self.facts.get("shape"), self.facts.get("points")
        if isinstance(shape, list) and len(shape) == 5:
            return int(shape[1])
        if isinstance(points, list) and len(points) == 3:
            return int(points[1])
        frames = self.facts.get("frames")
        return frames if isinstance(frames, int) else None


@dataclass(frozen=True)
class Run:
    """One result file."""

    path: Path
    device: str
    date: str
    kind: str
    machine: Mapping[str, Any]
    cases: tuple[Case, ...]


def newest_files(folder: Path) -> list[Path]:
    """The newest ``DATE-KIND.json`` of each kind in a folder, by kind; raises `BadResultsError` on other names."""
    newest: dict[str, Path] = {}
    for path in sorted(folder.glob("*.json")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise BadResultsError(f"{path}: the name must be YYYY-MM-DD-KIND.json, got {path.name}")
        newest[match[2]] = path
    return [newest[kind] for kind in sorted(newest)]


def read_results(results: Path) -> dict[str, list[Run]]:
    """The newest runs of each device with a folder under `results`, by device; raises `BadResultsError`."""
    if not results.is_dir():
        raise BadResultsError(f"{results}: wanted a folder of results, with a folder a device; there is none")
    folders = (folder for folder in sorted(results.iterdir()) if folder.is_dir() and folder.name not in (SCORES, FUZZ))
    runs = {folder.name: [read_run(path) for path in newest_files(folder)] for folder in folders}
    found = {device: of_device for device, of_device in runs.items() if of_device}
    if not found:
        raise BadResultsError(f"{results}: wanted DEVICE/YYYY-MM-DD-KIND.json in it, found none")
    return found


def read_run(path: Path) -> Run:
    """One file of `pytest --benchmark-json`; raises `BadResultsError`."""
    match = FILE_NAME.fullmatch(path.name)
    date, kind = (match[1], match[2]) if match else ("", path.stem)
    found = read_json(path)
    return Run(path, path.parent.name, date, kind, found["machine_info"], tuple(read_cases(path, found)))


def read_json(path: Path) -> dict[str, Any]:
    """The file as pytest-benchmark wrote it; the keys that the other functions rely on are checked."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadResultsError(f"{path}: not a readable JSON file: {error}") from None
    wanted = {"benchmarks": list, "machine_info": dict}
    for key, kind in wanted.items():
        if not isinstance(found, dict) or not isinstance(found.get(key), kind):
            has = sorted(found) if isinstance(found, dict) else type(found).__name__
            raise BadResultsError(
                f"{path}: wanted what --benchmark-json writes, with a {kind.__name__} {key!r}; has {has}"
            )
    return found


def read_cases(path: Path, found: Mapping[str, Any]) -> Iterable[Case]:
    """The cases of a file that `read_json` has read."""
    copies = found["machine_info"].get("copy_GB/s", {})
    for entry in found["benchmarks"]:
        name = entry.get("fullname") if isinstance(entry, dict) else None
        if not isinstance(name, str) or "::" not in name:
            raise BadResultsError(f"{path}: wanted FILE::TEST as 'fullname' of each benchmark, got {name!r}")
        where = f"{path}: {name.split('::', 1)[1]}"
        extra = entry.get("extra_info", {})
        stats = entry.get("stats", {})
        copy = copies.get(extra.get("device", "cpu"))
        ways = tuple(read_ways(where, extra, copy)) if "ways" in extra else (read_single(where, extra, stats),)
        file, test = name.split("::", 1)
        yield Case(
            suite=Path(file).stem.removeprefix("test_"),
            function=test.split("[")[0].removeprefix("test_"),
            facts=facts_of(entry.get("params") or {}, extra),
            ways=ways,
            rounds=int(number(where, stats, "rounds")),
            histogram=tuple((float(upper), float(calls)) for upper, calls in extra.get("histogram_ms", ())),
        )


def read_ways(where: str, extra: Mapping[str, Any], copy: float | None) -> Iterable[Way]:
    rows = extra["ways"]
    if not isinstance(rows, dict) or not rows:
        raise BadResultsError(f"{where}: wanted at least one way by name in 'ways', got {rows!r}")
    for place, (name, row) in enumerate(rows.items()):
        inside = f"{where}: way {name!r}"
        low, middle, high, first = (number(inside, row, key) for key in PER_WAY[:4])
        bandwidth = number(inside, row, "GB/s") if "GB/s" in row else None
        share = bandwidth / copy if bandwidth is not None and copy else None
        if place == 0 and "share_of_copy" in extra:
            share = number(where, extra, "share_of_copy")
        yield Way(name, middle, (low, high), first, bandwidth, share, measured_of(name, row, extra))


def measured_of(name: str, row: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, float]:
    """The other measurements of one way: from its own row, and from facts with a value for each way."""
    own = {key: float(value) for key, value in row.items() if key not in PER_WAY and is_number(value)}
    shared = {key: values[name] for key, values in extra.items() if key != "ways" and is_by_way(values, extra["ways"])}
    return own | {key: float(value) for key, value in shared.items()}


def read_single(where: str, extra: Mapping[str, Any], stats: Mapping[str, Any]) -> Way:
    """The single way of a benchmark without "ways": its percentiles, or else those of pytest-benchmark's own times."""
    rates = {key: float(value) for key, value in extra.items() if key.endswith("_per_second") and is_number(value)}
    if "p50_ms" in extra:
        low, middle, high = (number(where, extra, key) for key in PER_WAY[:3])
        return Way("", middle, (low, high), measured=rates)
    middle = number(where, stats, "median") * 1e3
    if "p20_ms" in extra and "p80_ms" in extra:
        return Way("", middle, (number(where, extra, "p20_ms"), number(where, extra, "p80_ms")), measured=rates)
    if not stats.get("data"):
        return Way("", middle, None, measured=rates)
    low, high = (float(x) * 1e3 for x in np.percentile(stats["data"], (20, 80)))
    return Way("", middle, (low, high), measured=rates)


def facts_of(params: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies the case: the test's parameters and the recorded facts, without measurements."""
    facts: dict[str, Any] = {}
    ways = extra.get("ways", {})
    told = [value for value in extra.values() if isinstance(value, str)]
    for key, value in {**params, **extra}.items():
        # Left out: what pytest-benchmark can't write, and parameters that a recorded fact repeats under another name.
        unknown = isinstance(value, str) and (
            value.startswith("UNSERIALIZABLE") or (key not in extra and value in told)
        )
        measured = key in NOT_FACTS or key.endswith("_per_second") or is_by_way(value, ways)
        if not unknown and not measured:
            facts[key] = value
    return facts


def is_by_way(values: Any, ways: Mapping[str, Any]) -> bool:
    return (
        isinstance(values, dict)
        and bool(ways)
        and values.keys() == ways.keys()
        and all(map(is_number, values.values()))
    )


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(where: str, row: Any, key: str) -> float:
    value: Any = row.get(key) if isinstance(row, dict) else None
    if not is_number(value):
        raise BadResultsError(f"{where}: wanted a finite number as {key!r}, got {value!r}")
    return float(value)
