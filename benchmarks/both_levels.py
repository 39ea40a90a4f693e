"""Takes all times that ROOFLINE.md and the README quote of a CPU, with AVX-512 and with AVX2.

    python -m benchmarks.both_levels amd-epyc-zen4     # twenty minutes at most, on a machine without other work

Writes ``results/NAME-LEVEL-N-cores/DATE-KIND.json``, from which `make report` writes docs/benchmarks.md. A machine
without AVX-512 has one level. AVX2 alone is asked of PyTorch's kernels, of oneDNN's and MKL's products and of what
`torch.compile` generates, too, so that all ways have the same instructions.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from olift_fast.runtime.native_module import native_module, why_not_native

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results"
OPS = ("test_banded_attention", "test_joint_attention", "test_rff", "test_procrustes")
LAST_LINES = 15
LOWERED: Mapping[str, Mapping[str, str]] = {
    "avx512": {},
    "avx2": {
        "OLIFT_SIMD": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}
"""What is asked of the programs that are timed, by level, the better one first."""


@dataclass(frozen=True)
class Step:
    """One file of results.

    kind: of its name. suites: files of benchmarks. minutes: it takes; begun where half of them are left. threads: 0 for
    one a core. full: with what takes minutes. chosen: pytest's expression. best_only: for the better level alone.
    """

    kind: str
    suites: tuple[str, ...]
    minutes: float
    threads: int = 0
    full: bool = False
    chosen: str = ""
    best_only: bool = False


STEPS = (
    Step("ops", OPS, 4.0, full=True),
    Step("models", ("test_lifter",), 5.0, chosen="not offline or 48"),
    Step("streams", ("test_streaming",), 3.0, chosen="not memory"),
    Step("training", ("test_training_step",), 2.0),
    Step("compiled-models", ("test_lifter",), 8.0, full=True, chosen="offline and 2000 or beside", best_only=True),
    Step("ops", OPS, 2.0, threads=1, best_only=True),
)
"""The most wanted first: what does not fit into the time is left out."""

Run = Callable[[Sequence[str], Mapping[str, str], float], tuple[int, str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 where a step failed or was left out, 2 where nothing can be timed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.both_levels", description="Times this CPU.")
    parser.add_argument("name", help="of the machine, as its folder of results shall be called: amd-epyc-zen4")
    parser.add_argument("--minutes", type=float, default=20.0, help="all steps together may take (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the folders lie (%(default)s)")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", options.name):
        parser.error(f"NAME must be lower-case words joined by dashes, got {options.name!r}")
    native = native_module()
    if native is None:
        print(why_not_native(), file=sys.stderr)
        return 2
    levels = [level for level in LOWERED if level != "avx512" or native.info()["simd"] == "avx512"]
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"the load of this machine is {busy:.1f}: times will be too long", file=sys.stderr)
    return record(options.results, options.name, levels, options.minutes, run)


def record(
    results: Path, name: str, levels: Sequence[str], minutes: float, run: Run, steps: Sequence[Step] = STEPS
) -> int:
    """Runs the steps that fit into the minutes, each on every level, and keeps the files of those that passed."""
    cores, date = os.cpu_count() or 1, datetime.date.today().isoformat()
    end = time.monotonic() + 60 * minutes
    failed = 0
    for step in steps:
        for level in levels[:1] if step.best_only else levels:
            threads = step.threads or cores
            kind = f"{step.kind}-{threads}-thread{'s' if threads > 1 else ''}"
            kept = results / f"{name}-{level}-{cores}-cores/{date}-{kind}.json"
            left = (end - time.monotonic()) / 60
            if left < step.minutes / 2:
                print(f"{level}, {kind}: left out, {max(left, 0.0):.1f} of {minutes:g} minutes are left", flush=True)
                failed = 1
                continue
            begin = time.monotonic()
            said = time_step(step, level, threads, left, kept, run)
            print(f"{level}, {kind}: {said or kept}, {(time.monotonic() - begin) / 60:.1f} minutes", flush=True)
            failed |= said is not None
    return failed


def time_step(step: Step, level: str, threads: int, minutes: float, kept: Path, run: Run) -> str | None:
    """Writes the file of one step, or tells why it has none."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "benchmarks.json"
        suites = [f"benchmarks/{suite}.py" for suite in step.suites]
        options = ["-q", "-p", "no:cacheprovider", "--benchmark-only", f"--benchmark-json={written}"]
        chosen = ["-k", step.chosen] if step.chosen else []
        asked = {
            **LOWERED[level],
            "OLIFT_BENCH_THREADS": str(threads),
            "OLIFT_BENCH_FULL": str(int(step.full)),
            # torch.compile's cache (torch 2.13) does not tell levels apart: code for another one gives wrong results.
            "TORCHINDUCTOR_CACHE_DIR": f"{folder}/compiled",
        }
        code, log = run([sys.executable, "-m", "pytest", *suites, *chosen, *options], asked, 60 * minutes)
        if code or not written.is_file():
            ended = "no results" if not code else f"exit code {code}"
            return "\n".join([f"failed, {ended}", *log.splitlines()[-LAST_LINES:]])
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(written.read_bytes())
    return None


def run(command: Sequence[str], asked: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """The exit code, and what was printed; 124 where it took too long."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **asked}, timeout=seconds, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return 124, f"took more than {seconds / 60:.1f} minutes"
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
