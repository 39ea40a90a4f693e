"""PTX text into a program: instructions with operands, registers, labels, and where parameters and symbols lie."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptx.decoding import Decoded

WIDTHS = {"pred": 1, "b8": 8, "b16": 16, "b32": 32, "b64": 64, "b128": 128} | {
    f"{kind}{bits}": bits for kind in "usf" for bits in (8, 16, 32, 64)
}
SHARED_BASE = 1024
"""Where shared memory begins: the first 1024 bytes of a block's window belong to the system."""

_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*(?:\(([^)]*)\))?[^{;]*\{")
_PARAMETER = re.compile(r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(?:\.ptr\s+[^,]*?)?([\w$]+)\s*(?:\[(\d+)\])?$")
_VARIABLE = re.compile(r"\.(shared|local)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)\s*(?:\[(\d*)\])?")
_LOCATION = re.compile(r"\.loc\s+(\d+)\s+(\d+)")
_PLACE = re.compile(r"([^\s:/]+:\d+):\d+")
_LABEL = re.compile(r"\s*([$\w]+)\s*:(?!:)")
_GUARD = re.compile(r"@(!?)([%$\w]+)\s+")


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str
    offset: int
    size: int


@dataclass(frozen=True)
class Instruction:
    opcode: str
    operands: tuple[str, ...]
    guard: str | None
    negated: bool
    line: int
    source: str
    """The file and line that it was compiled from, where the text tells."""

    @property
    def words(self) -> list[str]:
        return self.opcode.split(".")

    def __str__(self) -> str:
        guard = "" if self.guard is None else f"@{'!' if self.negated else ''}{self.guard} "
        place = f"line {self.line} of the PTX" + (f", {self.source}" if self.source else "")
        return f"{guard}{self.opcode} {', '.join(self.operands)}".strip() + f" ({place})"


@dataclass
class Program:
    """One kernel."""

    name: str
    parameters: list[Parameter] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    registers: dict[str, int] = field(default_factory=dict)
    """The bits of each; 1 for a predicate."""
    symbols: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The space and the address of each variable and parameter."""
    shared_bytes: int = 0
    """Of the variables that the text declares; a launch may add to them."""
    local_bytes: int = 0

    @cached_property
    def steps(self) -> list[Decoded]:
        """The instructions as the machine runs them, decoded once."""
        from ptx.decoding import decode

        return decode(self)

    def grain(self, space: str) -> int:
        """The fewest bytes, at most 4, that an instruction stores to this memory, or loads from shared memory."""
        widths = [4]
        for each in self.instructions:
            words = each.words
            moves = words[0] == "st" or (words[0] == "ld" and space == "shared")
            if moves and (space in words or f"{space}::cta" in words or not {"shared", "global", "param"} & {*words}):
                widths.append(WIDTHS[words[-1]] // 8)
        return min(widths)

    @cached_property
    def slots(self) -> dict[str, int]:
        return {name: slot for slot, name in enumerate(self.registers)}


def parse(text: str, name: str | None = None) -> Program:
    """The kernel of that name, or the only one.

    Raises:
        ValueError: there is none of that name, or several and no name.
    """
    text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.S)
    entries = [entry for entry in _ENTRY.finditer(text) if name in (None, entry[1])]
    if len(entries) != 1:
        raise ValueError(f"the PTX must have one kernel {name or ''}, got {[entry[1] for entry in entries]}")
    (entry,) = entries
    program = Program(entry[1])
    _take_parameters(program, entry[2] or "")
    for variable in _VARIABLE.finditer(text[: text.index(".entry")]):
        _take_variable(program, variable)
    body = _body(text, entry.end())
    _Reader(program, text.count("\n", 0, entry.end()) + 1).read(body)
    _place_dynamic_memory(program)
    return program


def pack(program: Program, arguments: Sequence[int | float | bytes]) -> bytes:
    """The memory of the parameters; bytes for those that are structures.

    Raises:
        ValueError: the number of arguments, or the size of a structure, is another.
    """
    if len(arguments) != len(program.parameters):
        raise ValueError(f"{program.name} takes {len(program.parameters)} arguments, got {len(arguments)}")
    memory = bytearray(max((p.offset + p.size for p in program.parameters), default=0))
    for parameter, value in zip(program.parameters, arguments, strict=True):
        if isinstance(value, bytes):
            content = value
        elif isinstance(value, float):
            content = struct.pack({4: "<f", 8: "<d"}[parameter.size], value)
        else:
            content = (int(value) & ((1 << 8 * parameter.size) - 1)).to_bytes(parameter.size, "little")
        if len(content) != parameter.size:
            raise ValueError(f"{parameter.name} has {parameter.size} bytes, got {len(content)}")
        memory[parameter.offset : parameter.offset + parameter.size] = content
    return bytes(memory)


def split_operands(text: str) -> tuple[str, ...]:
    """At the commas outside of brackets."""
    parts, depth, begin = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "{[(") - (letter in "}])")
        if letter == "," and depth == 0:
            parts.append(text[begin:at].strip())
            begin = at + 1
    rest = text[begin:].strip()
    return (*parts, rest) if rest else tuple(parts)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _take_parameters(program: Program, text: str) -> None:
    offset = 0
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _PARAMETER.match(re.sub(r"\s+", " ", part))
        if found is None:
            raise ValueError(f"not a parameter: {part}")
        unit = WIDTHS[found[2]] // 8
        size = unit * int(found[4] or 1)
        offset = _round_up(offset, int(found[1] or unit))
        program.parameters.append(Parameter(found[3], found[2], offset, size))
        program.symbols[found[3]] = ("param", offset)
        offset += size


def _take_variable(program: Program, found: re.Match[str]) -> None:
    space, align, kind, name, count = found.groups()
    if count == "":
        program.symbols[name] = ("dynamic", int(align or 1))
        return
    used = program.shared_bytes if space == "shared" else program.local_bytes
    begin = _round_up(used, int(align or 1))
    end = begin + WIDTHS[kind] // 8 * int(count or 1)
    if space == "shared":
        program.symbols[name], program.shared_bytes = ("shared", SHARED_BASE + begin), end
    else:
        program.symbols[name], program.local_bytes = ("local", begin), end


def _place_dynamic_memory(program: Program) -> None:
    for name, (space, align) in program.symbols.items():
        if space == "dynamic":
            program.shared_bytes = _round_up(program.shared_bytes, align)
            program.symbols[name] = ("shared", SHARED_BASE + program.shared_bytes)


def _body(text: str, begin: int) -> str:
    depth = 1
    for brace in re.compile(r"//[^\n]*|[{}]").finditer(text, begin):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return text[begin : brace.start()]
    raise ValueError("the kernel's text has no end")


class _Reader:
    """Reads a body, statement by statement; names of inner scopes are their own."""

    def __init__(self, program: Program, line: int) -> None:
        self.program = program
        self.line = line
        self.source = ""
        self.scopes: list[dict[str, str]] = [{}]
        self.opened = 0

    def read(self, body: str) -> None:
        statement = ""
        for number, line in enumerate(body.split("\n"), self.line):
            location = _LOCATION.match(line.strip())
            if location is not None:
                places = _PLACE.findall(line.partition("//")[2])  # of the line, and of those that it is inlined in
                self.source = ", in ".join(places) or f"line {location[2]} of file {location[1]}"
                continue
            statement = self._take_line(statement, line.split("//")[0], number)
        if statement.strip():
            raise ValueError(f"not a statement: {statement.strip()}")

    def _take_line(self, statement: str, line: str, number: int) -> str:
        """What of a statement is left open at the end of the line."""
        for part in _pieces(line):
            label = _LABEL.match(part) if not statement.strip() else None
            while label is not None:
                if self.program.labels.setdefault(label[1], len(self.program.instructions)) != len(
                    self.program.instructions
                ):
                    raise ValueError(f"two labels are named {label[1]}")
                part = part[label.end() :]
                label = _LABEL.match(part)
            if part == "{" and not statement.strip():
                self.scopes.append({})
                self.opened += 1
            elif part == "}" and not statement.strip():
                self.scopes.pop()
            elif part == ";":
                self._take_statement(statement.strip(), number)
                statement = ""
            else:
                statement += part
        return statement + " "

    def _take_statement(self, statement: str, number: int) -> None:
        if statement.startswith(".reg"):
            self._take_registers(statement)
        elif statement.startswith((".shared", ".local")):
            found = _VARIABLE.match(statement)
            if found is None:
                raise ValueError(f"not a variable: {statement}")
            _take_variable(self.program, found)
        elif statement and not statement.startswith("."):
            guard = _GUARD.match(statement)
            opcode, *rest = statement[guard.end() if guard else 0 :].split(None, 1)
            operands = tuple(self._operand(text) for text in split_operands(" ".join(rest)))
            register = None if guard is None else self._renamed(guard[2])
            negated = guard is not None and guard[1] == "!"
            self.program.instructions.append(
                Instruction(opcode, operands, register, negated, number, self.source),
            )

    def _take_registers(self, statement: str) -> None:
        _, kind, names = statement.replace("\t", " ").split(None, 2)
        for name in names.split(","):
            found = re.match(r"\s*([%$\w]+)\s*(?:<(\d+)>)?", name)
            assert found is not None, statement
            stem, count = found[1], found[2]
            for full in [stem] if count is None else [f"{stem}{i}" for i in range(int(count))]:
                if len(self.scopes) > 1:
                    self.scopes[-1][full] = f"{full}#{self.opened}"
                self.program.registers[self._renamed(full)] = WIDTHS[kind[1:]]

    def _operand(self, text: str) -> str:
        if len(self.scopes) == 1:
            return text
        return re.sub(r"[%$A-Za-z_][\w$]*(?:\.\w+)?", lambda word: self._renamed(word[0]), text)

    def _renamed(self, name: str) -> str:
        return next((scope[name] for scope in reversed(self.scopes) if name in scope), name)


def _pieces(line: str) -> Iterator[str]:
    """A line cut at braces and semicolons, which are pieces of their own."""
    return (piece for piece in re.split(r"([{};])", line) if piece)
