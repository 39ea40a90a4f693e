"""What each instruction does: its words and operands, looked up once, become a function of the machine.

`instruction` registers a decoder by the first word of an opcode. A decoder takes what it knows out of `Decoding`; a
word that none has taken makes the instruction unknown, so that no form of one is run as another.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from ptx.faults import UnknownInstruction
from ptx.kinds import KINDS, UNSIGNED, Array, Kind
from ptx.program import Instruction, Program

if TYPE_CHECKING:
    from ptx.machine import Machine

Step = Callable[["Machine"], None]
Reader = Callable[["Machine"], Array]
Writer = Callable[["Machine", Array], None]
_SPECIAL = re.compile(r"%(?:n?tid|n?ctaid)\.[xyz]$|%laneid$|%warpid$")


class Action(Enum):
    """What the machine does about an instruction beside running it."""

    PLAIN = 0
    COLLECTIVE = 1  # runs once the lanes of `mask` have come
    BRANCH = 2
    EXIT = 3
    BARRIER = 4  # of the block


@dataclass(frozen=True)
class Decoded:
    """An instruction as the machine runs it."""

    action: Action
    run: Step
    guard: Reader | None = None
    mask: Reader | None = None
    label: str = ""
    number: Reader | None = None
    count: Reader | None = None
    """Of a barrier: which one, and how many threads it is for."""


Decoder = Callable[["Decoding"], "Step | Decoded"]
_DECODERS: dict[str, Decoder] = {}


def instruction(*names: str) -> Callable[[Decoder], Decoder]:
    """Registers a decoder for opcodes that begin with one of these words."""

    def register(decoder: Decoder) -> Decoder:
        _DECODERS.update(dict.fromkeys(names, decoder))
        return decoder

    return register


def collective(run: Step, mask: Reader | None = None) -> Decoded:
    """An instruction that lanes of a warp run together: all that have not left, or those of a mask."""
    return Decoded(Action.COLLECTIVE, run, mask=mask)


def decode(program: Program) -> list[Decoded]:
    """Each instruction as the machine runs it.

    Raises:
        UnknownInstruction: names them all.
    """
    from ptx import access, arithmetic, bits, control, conversions, tensor_cores, warps  # noqa: F401

    steps, unknown = [], []
    for each in program.instructions:
        try:
            steps.append(_decoded(program, each))
        except UnknownInstruction as fault:
            unknown.append(f"{each}: {fault}")
    if unknown:
        raise UnknownInstruction(f"{program.name}: instruction not known: " + "\n".join(unknown))
    return steps


def _decoded(program: Program, each: Instruction) -> Decoded:
    decoder = _DECODERS.get(each.words[0])
    if decoder is None:
        raise UnknownInstruction("no such word")
    decoding = Decoding(program, each)
    found = decoder(decoding)
    if decoding.words:
        raise UnknownInstruction(f"no such form: .{'.'.join(decoding.words)}")
    if not isinstance(found, Decoded):
        found = Decoded(Action.PLAIN, found)
    if each.guard is None:
        return found
    guard = reader(program, f"{'!' if each.negated else ''}{each.guard}", KINDS["pred"])
    return replace(found, guard=guard)


class Decoding:
    """An instruction, while its decoder takes it apart."""

    def __init__(self, program: Program, each: Instruction) -> None:
        self.program = program
        self.name, *self.words = each.words
        self.operands = each.operands

    def take(self, *words: str) -> str | None:
        """The first of these words that the opcode has, which is then done with."""
        for word in words:
            if word in self.words:
                self.words.remove(word)
                return word
        return None

    def take_all(self, words: Iterable[str]) -> None:
        """Takes out words that change nothing here."""
        ignored = set(words)
        self.words = [word for word in self.words if word not in ignored]

    def take_hints(self) -> None:
        """Takes out what is about caches and about the order in which other blocks see memory."""
        self.take_all(
            {"weak", "volatile", "relaxed", "acquire", "release", "cta", "cluster", "gpu", "sys", "nc", "aligned"}
        )
        self.take_all({"ca", "cg", "cs", "lu", "cv", "wb", "wt", "evict_first", "evict_last", "evict_normal"})
        self.words = [word for word in self.words if not word.startswith(("L1::", "L2::"))]

    def kind(self) -> Kind:
        """The last word, a type."""
        if not self.words or self.words[-1] not in KINDS:
            raise UnknownInstruction("no type that is known")
        return KINDS[self.words.pop()]

    def need(self, count: int, *more: int) -> None:
        if len(self.operands) not in (count, *more):
            raise UnknownInstruction(f"{len(self.operands)} operands")

    def source(self, at: int, kind: Kind) -> Reader:
        return reader(self.program, self.operands[at], kind)

    def sources(self, kind: Kind, *at: int) -> list[Reader]:
        return [self.source(k, kind) for k in at]

    def target(self, at: int, kind: Kind) -> Writer:
        return writer(self.program, self.operands[at], kind)

    def parts(self, at: int) -> list[str]:
        """The registers of a vector, `{a, b}`; of one register, itself."""
        text = self.operands[at]
        return [part.strip() for part in text[1:-1].split(",")] if text.startswith("{") else [text]


def reader(program: Program, text: str, kind: Kind) -> Reader:
    """Reads an operand, for the threads that run: an array of theirs, or a scalar for a constant."""
    negated = text.startswith("!")
    slot = program.slots.get(text.lstrip("!"))
    if slot is not None:
        return _register_reader(slot, program.registers[text.lstrip("!")], kind, negated)
    if _SPECIAL.match(text):
        return lambda machine: kind.read(machine.special(text).astype(UNSIGNED[kind.bits]))
    if text in program.symbols:
        constant = program.symbols[text][1]
    else:
        constant = _constant(text, kind)
    if kind.bits == 1:
        value = np.bool_(constant)
    else:
        value = kind.read(np.array(constant & ((1 << kind.bits) - 1), UNSIGNED[kind.bits]))
    return lambda machine: value


def _register_reader(slot: int, width: int, kind: Kind, negated: bool) -> Reader:
    if (width == 1) != (kind.bits == 1) or width < kind.bits:
        raise UnknownInstruction(f"a register of {width} bits as {kind.name}")
    take = kind.read
    if negated:
        return lambda machine: ~machine.register(slot)
    if kind.bits == 1:
        return lambda machine: machine.register(slot)
    if width == kind.bits:
        return lambda machine: take(machine.register(slot))
    narrow = UNSIGNED[kind.bits]
    return lambda machine: take(machine.register(slot).astype(narrow))


def writer(program: Program, text: str, kind: Kind) -> Writer:
    """Writes an operand, for the threads that run. What is narrower than its register is extended by its sign."""
    if text == "_":
        return lambda machine, values: None
    slot = program.slots.get(text)
    if slot is None:
        raise UnknownInstruction(f"writes to {text}")
    width = program.registers[text]
    if (width == 1) != (kind.bits == 1) or width < kind.bits:
        raise UnknownInstruction(f"a register of {width} bits for {kind.name}")
    give = kind.write
    if width == kind.bits:
        return lambda machine, values: machine.set_register(slot, give(values))
    wide, signed = UNSIGNED[width], f"i{kind.bits // 8}"
    if kind.name.startswith("s"):
        return lambda machine, values: machine.set_register(slot, give(values).view(signed).astype(wide))
    return lambda machine, values: machine.set_register(slot, give(values).astype(wide))


def _constant(text: str, kind: Kind) -> int:
    """The bits of a number that the text writes out."""
    floating = re.fullmatch(r"(-?)0([fdFD])([0-9A-Fa-f]+)", text)
    if floating is not None:
        (value,) = struct.unpack(">f" if floating[2] in "fF" else ">d", bytes.fromhex(floating[3]))
        value = -value if floating[1] else value
        return int(kind.write(np.asarray(value, kind.numbers))) if kind.floating else int(floating[3], 16)
    try:
        if kind.floating and not re.fullmatch(r"-?(0[xX])?[0-9A-Fa-f]+U?", text):
            return int(kind.write(np.asarray(float(text), kind.numbers)))
        number = int(text.rstrip("U"), 0)
    except ValueError:
        raise UnknownInstruction(f"operand {text}") from None
    if kind.name in ("f32", "f64"):
        return int(kind.write(np.asarray(number, kind.numbers)))
    return number
