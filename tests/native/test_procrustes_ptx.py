"""The CUDA kernels of Procrustes alignment, compiled by nvcc: their PTX, run on the processor, against float64."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from native_calls import disturbed_sets, procrustes, procrustes_error, procrustes_gradients, relative_error

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
sys.path.append(str(HERE.parent / "kernels"))

import ptx  # noqa: E402

pytestmark = pytest.mark.slow  # the kernels are compiled for it

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-11}


class OnPtx:
    """The module's functions on tensors of the CPU: each launch is run by the machine for PTX, at once."""

    def __init__(self, module: ModuleType, library: Path, text: str) -> None:
        self.module, self.text = module, text
        self.procrustes_workspace = module.procrustes_workspace
        self.programs: dict[str, ptx.Program] = {}
        self.memory: list[torch.Tensor] = []
        self.fault: Exception | None = None
        kind = ctypes.CFUNCTYPE(
            None, ctypes.c_char_p, *[ctypes.c_uint] * 3, ctypes.POINTER(ctypes.POINTER(ctypes.c_char))
        )
        self.callback = kind(self._launched)
        ctypes.CDLL(str(library)).on_launch(self.callback)

    def procrustes_cuda(self, *arguments: Any) -> None:
        self.memory = [x for given in arguments for x in (given if isinstance(given, tuple) else [given])]
        self.memory = [x for x in self.memory if isinstance(x, torch.Tensor)]
        self.module.procrustes_cuda(*arguments)
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault

    def _launched(self, name: bytes, blocks: int, threads: int, shared: int, arguments: Any) -> None:
        try:
            self._run(name.decode(), blocks, threads, shared, arguments)
        except Exception as fault:  # noqa: BLE001 - C++ can't hold it
            self.fault = self.fault or fault

    def _run(self, name: str, blocks: int, threads: int, shared: int, arguments: Any) -> None:
        program = self.programs.get(name) or ptx.parse(self.text, name)
        self.programs[name] = program
        memory = ptx.GlobalMemory()
        for k, x in enumerate(self.memory):
            storage = x.untyped_storage()
            memory.add_memory(f"of tensor {k}", storage.data_ptr(), storage.nbytes(), in_place=True)
        values = [bytes(arguments[k][: p.size]) for k, p in enumerate(program.parameters)]
        ptx.run(program, memory, ptx.pack(program, values), (blocks,), threads, shared)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> OnPtx:
    pybind11 = pytest.importorskip("pybind11")
    nvcc = shutil.which("nvcc")
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if nvcc is None or compiler is None:
        pytest.skip("no nvcc on PATH" if nvcc is None else "no C++ compiler")
    folder = tmp_path_factory.mktemp("ptx")
    run(
        *(nvcc, "-std=c++17", "-O3", "-gencode", "arch=compute_90,code=compute_90", "-cudart", "none", f"-I{CSRC}"),
        *("-Xcompiler", "-fPIC", "--keep", "--keep-dir", str(folder)),
        *("-c", str(CSRC / "geometry" / "procrustes_cuda.cu"), "-o", str(folder / "kernels.o")),
    )
    runtime, library = folder / "runtime.o", folder / "recorded_cuda.so"
    run(nvcc, "-std=c++17", "-Xcompiler", "-fPIC", "-c", str(HERE / "recorded" / "runtime.cpp"), "-o", str(runtime))
    headers = [CSRC, pybind11.get_include(), sysconfig.get_paths()["include"]]
    run(
        *(compiler, "-std=c++17", "-O0", "-shared", "-fPIC", "-Wno-psabi", *(f"-I{path}" for path in headers)),
        *(str(HERE / "recorded" / "module.cpp"), str(runtime), str(folder / "kernels.o"), "-o", str(library)),
    )
    spec = importlib.util.spec_from_file_location("recorded_cuda", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (text,) = folder.glob("*.ptx")
    return OnPtx(module, library, text.read_text())


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]


# A warp of 8-lane groups with some to spare, a warp for each set, a set of several slices.
@pytest.mark.parametrize(
    ("count", "points", "dtype", "weighted"),
    [
        (1, 1, np.float32, False),
        (21, 26, np.float32, True),
        (21, 26, np.float64, False),
        (3, 65, np.float32, True),
        (1, 4200, np.float32, True),
    ],
)
def test_every_step_matches_the_cpu(device: OnPtx, count: int, points: int, dtype: type, weighted: bool) -> None:
    """No access outside of the tensors or off its alignment, no race: the machine refuses them."""
    kind = ["rigid", "similarity", "rotation"][points % 3]
    source, target, weights = disturbed_sets(count, points, dtype, weighted)
    random = np.random.default_rng(1)
    upstream = tuple(random.standard_normal((count, *shape)).astype(dtype) for shape in ((3, 3), (), (3,)))
    pull = random.standard_normal(count).astype(dtype)
    steps: list[Callable[[Any], dict[str, np.ndarray]]] = [
        lambda on: procrustes(source, target, weights, kind, on=on),
        lambda on: procrustes_gradients(upstream, source, target, weights, kind, on=on),
        lambda on: procrustes_error(source, target, weights, kind, upstream=pull, on=on),
    ]
    for step in steps:
        got, wanted = step(device), step(None)
        for name in wanted:
            assert relative_error(got[name], wanted[name]) < TOLERANCE[dtype], name
    assert device.programs


def test_strided_views_of_many_small_sets(device: OnPtx) -> None:
    source, target, weights = disturbed_sets(37, 5, np.float32, True)
    wide = np.full((5, 37, 5), 9, np.float32).transpose(1, 0, 2)
    wide[..., 1:4] = source
    got = procrustes(wide[..., 1:4], np.broadcast_to(target[:1], source.shape), weights, on=device)
    wanted = procrustes(source, np.repeat(target[:1], 37, 0), weights)
    assert all(relative_error(got[name], wanted[name]) < 2e-5 for name in wanted)
