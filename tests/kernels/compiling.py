"""Compiles the Triton kernels for GPUs that this machine need not have, as their launches would.

A process that `compile_launches` starts has the interpreter off and a driver that claims the architecture. There, a
launch from CPU tensors compiles the kernel for exactly those arguments and runs nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel takes of a GPU, from its machine code."""

    kernel: str
    registers: int
    stack: int  # bytes a thread: what does not fit in registers, and arrays that are indexed
    local: int
    shared: int
    warps: int = 0  # of a program
    instructions: int = 0  # in the machine code
    dtype: str = ""  # of what is read or written, as Triton calls it; a half precision where there is one

    @property
    def spills(self) -> bool:
        """Whether registers ran out. ptxas 12.8 puts a counter on the stack now and then, with registers to spare."""
        return self.local > 0 or self.stack > (0 if self.registers > 128 else 8)


def compile_launches(case: str, architecture: int) -> list[Resources]:
    """The kernels that ``case``, "module:function" of a file beside this one, launches, compiled for a GPU."""
    return [Resources(**row) for row in json.loads(run_beside(__file__, case, str(architecture))[-1])]


def run_beside(script: str, *arguments: str) -> list[str]:
    """The lines that a script of this folder prints, in a process with the interpreter and the native kernels off."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "OLIFT_NATIVE": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).with_name(Path(script).name)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


@contextmanager
def kernels_asked_for() -> Iterator[set[str]]:
    """Within the block a launch from CPU tensors compiles and runs nothing: the set fills with what it would compile.

    For a process that has the interpreter off, and has claimed a GPU.
    """
    from triton import knobs

    found: set[str] = set()

    def note(**launch: Any) -> bool:
        found.add(f"{launch['fn'].name} {launch['repr']} {launch['compile']['key']}")
        return True

    knobs.runtime.jit_cache_hook = note
    try:
        yield found
    finally:
        knobs.runtime.jit_cache_hook = None


def take_cpu_tensors() -> None:
    """Has the operations choose Triton for CPU tensors, as they would for a GPU's, in a process that claims a GPU."""
    from olift_fast.ops import backends

    backends.why_not_triton = lambda: None  # type: ignore[assignment]
    choose = backends._refuse_tensors

    def refuse(device: str, dtypes: Any, tensors: Any) -> str | None:
        return choose("cpu", dtypes, tensors) if device == "cuda" else f"tensors must be on {device}"

    backends._refuse_tensors = refuse


def claim(architecture: int) -> None:
    """Has Triton compile for a GPU of this architecture, which need not be here."""
    import torch
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    class Claimed:
        """A driver that names the architecture and can do nothing else."""

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", architecture, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int = 0) -> int:
            return 0

        def get_active_torch_device(self) -> torch.device:
            return torch.device("cpu")

    driver.set_active(Claimed())


def _capture() -> list[Any]:
    """Makes every launch of this process a compilation; the list fills with the compiled kernels."""
    from triton.runtime.jit import JITFunction

    compiled: list[Any] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        if all(kernel is not other for other in compiled):
            compiled.append(kernel)
        return kernel

    JITFunction.run = compile_only
    return compiled


def _resources(kernel: Any) -> Resources:
    text, code = (_cuobjdump(option, kernel.asm["cubin"]) for option in ("-res-usage", "-sass"))
    found = {name: int(value) for name, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", text)}
    # Triton asks for its shared memory at the launch: it is not in the machine code.
    shared = max(found["SHARED"], kernel.metadata.shared)
    words = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?(\w+)", code, re.MULTILINE)
    instructions = sum(word != "NOP" for word in words)  # NOP fills up what comes after the end
    types = set(kernel.src.signature.values())
    dtype = next((half for half in ("bf16", "fp16") if f"*{half}" in types), "fp32")
    warps = kernel.metadata.num_warps
    name = kernel.metadata.name
    return Resources(name, found["REG"], found["STACK"], found["LOCAL"], shared, warps, instructions, dtype)


def _cuobjdump(option: str, cubin: bytes) -> str:
    import triton.backends.nvidia

    tool = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([tool, option, file.name], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    module, function = sys.argv[1].split(":")
    claim(int(sys.argv[2]))
    kernels = _capture()
    getattr(importlib.import_module(module), function)()
    print(json.dumps([asdict(_resources(kernel)) for kernel in kernels]))
