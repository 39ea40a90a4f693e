"""Branches, exits and barriers; and what is about order alone, which the machine keeps anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.decoding import Action, Decoded, Decoding, Step, collective, instruction
from ptx.faults import Trap, UnknownInstruction
from ptx.kinds import KINDS

if TYPE_CHECKING:
    from ptx.machine import Machine


def _nothing(machine: Machine) -> None:
    pass


@instruction("bra")
def _(decoding: Decoding) -> Decoded:
    decoding.need(1)
    decoding.take("uni")
    (label,) = decoding.operands
    if label not in decoding.program.labels:
        raise UnknownInstruction(f"no label {label}")
    return Decoded(Action.BRANCH, _nothing, label=label)


@instruction("ret", "exit")
def _(decoding: Decoding) -> Decoded:
    decoding.take("uni")
    return Decoded(Action.EXIT, _nothing)


@instruction("bar", "barrier")
def _(decoding: Decoding) -> Decoded:
    decoding.take_all({"aligned", "cta"})
    if decoding.name == "bar" and decoding.take("warp"):
        decoding.take("sync")
        mask = decoding.source(0, KINDS["b32"])
        return collective(lambda machine: machine.meet_warps(), mask)
    if decoding.take("sync") is None:
        raise UnknownInstruction("only barriers that wait")
    decoding.need(1, 2)
    count = decoding.source(1, KINDS["u32"]) if len(decoding.operands) == 2 else None
    return Decoded(Action.BARRIER, _nothing, number=decoding.source(0, KINDS["u32"]), count=count)


@instruction("membar", "fence", "griddepcontrol", "nanosleep", "setmaxnreg", "prefetch", "prefetchu", "pragma")
def _(decoding: Decoding) -> Step:
    decoding.words.clear()
    return _nothing


@instruction("trap", "brkpt")
def _(decoding: Decoding) -> Step:
    def stop(machine: Machine) -> None:
        raise Trap("the kernel traps", int(machine.running[0]))

    return stop


@instruction("activemask")
def _(decoding: Decoding) -> Step:
    target = decoding.target(0, decoding.kind())
    return lambda machine: target(machine, machine.lanes_present()[machine.running // 32])
