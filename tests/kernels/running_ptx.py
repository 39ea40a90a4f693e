"""Launches of Triton kernels on CPU tensors: compiled for a GPU, their PTX is then run by the machine in `ptx/`.

As a plugin of pytest it runs tests of the operations so, where they would take Triton's interpreter:

    PYTHONPATH=tests/kernels:. .venv/bin/python -m pytest -p running_ptx tests/ops/test_rff.py -k triton

`OLIFT_PTX_ARCHITECTURE` (90) is the GPU's compute capability. Tests in half precision run, too, which otherwise need a
GPU; those of `opcheck` and `torch.compile` don't fit: they trace launches.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import ptx
import pytest
import torch
from compiling import claim

KERNELS: Counter[str] = Counter()
"""How often each kernel was run: its module and its name."""
PROGRAMS: dict[str, ptx.Program] = {}
"""What was run, by its text."""


def take_launches(architecture: int = 90) -> None:
    """From here on, every launch of this process is run by the machine; Triton's interpreter must be off."""
    from triton import knobs
    from triton.runtime.jit import JITFunction

    claim(architecture)
    knobs.runtime.add_stages_inspection_hook = _stop_at_ptx
    compile_only = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        compiled = compile_only(self, *args, grid=grid, warmup=True, **options)
        if not warmup:
            arguments = dict(zip(self.arg_names, args, strict=False)) | options
            _run(compiled, grid(arguments) if callable(grid) else grid, arguments)
            KERNELS[f"{self.module}.{self.__name__}"] += 1
        return compiled

    JITFunction.run = run


def _stop_at_ptx(*given: Any) -> tuple[str, str] | None:
    """No machine code is made. Without arguments: the key by which Triton's cache keeps such kernels apart."""
    if not given:
        return "no machine code", "no machine code"
    stages: dict[str, Callable[[Any, Any], Any]] = given[1]
    stages["cubin"] = lambda module, metadata: b""
    return None


def _run(compiled: Any, grid: tuple[int, ...], arguments: dict[str, Any]) -> None:
    text = compiled.asm["ptx"]
    if text not in PROGRAMS:
        PROGRAMS[text] = ptx.parse(text)
    program, memory = PROGRAMS[text], ptx.GlobalMemory()
    taken = [name for name, kind in compiled.src.signature.items() if kind != "constexpr"]
    values = [_value(memory, name, arguments[name]) for name in taken]
    values += [0] * (len(program.parameters) - len(values))  # memory that Triton lends to kernels that ask for it
    threads = compiled.metadata.num_warps * 32
    ptx.run(program, memory, ptx.pack(program, values), grid, threads, compiled.metadata.shared)


def _value(memory: ptx.GlobalMemory, name: str, value: Any) -> int | float:
    """A number, or the address of a tensor: all of its storage may be touched, and nothing else."""
    if not isinstance(value, torch.Tensor):
        return value
    storage = value.untyped_storage()
    base = memory.add_memory(name, storage.data_ptr(), storage.nbytes())
    return base + value.data_ptr() - storage.data_ptr()


def pytest_configure() -> None:
    """The operations are told that Triton's interpreter is on, and take CPU tensors; Triton knows that it is off."""
    os.environ["TRITON_INTERPRET"] = "1"
    from olift_fast.ops.triton_runtime import interpreted

    assert interpreted()
    os.environ["TRITON_INTERPRET"] = "0"
    take_launches(int(os.environ.get("OLIFT_PTX_ARCHITECTURE", "90")))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        of_a_type = "dtype" in getattr(getattr(item, "callspec", None), "params", ())
        if of_a_type and item.get_closest_marker("gpu"):
            item.own_markers = [mark for mark in item.own_markers if mark.name != "skip"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name, count in sorted(KERNELS.items()):
        kernel, _, module = name.rpartition(".")[::-1]
        terminalreporter.write_line(f"{count} launch{'es' * (count > 1)} of {kernel} ({module}) run from their PTX")
