"""A machine for PTX, in NumPy: what a compiler made for NVIDIA GPUs runs on a processor, watched.

    program = parse(text)
    memory = GlobalMemory()
    x = memory.add("x", array)
    run(program, memory, pack(program, [x, array.size]), grid=(2, 1, 1), threads=128)

Blocks run side by side, one array operation for all their threads. A kernel that reads or writes outside of its buffers
or off its alignment is refused, with the instruction and the line of the source; so is one whose threads meet in memory
without a barrier between them, one that waits for what never comes, and one with an instruction that is not known.
"""

from ptx.faults import Deadlock, Fault, Misaligned, OutOfBounds, Race, Trap, UnknownInstruction
from ptx.machine import Machine, run
from ptx.memory import GlobalMemory
from ptx.program import Program, pack, parse

__all__ = [
    "Deadlock",
    "Fault",
    "GlobalMemory",
    "Machine",
    "Misaligned",
    "OutOfBounds",
    "Program",
    "Race",
    "Trap",
    "UnknownInstruction",
    "pack",
    "parse",
    "run",
]
