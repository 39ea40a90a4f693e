"""Kernels compiled for 64-bit Arm, run by QEMU on a machine that is none: they give what their formulas give."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
SOURCES = ("attention/banded_cpu.cpp", "geometry/procrustes_cpu.cpp", "common/parallel.cpp")


@pytest.mark.slow
def test_kernels_are_right_on_arm(tmp_path: Path) -> None:
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("needs aarch64-linux-gnu-g++ and qemu-aarch64")
    flags = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi", "-static", "-pthread"]
    sources = [str(HERE / "arm" / "main.cpp"), *(str(CSRC / source) for source in SOURCES)]
    command = [compiler, *flags, "-DOLIFT_ISA=baseline", f"-I{CSRC}", *sources, "-o", str(tmp_path / "kernels")]
    built = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr[-3000:]
    done = subprocess.run([emulator, str(tmp_path / "kernels")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    errors = {name: float(value) for name, value in re.findall(r"(\w+) (\S+)", done.stdout)}
    assert set(errors) == {"attention", "procrustes"}
    assert all(error < 2e-6 for error in errors.values()), errors  # also where one is NaN
