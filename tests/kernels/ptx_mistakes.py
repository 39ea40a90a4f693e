"""Kernels with mistakes in them, run by the machine for PTX: a line of JSON for each, with what it was told."""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import json
import re
from collections.abc import Callable

import ptx
import running_ptx
import torch
import triton
import triton.language as tl


@triton.jit(do_not_specialize=["limit"])
def sums_kernel(x_ptr, out_ptr, count, limit, BLOCK: tl.constexpr):
    """Each number plus the sum of all, on a grid of one program."""
    places = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + places, mask=places < count, other=0.0)
    tl.store(out_ptr + places, x + tl.sum(x, axis=0), mask=places < limit)


def launch(limit: int) -> None:
    """Of 512 numbers; `limit` results are stored."""
    x, out = torch.arange(512.0), torch.zeros(512)
    sums_kernel[(1,)](x, out, 512, limit, BLOCK=1024, num_warps=4)
    assert torch.equal(out, x + x.sum())


def again(program: ptx.Program, shift: int = 0) -> None:
    """The same, from a number further on: what was compiled for memory that is aligned."""
    memory = ptx.GlobalMemory()
    at = [memory.add(name, torch.zeros(528).numpy()) for name in ("x_ptr", "out_ptr")]
    ptx.run(program, memory, ptx.pack(program, [at[0] + 4 * shift, at[1], 512, 512, 0, 0]), (1,), 128, 4096)


def told(mistake: Callable[[], None]) -> str:
    try:
        mistake()
    except ptx.Fault as fault:
        return f"{type(fault).__name__}: {fault}"
    return ""


def main() -> None:
    running_ptx.take_launches()
    print(json.dumps(["good", told(lambda: launch(512))]))
    print(json.dumps(["too wide", told(lambda: launch(513))]))
    ((text, program),) = running_ptx.PROGRAMS.items()
    print(json.dumps(["again", told(lambda: again(program))]))
    print(json.dumps(["misaligned", told(lambda: again(program, shift=1))]))
    without = re.sub(r"bar\.sync\s+0;", "", text)
    print(json.dumps(["no barrier", told(lambda: again(ptx.parse(without)))]))


if __name__ == "__main__":
    main()
