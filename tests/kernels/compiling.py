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

    @property
    def spills(self) -> bool:
        """Whether registers ran out. ptxas 12.8 puts a counter on the stack now and then, with registers to spare."""
        return self.local > 0 or self.stack > (0 if self.registers > 128 else 8)


def compile_launches(case: str, architecture: int) -> list[Resources]:
    """The kernels that ``case``, "module:function" of a file beside this one, launches, compiled for a GPU."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__)), case, str(architecture)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return [Resources(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def _capture(architecture: int) -> list[Any]:
    """Makes every launch of this process a compilation; the list fills with the compiled kernels."""
    import torch
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

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
    import triton.backends.nvidia

    tool = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = {name: int(value) for name, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", text)}
    # Triton asks for its shared memory at the launch: it is not in the machine code.
    shared = max(found["SHARED"], kernel.metadata.shared)
    return Resources(kernel.metadata.name, found["REG"], found["STACK"], found["LOCAL"], shared)


if __name__ == "__main__":
    module, function = sys.argv[1].split(":")
    kernels = _capture(int(sys.argv[2]))
    getattr(importlib.import_module(module), function)()
    print(json.dumps([asdict(_resources(kernel)) for kernel in kernels]))
