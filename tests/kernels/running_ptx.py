"""Launches of Triton kernels on CPU tensors: compiled for a GPU, their PTX is then run by the machine in `ptx/`.

As a plugin of pytest it runs the tests of the operations so, where they would take Triton's interpreter:

    PYTHONPATH=tests/kernels:. python -m pytest -p running_ptx tests/ops/test_rff.py -k triton

`OLIFT_PTX_ARCHITECTURE` (90) is the GPU's compute capability. Tests of `opcheck` and `torch.compile` don't fit it: they
trace launches, and do not make them.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import ptx
import torch
from compiling import claim, take_cpu_tensors

KERNELS: Counter[str] = Counter()
"""How often each kernel was run, by its name and the type of what it reads or writes."""
_PROGRAMS: dict[str, ptx.Program] = {}


def take_launches(architecture: int = 90) -> None:
    """From here on, every launch of this process is run by the machine; Triton's interpreter must be off."""
    from triton import knobs
    from triton.runtime.jit import JITFunction

    claim(architecture)
    take_cpu_tensors()
    knobs.runtime.add_stages_inspection_hook = _stop_at_ptx
    compile_ = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        compiled = compile_(self, *args, grid=grid, warmup=True, **options)
        arguments = dict(zip(self.arg_names, args, strict=False)) | options
        if not warmup:
            _run(compiled, grid(arguments) if callable(grid) else grid, arguments)
        return compiled

    JITFunction.run = run


def _stop_at_ptx(*stages: Any) -> tuple[str, str] | None:
    """What Triton asks before it compiles: no machine code is made. Its cache keeps these kernels apart from others."""
    if not stages:
        return "ptx", "ptx"
    stages[1]["cubin"] = lambda module, metadata: b""
    return None


def _run(compiled: Any, grid: tuple[int, ...], arguments: dict[str, Any]) -> None:
    text = compiled.asm["ptx"]
    if text not in _PROGRAMS:
        _PROGRAMS[text] = ptx.parse(text)
    program, memory = _PROGRAMS[text], ptx.GlobalMemory()
    types = compiled.src.signature
    values = [_value(memory, name, arguments[name]) for name, kind in types.items() if kind != "constexpr"]
    values += [0] * (len(program.parameters) - len(values))  # memory that Triton lends to kernels that ask for it
    threads = compiled.metadata.num_warps * 32
    ptx.run(program, memory, ptx.pack(program, values), grid, threads, compiled.metadata.shared)
    kinds = {kind.removeprefix("*") for kind in types.values() if kind.startswith("*")}
    KERNELS[f"{program.name} {next((half for half in ('bf16', 'fp16') if half in kinds), 'fp32')}"] += 1


def _value(memory: ptx.GlobalMemory, name: str, value: Any) -> int | float:
    if not isinstance(value, torch.Tensor):
        return value
    storage = value.untyped_storage()
    return memory.add_memory(name, storage.data_ptr(), storage.nbytes()) + value.data_ptr() - storage.data_ptr()


def pytest_configure() -> None:
    os.environ["TRITON_INTERPRET"], os.environ["OLIFT_NATIVE"] = "0", "0"
    take_launches(int(os.environ.get("OLIFT_PTX_ARCHITECTURE", "90")))
