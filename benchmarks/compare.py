"""Says whether the working tree is slower than another revision: ``python -m benchmarks.compare BASE``.

Both are built with the same compiler and options, and timed by the same suites, those of the working tree, in turn: a
process each, some rounds long. A benchmark fails where it is slower beyond the spread, see `verdict`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkouts import CannotCompareError, build_native, resolve, time_benchmarks, worktree
from benchmarks.records import Case

ROOT = Path(__file__).resolve().parent.parent
SHORT = "(banded and 1x48 and forward_backward) or (joint and 5x48 and all) or (rff_encode and 8x243)"
"""Half a minute a process: those whose competitors, which run as well, take little time and compilation."""
ALLOWED = 1.10
"""How many times BASE's time is still no failure."""
OFF = {"0", "n", "no", "off", "false"}

Times = Mapping[str, Sequence[float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 where something has become slower, 2 where nothing could be compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("base", metavar="BASE", help="the revision to compare with")
    parser.add_argument(
        "-k", dest="chosen", default=SHORT, help="pytest's expression for which benchmarks (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="processes of each revision (%(default)s)")
    options = parser.parse_args(arguments)
    if options.rounds < 3:
        parser.error(f"--rounds must be >= 3 for percentiles, got {options.rounds}")
    try:
        head, base = measure(options.base, options.chosen, options.rounds)
    except CannotCompareError as error:
        print(error, file=sys.stderr)
        return 2
    return report(head, base, options.base)


def measure(revision: str, chosen: str, rounds: int) -> tuple[Times, Times]:
    """Milliseconds of our way in each round, by benchmark: in the working tree and in the revision, taken by turns."""
    commit = resolve(ROOT, revision)
    with_native = os.environ.get("OLIFT_NATIVE", "").lower() not in OFF
    with worktree(ROOT, commit) as tree:
        bring_suites(tree)
        print("building both", flush=True)
        modules: dict[Path, Any] = {ROOT: None, tree: None}
        if with_native:
            modules[ROOT] = build_native(ROOT, ROOT / "build/compare")
            modules[tree] = build_native(tree, tree / "build/compare")
        found: dict[Path, dict[str, list[float]]] = {ROOT: {}, tree: {}}
        for turn in range(rounds):
            # Who is first changes from round to round, so that a drift of the machine's speed favours neither.
            for place in (ROOT, tree) if turn % 2 == 0 else (tree, ROOT):
                print(f"round {turn + 1} of {rounds}: {'HEAD' if place == ROOT else revision}", flush=True)
                for name, case in time_benchmarks(place, modules[place], chosen, must_pass=place == ROOT).items():
                    found[place].setdefault(name, []).append(least_disturbed(case))
        return found[ROOT], found[tree]


def bring_suites(tree: Path) -> None:
    """Puts the working tree's suites in place of the checkout's: the same stopwatch and tensors for both."""
    shutil.rmtree(tree / "benchmarks", ignore_errors=True)
    (tree / "benchmarks").mkdir()
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        shutil.copy(path, tree / "benchmarks")


def least_disturbed(case: Case) -> float:
    """The 20th percentile of our way: what neighbours on the machine disturb least."""
    ours = case.ways[0]
    return ours.spread[0] if ours.spread else ours.p50


def spread(times: Sequence[float]) -> tuple[float, float, float]:
    """The 20th, 50th and 80th percentile over the rounds."""
    low, middle, high = (float(x) for x in np.percentile(times, (20, 50, 80)))
    return low, middle, high


def verdict(head: Sequence[float], base: Sequence[float]) -> str:
    """ "slower" where the 20th percentile of HEAD's rounds is above 1.10 × the 80th of BASE's; "" otherwise.

    Even HEAD's good rounds against BASE's bad ones are then more than 10 % slower. Equal speeds fail so only where the
    rounds spread over more than a tenth and fall apart by chance; with much spread a small loss goes unseen.
    """
    return "slower" if spread(head)[0] > ALLOWED * spread(base)[2] else ""


def report(head: Times, base: Times, revision: str) -> int:
    """Prints a line for each benchmark; returns the exit code.

    A benchmark that only HEAD has is listed. One that BASE ran and HEAD didn't has been lost, and fails.
    """
    print(f"{'benchmark':<90}{revision[:22] + ', ms':>28}{'HEAD, ms':>28}{'ratio':>8}")
    slower, lost, common = [], sorted(base.keys() - head.keys()), sorted(head.keys() & base.keys())
    for name in common:
        found = verdict(head[name], base[name])
        ratio = spread(head[name])[1] / spread(base[name])[1]
        print(f"{short(name):<90}{told(base[name]):>28}{told(head[name]):>28}{ratio:8.2f}  {found}".rstrip())
        slower += [name] if found else []
    for name in sorted(head.keys() - base.keys()):
        print(f"{short(name):<90}{'':>28}{told(head[name]):>28}{'':>8}  new")
    for name in lost:
        print(f"{short(name):<90}{told(base[name]):>28}{'':>28}{'':>8}  not run by HEAD")
    if not common and not lost:
        print(f"nothing was compared: {revision} ran none of the {len(head)} benchmarks of HEAD", file=sys.stderr)
        return 2
    print(f"{len(slower)} of {len(common)} slower: 20th percentile of HEAD > {ALLOWED:.2f} × 80th of {revision}")
    return 1 if slower or lost else 0


def told(times: Sequence[float]) -> str:
    low, middle, high = spread(times)
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def short(name: str) -> str:
    return name.split("::", 1)[-1]


if __name__ == "__main__":
    # Ends as an interrupt does, so that the worktree goes away then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
