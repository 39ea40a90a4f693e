"""The sources by themselves: warnings are errors, shared headers stand alone, CUDA kernels keep to their registers."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
STRICT = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-psabi", f"-I{CSRC}"]
X86 = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw"],
}
LEVELS = X86 if platform.machine() in ("x86_64", "AMD64") else {"baseline": []}


def compiler() -> str:
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if found is None:
        pytest.skip("no C++ compiler")
    return found


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


# The others need pybind11's headers.
HEADERS = [path for path in CSRC.rglob("*.h") if path.name not in ("binding.h", "checks.h")]


@pytest.mark.slow
@pytest.mark.parametrize("header", sorted(str(path.relative_to(CSRC)) for path in HEADERS))
def test_header_compiles_alone(header: str, tmp_path: Path) -> None:
    source = tmp_path / "alone.cpp"
    source.write_text(f'#include "{header}"\n#include "{header}"\n')
    run(compiler(), *STRICT, "-Wno-unused-function", "-fsyntax-only", str(source))


@pytest.mark.slow
@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("source", sorted(str(p.relative_to(CSRC)) for p in CSRC.rglob("*_cpu.cpp")))
def test_kernels_export_one_function_and_share_none(source: str, isa: str, tmp_path: Path) -> None:
    """A function that two builds share could be linked from the one that this machine can't run."""
    target = tmp_path / "kernel.o"
    flags = ["-O3", "-fPIC", "-fvisibility=hidden", f"-DOLIFT_ISA={isa}", *LEVELS[isa]]
    run(compiler(), *STRICT, *flags, "-c", str(CSRC / source), "-o", str(target))
    if shutil.which("nm") is None:
        pytest.skip("no nm to read the object's symbols with")
    symbols = [line.split(maxsplit=2) for line in run("nm", "-C", "--defined-only", str(target)).splitlines()]
    shared = [name for _, kind, name in symbols if kind in "WVu" and not name.startswith("DW.ref.")]
    exported = [name for _, kind, name in symbols if kind == "T"]
    assert shared == []
    assert len(exported) == 1 and exported[0].endswith(f"{isa}(olift::{exported[0].split('::')[-1]}")


@pytest.mark.slow
@pytest.mark.parametrize("other", ["clang++", "aarch64-linux-gnu-g++"])
@pytest.mark.parametrize("source", sorted(str(p.relative_to(CSRC)) for p in CSRC.rglob("*_cpu.cpp")))
def test_kernels_compile_for_other_systems(source: str, other: str) -> None:
    """By Clang, the compiler of macOS; and for Arm, where headers for x86 are an error."""
    found = shutil.which(other)
    if found is None:
        pytest.skip(f"no {other} on PATH")
    run(found, *STRICT, "-fsyntax-only", "-DOLIFT_ISA=baseline", str(CSRC / source))


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["sm_90", "all-major"])
def test_cuda_compiles_without_warnings_or_spills(arch: str, tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on PATH")
    flags = ["-std=c++17", "-O3", "--threads=2", f"-arch={arch}", f"-I{CSRC}", "-Xptxas", "-v"]
    strict = ["-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra,-Werror"]
    source = CSRC / "geometry" / "procrustes_cuda.cu"
    report = run(nvcc, *flags, *strict, "-c", str(source), "-o", str(tmp_path / "kernel.o"))
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
    kernels = report.count("Compiling entry function")
    assert kernels and kernels % 24 == 0, (
        "two for many sets, two for small ones in two widths, six for large; two dtypes"
    )
    assert len(spills) >= kernels and set(spills) == {("0", "0")}, report
    assert set(re.findall(r"(\d+) bytes stack frame", report)) == {"0"}, report


@pytest.mark.skipif(LEVELS is not X86, reason="of x86-64")
def test_nothing_compiled_for_a_higher_instruction_set_is_called(tmp_path: Path) -> None:
    """Not even what lists its kernels: GCC 14 fills such a list with AVX-512, which ends the process elsewhere."""
    main = tmp_path / "main.cpp"
    main.write_text(
        """
        #include "common/dispatch.h"
        #include <cstdlib>
        namespace olift {
        CpuKernels kernels_baseline() { return {}; }
        CpuKernels kernels_avx2() { std::abort(); }
        CpuKernels kernels_avx512() { std::abort(); }
        LayerKernels layer_kernels_avx512bf16() { std::abort(); }
        }
        int main() { return olift::bfloat16_kernels() != nullptr || olift::cpu_kernels().banded_forward; }
        """
    )
    flags = ["-std=c++17", "-DOLIFT_X86", "-DOLIFT_AVX512BF16", f"-I{CSRC}"]
    run(compiler(), *flags, str(main), str(CSRC / "common/dispatch.cpp"), "-o", str(tmp_path / "main"))
    done = subprocess.run([tmp_path / "main"], env={**os.environ, "OLIFT_SIMD": "baseline"}, timeout=60)
    assert done.returncode == 0
