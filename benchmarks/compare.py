"""Says whether the working tree is slower than another revision: ``python -m benchmarks.compare BASE``.

Both are built with the same compiler and options, and timed by turns, in new processes, for some rounds. The suites are
those of the working tree for both, or, where BASE's package is too old to import them, its own (`choose_suites`). A
benchmark fails where it is slower beyond the spread (`verdict`).
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

from benchmarks.checkouts import (
    CannotCompareError,
    build_native,
    checked,
    collect_benchmarks,
    resolve,
    time_benchmarks,
    worktree,
)
from benchmarks.records import Case

ROOT = Path(__file__).resolve().parent.parent
SHORT = "(banded and 1x48 and forward_backward) or (joint and 5x48 and all) or (rff_encode and 8x243)"
"""Half a minute for each process: benchmarks whose competitors, which run as well, are quick and compile little."""
ALLOWED = 1.10
"""A benchmark may take this many times BASE's time without failing."""
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
        head, base, same_suites = measure(options.base, options.chosen, options.rounds)
    except CannotCompareError as error:
        print(error, file=sys.stderr)
        return 2
    return report(head, counterparts(head, base), options.base, same_suites)


def measure(revision: str, chosen: str, rounds: int) -> tuple[Times, Times, bool]:
    """Times the working tree and the revision by turns.

    Returns:
        For each of the two, milliseconds of our way in each round, by benchmark; and whether both ran the same suites.
    """
    commit = resolve(ROOT, revision)
    with_native = os.environ.get("OLIFT_NATIVE", "").lower() not in OFF
    with worktree(ROOT, commit) as tree:
        print("building both", flush=True)
        modules: dict[Path, Any] = {ROOT: None, tree: None}
        if with_native:
            modules[ROOT] = build_native(ROOT, ROOT / "build/compare")
            modules[tree] = build_native(tree, tree / "build/compare")
        same_suites = choose_suites(tree, commit, modules, chosen)
        if not same_suites:
            print(f"{revision} is timed by its own suites: its package can't import those of HEAD", flush=True)
        found: dict[Path, dict[str, list[float]]] = {ROOT: {}, tree: {}}
        for turn in range(rounds):
            # The order changes from round to round, so that a drift of the machine's speed favors neither.
            for place in (ROOT, tree) if turn % 2 == 0 else (tree, ROOT):
                print(f"round {turn + 1} of {rounds}: {'HEAD' if place == ROOT else revision}", flush=True)
                for name, case in time_benchmarks(place, modules[place], chosen, must_pass=place == ROOT).items():
                    found[place].setdefault(name, []).append(least_disturbed(case))
        return found[ROOT], found[tree], same_suites


def choose_suites(tree: Path, commit: str, modules: Mapping[Path, Path | None], chosen: str) -> bool:
    """Puts the working tree's suites into the checkout, and returns True: the same stopwatch and tensors for both.

    Where names in the package have changed since, the old package can't import them all. If more of what HEAD runs is
    found in the checkout's own suites, those stay: False.
    """
    wanted = {short(name) for name in collect_benchmarks(ROOT, modules[ROOT], chosen)}

    def usable() -> int:
        return len(wanted & {short(name) for name in collect_benchmarks(tree, modules[tree], chosen)})

    own = usable()
    shutil.rmtree(tree / "benchmarks", ignore_errors=True)
    (tree / "benchmarks").mkdir()
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        shutil.copy(path, tree / "benchmarks")
    if usable() >= own:
        return True
    shutil.rmtree(tree / "benchmarks")
    checked(["git", "-C", str(tree), "checkout", commit, "--", "benchmarks"], "git checkout")
    return False


def counterparts(head: Times, base: Times) -> Times:
    """BASE's times under HEAD's names: a test of the same name and parameters is the same one in a renamed file."""
    moved = {short(name): name for name in head if name not in base}
    return {name if name in head else moved.get(short(name), name): times for name, times in base.items()}


def least_disturbed(case: Case) -> float:
    """The 20th percentile of our way, which other programs on the machine disturb least."""
    ours = case.ways[0]
    return ours.spread[0] if ours.spread else ours.p50


def spread(times: Sequence[float]) -> tuple[float, float, float]:
    """The 20th, 50th and 80th percentile over the rounds."""
    low, middle, high = (float(x) for x in np.percentile(times, (20, 50, 80)))
    return low, middle, high


def verdict(head: Sequence[float], base: Sequence[float]) -> str:
    """ "slower" where the 20th percentile of HEAD's rounds is above 1.10 × the 80th of BASE's; "" otherwise.

    HEAD's good rounds are then more than 10 % slower than even BASE's bad ones. Noise alone fails a benchmark only
    where the rounds spread over more than a tenth and split by chance; where they spread a lot, small losses hide.
    """
    return "slower" if spread(head)[0] > ALLOWED * spread(base)[2] else ""


def report(head: Times, base: Times, revision: str, same_suites: bool = True) -> int:
    """Prints a line for each benchmark; returns the exit code.

    A benchmark that only HEAD ran is listed as new. One that only BASE ran fails if the suites are the same: HEAD can't
    run it any more. In other suites it may have another name, and is listed.
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
    why = "not run by HEAD" if same_suites else "no counterpart"
    for name in lost:
        print(f"{short(name):<90}{told(base[name]):>28}{'':>28}{'':>8}  {why}")
    if not same_suites:
        lost = []
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
    # A termination ends the program like an interrupt, so that the worktree is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
