"""What the lanes of a warp tell each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ptx.decoding import Decoded, Decoding, collective, instruction
from ptx.faults import UnknownInstruction
from ptx.kinds import KINDS, Array

if TYPE_CHECKING:
    from ptx.machine import Machine

_B32 = KINDS["b32"]
_PREDICATE = KINDS["pred"]


@instruction("shfl")
def _(decoding: Decoding) -> Decoded:
    """A lane's value from another; of a lane that does not take part, all ones."""
    if decoding.kind() is not _B32 or decoding.take("sync") is None:
        raise UnknownInstruction("only .sync and .b32")
    decoding.need(5)
    mode = decoding.take("bfly", "idx", "up", "down")
    first, _, second = decoding.operands[0].partition("|")
    decoding.operands = (first.strip(), *decoding.operands[1:], second.strip() or "_")
    target, inside = decoding.target(0, _B32), decoding.target(5, _PREDICATE)
    source, by, limits, mask = decoding.sources(_B32, 1, 2, 3, 4)

    def step(machine: Machine) -> None:
        lanes = machine.running % 32
        bounds, distance = limits(machine).astype(np.int64), by(machine).astype(np.int64) & 31
        segment, clamp = (bounds >> 8) & 31, bounds & 31
        last = (lanes & segment) | (clamp & ~segment)
        origin = {
            "bfly": lambda: lanes ^ distance,
            "idx": lambda: (lanes & segment) | (distance & ~segment),
            "up": lambda: lanes - distance,
            "down": lambda: lanes + distance,
        }[mode]()
        within = origin >= last if mode == "up" else origin <= last
        origin = np.where(within, origin, lanes)
        told = np.full(machine.total, 0xFFFFFFFF, np.uint32)
        told[machine.running] = source(machine)
        inside(machine, within)
        target(machine, told[machine.running - lanes + origin])

    return collective(step, mask)


@instruction("vote")
def _(decoding: Decoding) -> Decoded:
    mode = decoding.take("ballot", "any", "all", "uni")
    kind = decoding.kind()
    decoding.take("sync")
    decoding.need(3)
    source, mask = decoding.source(1, _PREDICATE), decoding.source(2, _B32)
    target = decoding.target(0, kind)

    def step(machine: Machine) -> None:
        warps = machine.running // 32
        yes = np.zeros(machine.total // 32, np.uint32)
        given = np.broadcast_to(source(machine), warps.shape)
        bit = np.uint32(1) << (machine.running % 32).astype(np.uint32)
        np.bitwise_or.at(yes, warps[given], bit[given])
        asked = mask(machine) & machine.lanes_present()[warps]
        votes = yes[warps] & asked
        if mode == "ballot":
            target(machine, votes)
        elif mode == "any":
            target(machine, votes != 0)
        else:
            target(machine, (votes == asked) | ((votes == 0) & (mode == "uni")))

    return collective(step, mask)


@instruction("redux")
def _(decoding: Decoding) -> Decoded:
    kind = decoding.kind()
    decoding.take("sync")
    decoding.need(3)
    functions: dict[str, Callable[..., Array]] = {
        "add": np.add,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }
    function = functions[decoding.take(*functions) or ""]
    source, mask, target = decoding.source(1, kind), decoding.source(2, _B32), decoding.target(0, kind)

    def step(machine: Machine) -> None:
        warps = machine.running // 32
        values = np.broadcast_to(source(machine), warps.shape)
        begins = np.flatnonzero(np.diff(warps, prepend=-1))
        totals = function.reduceat(values, begins)
        target(machine, np.repeat(totals, np.diff(begins, append=warps.size)))

    return collective(step, mask)


@instruction("elect")
def _(decoding: Decoding) -> Decoded:
    decoding.take("sync")
    first, _, second = decoding.operands[0].partition("|")
    decoding.operands = (first.strip(), decoding.operands[1], second.strip())
    mask = decoding.source(1, _B32)
    lane, elected = decoding.target(0, _B32), decoding.target(2, _PREDICATE)

    def step(machine: Machine) -> None:
        asked = np.broadcast_to(mask(machine), machine.running.shape)
        lowest = np.log2((asked & (~asked + np.uint32(1))).astype(np.float64)).astype(np.uint32)
        lane(machine, lowest)
        elected(machine, machine.running % 32 == lowest)

    return collective(step, mask)
