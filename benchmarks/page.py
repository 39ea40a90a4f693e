"""The benchmarks' page in Markdown: a table for each benchmark of each suite, with its conditions underneath."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.records import Case, Run, Way
from olift_fast.io.docs import markdown_table

ALWAYS_SHOWN = ("shape", "points", "frames", "count")
ACRONYMS = {"rff": "RFF", "io": "IO"}
SPEAKS_FOR_ITSELF = ("shape", "points", "backward", "device", "dtype", "of", "family")
INTRODUCTION = """\
# Benchmarks

Made by `make report` from the files under [benchmarks/results](../benchmarks/results), the newest of each kind; do not
edit it. [benchmarks/README.md](../benchmarks/README.md) says how the times are taken,
[ROOFLINE.md](../benchmarks/ROOFLINE.md) what the least possible ones are.

How to read the tables:

- A row is one way to compute the same thing, ours first. All ways of a case ran in one process, on the same tensors, by
  turns.
- **ms** is the median of the timed calls, with the 20th and 80th percentile in brackets.
- **first ms** is the median of the first calls of a turn, which find the caches full of what the other ways left. On
  a CPU only ways that take less than 5 ms have other calls as well; for the rest, and on a GPU, every call is a first
  one: "–".
- **× ours** and **first × ours** are the times over those of our way, so 2.00 is twice as slow. "~" marks ratios of
  medians whose [20th, 80th] overlap: they show no difference. Where one way has only first calls and ours has others,
  compare the first calls.
- **GB/s** is the least traffic that any way must cause (inputs read once, results written once) over the median;
  **copy** is that as a share of what a large copy reached in the same session. A way that moves more than the least
  gets no credit for it. Small cases lie in a cache, so their share can be above what the memory gives.
- **GFLOP/s** counts the operations that a suite puts on record: those of the linear layers, of a whole model.

In the plots of ratios the bars are × ours, and the whiskers go from the 20th percentile over our 80th to the 80th over
our 20th. Slopes are exponents a of time ∝ T^a, by least squares of the logarithms; short sequences lie in a cache and
carry a call's fixed cost, which lowers them. The plots of the roofline have our ways where ROOFLINE.md gives a formula
that the recorded facts suffice for; dotted lines join equal GFLOP/s.
"""


def write_page(runs: Mapping[str, Sequence[Run]], plots: Mapping[tuple[str, str], Sequence[tuple[str, str]]]) -> str:
    """The page's text.

    Args:
        runs: the newest runs of each device, by device.
        plots: (caption, address) of the images of a device's suite by (device, suite); suite "" is the device itself.
    """
    parts = [INTRODUCTION]
    for device, of_device in runs.items():
        parts.append(f"## {device}\n")
        parts += images(plots.get((device, ""), ()))
        for suite in suites(of_device):
            parts.append(f"### {words(suite)}\n")
            parts += images(plots.get((device, suite), ()))
            parts += [section for run in of_device for section in run_tables(run, suite)]
    return "\n".join(parts)


def suites(runs: Sequence[Run]) -> list[str]:
    return sorted({case.suite for run in runs for case in run.cases})


def images(plots: Iterable[tuple[str, str]]) -> list[str]:
    return [f"![{caption}]({address})\n" for caption, address in plots]


def run_tables(run: Run, suite: str) -> Iterable[str]:
    """Each benchmark function of a suite as a heading, a table, and the conditions."""
    cases = [case for case in run.cases if case.suite == suite]
    for function in dict.fromkeys(case.function for case in cases):
        chosen = [case for case in cases if case.function == function]
        yield f"#### {words(function)}, {run.kind.replace('-', ' ')}\n"
        yield table(chosen)
        yield f"{common(chosen)} {conditions(run, chosen)}\n"


def table(cases: Sequence[Case]) -> str:
    """A row for each way of each case; columns that are empty in all rows are left out."""
    varying = varying_facts(cases)
    rows = [row for case in cases for row in case_rows(case, varying)]
    columns = [
        column for column in dict.fromkeys(key for row in rows for key in row) if any(row.get(column) for row in rows)
    ]
    facts = {header(key, cases) for key in varying} | {"way"}
    return markdown_table(columns, ([row.get(column, "") for column in columns] for row in rows), left=facts) + "\n"


def case_rows(case: Case, varying: Sequence[str]) -> Iterable[dict[str, str]]:
    ours = case.ways[0]
    for place, way in enumerate(case.ways):
        row = {header(key, [case]): fact(key, case.facts.get(key)) if place == 0 else "" for key in varying}
        row["way"] = way.name
        row["ms"] = milliseconds(way)
        row["first ms"] = "" if way.first is None else "–" if only_first(way) else figure(way.first)
        row["× ours"] = beside(way, ours) if place else ""
        row["first × ours"] = first_beside(way, ours) if place else ""
        row["GB/s"] = "" if way.bandwidth is None else figure(way.bandwidth)
        row["copy"] = "" if way.share is None else f"{way.share:.0%}"
        row["GFLOP/s"] = figure(case.facts["operations"] / way.p50 / 1e6) if "operations" in case.facts else ""
        row |= {key.replace("_", " "): figure(value) for key, value in way.measured.items()}
        yield row


def milliseconds(way: Way) -> str:
    if way.spread is None:
        return figure(way.p50)
    return f"{figure(way.p50)} [{', '.join(map(figure, way.spread))}]"


def beside(way: Way, ours: Way) -> str:
    """The ratio of the medians, marked where the spreads overlap."""
    unclear = way.spread and ours.spread and way.spread[0] <= ours.spread[1] and ours.spread[0] <= way.spread[1]
    return figure(way.p50 / ours.p50) + (" ~" if unclear else "")


def first_beside(way: Way, ours: Way) -> str:
    """The ratio of the first calls, unless it is the same as that of the medians."""
    if not way.first or not ours.first:
        return ""
    return "–" if only_first(way) and only_first(ours) else figure(way.first / ours.first)


def only_first(way: Way) -> bool:
    return way.first == way.p50


def varying_facts(cases: Sequence[Case]) -> list[str]:
    """The facts that differ between these cases, and those that are always shown."""
    keys = list(dict.fromkeys(key for case in cases for key in case.facts))
    differ = differing_facts(cases)
    shown = [key for key in keys if key in differ or key in ALWAYS_SHOWN]
    return sorted(shown, key=lambda key: (key not in ALWAYS_SHOWN, keys.index(key)))


def differing_facts(cases: Sequence[Case]) -> list[str]:
    """The facts that differ between these cases, except for the operations, which follow from the others."""
    keys = dict.fromkeys(key for case in cases for key in case.facts if key != "operations")
    return [key for key in keys if any(case.facts.get(key) != cases[0].facts.get(key) for case in cases)]


def label(case: Case, keys: Iterable[str]) -> str:
    """The case in a few words, by these facts."""
    known = [(key, case.facts[key]) for key in keys if key in case.facts]
    return ", ".join(fact(key, value) if key in SPEAKS_FOR_ITSELF else named(key, value) for key, value in known)


def common(cases: Sequence[Case]) -> str:
    """One sentence with the facts that all these cases share."""
    told_elsewhere = {*varying_facts(cases), "operations", "threads"}
    shared = {key: value for key, value in cases[0].facts.items() if key not in told_elsewhere}
    told = ", ".join(named(key, value) for key, value in shared.items())
    low, high = (pick(case.rounds for case in cases) for pick in (min, max))
    rounds = f"{low} rounds" if low == high else f"{low} to {high} rounds"
    return f"{told}{', ' if told else ''}{rounds}."


def conditions(run: Run, cases: Sequence[Case]) -> str:
    """One line: the machine, the versions, the commit, the date, the bandwidth of a copy, and the file."""
    machine = run.machine
    cpu = machine.get("cpu", {})
    devices = {str(case.facts.get("device", "cpu")) for case in cases}
    copies = {device: gbs for device, gbs in machine.get("copy_GB/s", {}).items() if device in devices}
    threads = named("threads", machine.get("threads", "?"))
    parts = [
        f"{cpu.get('brand_raw', machine.get('machine', 'unknown CPU'))} (family {cpu.get('family', '?')}, "
        f"model {cpu.get('model', '?')}), {cpu.get('count', '?')} cores, {threads}",
        machine.get("gpu") or "no GPU",
        f"Python {machine.get('python_version', '?')}, torch {machine.get('torch', '?')}, "
        f"Triton {machine.get('triton') or 'none'}",
        native(machine.get("native")),
        f"olift_fast {machine.get('olift_fast', '?')} at commit {machine.get('commit') or '?'}",
        run.date,
        ", ".join(f"a copy moves {figure(gbs)} GB/s ({device})" for device, gbs in copies.items()),
        f"[{run.path.name}](../benchmarks/results/{run.device}/{run.path.name})",
    ]
    return "; ".join(part for part in parts if part) + "."


def native(info: Any) -> str:
    """The native module in a few words; where there is none, the result file says why."""
    if not isinstance(info, dict):
        return f"no native module ({info})"
    return f"native module: compiler {info.get('compiler', '?')}, instruction set {info.get('simd', '?')}"


def words(name: str) -> str:
    spoken = " ".join(ACRONYMS.get(word, word) for word in name.split("_"))
    return spoken[:1].upper() + spoken[1:]


def header(key: str, cases: Sequence[Case]) -> str:
    """A fact's name, with the dimensions that a list has."""
    value = next((case.facts[key] for case in cases if key in case.facts), None)
    if key == "backward":
        return "pass"
    if key == "shape" and isinstance(value, list) and len(value) == 5:
        return "shape (B×T×J×H×Dh)"
    if key == "points" and isinstance(value, list) and len(value) == 3:
        return "points (B×T×J)"
    return key.replace("_", " ")


def named(key: str, value: Any) -> str:
    """A fact with its name, as one would say it: "8 threads", "window 8", "masked"."""
    if key == "backward" or (key in SPEAKS_FOR_ITSELF and isinstance(value, str)):
        return fact(key, value)
    if isinstance(value, bool):
        return key if value else f"not {key}"
    if key in ("threads", "frames", "joints"):
        return f"{fact(key, value)} {key if value != 1 else key.removesuffix('s')}"
    return f"{header(key, ())} {fact(key, value)}"


def fact(key: str, value: Any) -> str:
    """A fact's value: sizes with ×, booleans in words, numbers with separators."""
    if key == "backward" and isinstance(value, bool):
        return "forward + backward" if value else "forward"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ("×" if key in ("shape", "points") else " + ").join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}"
    return figure(value) if isinstance(value, float) else "" if value is None else str(value).removeprefix("torch.")


def figure(value: float) -> str:
    """Three significant digits, without an exponent; whole from 100 on, with separators."""
    decimals = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"
