"""What a GPU machine is asked, in an order that tells most first: `make gpu`, within eight minutes.

``python -m benchmarks.gpu OUT`` builds the native module, compares every operation with plain PyTorch, runs the tests
that need the GPU, and takes times. ``--rehearse`` goes through the same steps on a machine without a GPU as far as that
goes; ``--sanitize`` has compute-sanitizer watch every operation.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 480
MOST_FILES = 8
"""That the runs may leave in OUT."""
TESTS = [f"tests/{folder}" for folder in ("kernels", "model", "native", "nn", "ops", "streaming", "train")]
NAMES_A_MARK = re.compile(r"\bmark\.(gpu|triton)\b|\bneeds_triton\b")
DTYPES = ("float32", "float16", "bfloat16")
CUDA = Path("/usr/local/cuda")
PYTHON = sys.executable
PYTEST = (PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Step:
    """Commands that run side by side, with one log.

    Args:
        name: of the step, and of its log in OUT.
        commands: each an argument list.
        seconds: after which what still runs is ended.
        kept: seconds of these that the steps before it leave, however slow they are.
        decides: whether the steps after it are pointless where it fails.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    seconds: float
    kept: float = 0
    decides: bool = False


def gpu_steps(out: Path, workers: int) -> list[Step]:
    """What `make gpu` runs."""
    build = ROOT / "build" / "native-gpu"
    script = f'"$@" && cmake --build {build} --parallel && cmake --install {build} --prefix . --component olift'
    script += f" && {{ {PYTHON} -m olift_fast doctor || true; }}"
    # Neighbors need the same kernels, so each worker starts with a run of them. By whole files, one worker would have a
    # quarter of all tests.
    sharing = ("-n", str(workers), "--dist", "worksteal") if find_spec("xdist") else ()
    results = ("--benchmark-only", f"--benchmark-json={out / 'benchmarks.json'}")
    return [
        Step("build", (("sh", "-c", script, "sh", *configure(build)),), 150, decides=True),
        Step("every_op", tuple(every_op("cuda", dtype) for dtype in DTYPES), 90, decides=True),
        Step("tests", ((*PYTEST, "--no-skips", "--maxfail=30", *sharing, *chosen_tests()),), 200),
        Step("benchmarks", ((*PYTEST, "benchmarks/test_gpu.py", *results),), 180, kept=120),
    ]


def sanitizer_steps() -> list[Step]:
    """What `make gpu-sanitize` runs after a build: slow, so in few seconds each and by itself."""
    watched = ("compute-sanitizer", "--error-exitcode", "9", "--tool")
    return [
        Step(tool, tuple((*watched, tool, *every_op("cuda", dtype)) for dtype in DTYPES), 200)
        for tool in ("memcheck", "racecheck")
    ]


def rehearsal_steps() -> list[Step]:
    """The same here: configured, computed on the CPU, compiled for sm_90, collected, and run once on small shapes."""
    build = ROOT / "build" / "native-rehearsal"
    compiled = (PYTHON, "tests/kernels/compiling.py", "every_op_launches:bfloat16", "90")
    claimed = (*PYTEST, "-p", "claimed_gpu", "--collect-only", *chosen_tests())
    return [
        Step("build", (configure(build),), 120, decides=True),
        Step("every_op", (every_op("cpu"), *([compiled] if find_spec("triton") else [])), 600, decides=True),
        Step("tests", (claimed,), 600),
        Step("benchmarks", ((*PYTEST, "benchmarks/test_gpu.py", "--benchmark-disable"),), 900),
    ]


def configure(build: Path) -> tuple[str, ...]:
    """CMake for one instruction set of the CPU; CUDAARCHS in the environment names the GPU's."""
    ninja = ("-G", "Ninja") if shutil.which("ninja") else ()
    options = ("-DCMAKE_BUILD_TYPE=Release", "-DOLIFT_ALL_SIMD=OFF", f"-DPython_EXECUTABLE={PYTHON}")
    return "cmake", "-S", ".", "-B", str(build), *ninja, *options


def every_op(*arguments: str) -> tuple[str, ...]:
    """The script that runs every operation."""
    return PYTHON, "tests/kernels/every_op.py", *arguments


def chosen_tests() -> tuple[str, ...]:
    """Tests that compute on the GPU, and no others: none that only compiles, none of the CPU.

    Files that have none are not imported: that takes time, and some need packages that a GPU machine may lack.
    """
    files = sorted(path for folder in TESTS for path in (ROOT / folder).rglob("test_*.py"))
    chosen = [str(path.relative_to(ROOT)) for path in files if NAMES_A_MARK.search(path.read_text(encoding="utf-8"))]
    return "-m", "gpu or triton", *chosen


def environment(rehearse: bool, sanitize: bool = False) -> dict[str, str]:
    """Of the steps: CUDA's programs on the PATH, the GPU's architecture, and one cache of compiled kernels."""
    found = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'kernels'}", "PYTHONUNBUFFERED": "1"}
    folders = [str(Path(PYTHON).parent), found.get("PATH", ""), str(CUDA / "bin")]
    found["PATH"] = os.pathsep.join(folders)
    found.setdefault("CUDAARCHS", "90-real" if rehearse else _architecture())
    found.setdefault("TRITON_CACHE_DIR", str(ROOT / "build" / "triton-cache"))
    found.setdefault("OMP_NUM_THREADS", "1")  # as many tests as processors run side by side
    if rehearse:
        found["TRITON_INTERPRET"] = "0"
    if sanitize:
        # Each tensor by itself, so that a step beyond its end is seen.
        found["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    return found


def _architecture() -> str:
    import torch

    major, minor = torch.cuda.get_device_capability()
    return f"{major}{minor}-real"


def run_step(step: Step, out: Path, env: Mapping[str, str], seconds: float) -> tuple[bool, float]:
    """Runs a step with at most so many seconds; whether all went well, and how long it took."""
    begin = time.monotonic()
    logs = [out / f".{step.name}.{number}" for number in range(len(step.commands))]
    running = []
    for command, log in zip(step.commands, logs, strict=True):
        # An interrupted pytest still writes what it has measured; a program that does not listen is ended for good.
        limited = ("timeout", "-s", "INT", "-k", "10", str(max(1, round(seconds))), *command)
        with log.open("wb") as file:
            running.append(subprocess.Popen(limited, stdout=file, stderr=subprocess.STDOUT, env=env, cwd=ROOT))
    codes = [process.wait() for process in running]
    with (out / f"{step.name}.log").open("wb") as whole:
        for log, code in zip(logs, codes, strict=True):
            whole.write(log.read_bytes())
            if code:
                whole.write(f"\nended with {code}{' at its time limit' if code in (124, 137) else ''}\n".encode())
            log.unlink()
    return not any(codes), time.monotonic() - begin


def run_steps(steps: Sequence[Step], out: Path, env: Mapping[str, str], limit: float) -> int:
    """Runs them in order, and prints the end of each log; 1 where one failed or was left out."""
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + limit
    told: dict[str, str] = {}
    stopped = None
    for at, step in enumerate(steps):
        left = end - time.monotonic() - sum(later.kept for later in steps[at + 1 :])
        if stopped is not None or left < 5:
            told[step.name] = f"left out: {stopped or 'no time was left'}"
            continue
        good, seconds = run_step(step, out, env, min(step.seconds, left))
        told[step.name] = f"{'ok' if good else 'FAILED'} in {seconds:.0f} s"
        print(f"== {step.name}: {told[step.name]}\n{_last_lines(out / f'{step.name}.log')}", flush=True)
        if step.decides and not good:
            stopped = f"{step.name} failed"
        (out / "summary.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    for name, line in told.items():
        print(f"{name:12} {line}")
    return int(any(not line.startswith("ok") for line in told.values()))


def _last_lines(log: Path, count: int = 40) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 where every step went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the logs and benchmarks.json")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--rehearse", action="store_true", help="without a GPU, as far as that goes")
    how.add_argument("--sanitize", action="store_true", help="memcheck and racecheck instead, after a run without this")
    parser.add_argument("--seconds", type=float, default=LIMIT_SECONDS, help="for all steps together (%(default)s)")
    given = parser.parse_args(arguments)
    out = given.out.resolve()
    if given.rehearse:
        return run_steps(rehearsal_steps(), out, environment(True), 3600)
    steps = sanitizer_steps() if given.sanitize else gpu_steps(out, os.cpu_count() or 1)
    return run_steps(steps, out, environment(False, given.sanitize), given.seconds)


if __name__ == "__main__":
    sys.exit(main())
