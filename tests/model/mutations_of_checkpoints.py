"""Damaged checkpoints, states and configurations of trainings, for `fuzz_checkpoints`: functions of random numbers."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence

from mutations_of_text import BYTES, TEXT, json_tree
from safetensors.torch import load as parse
from safetensors_headers import header

from olift_fast.train.state import CHECKSUM
from olift_fast.train.state_checks import checksum


def damaged_config(draw: random.Random, data: bytes) -> bytes:
    """A ``config.json``: its bytes, its text, its tree, or above all the lifter's own fields."""
    return damaged(draw, data, (*BYTES, *TEXT, *[json_tree] * 12, *[lifter_fields] * 12))


def damaged_toml(draw: random.Random, data: bytes) -> bytes:
    """A configuration of a training: its bytes, or above all its text."""
    return damaged(draw, data, (*BYTES, *[*TEXT] * 3))


def damaged(draw: random.Random, data: bytes, ways: Sequence[Callable[[random.Random, bytes], bytes]]) -> bytes:
    """The content, changed once or a few times."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = draw.choice(ways)(draw, data)[: 10**6] if data else data
    return data


_NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    0.5,
    1e9,
    2**31,
    2**63,
    10**30,
    1e400,
    -0.0,
    True,
    None,
    "8",
    [8],
    {},
    "\x1b[2J",
    float("nan"),
)


def lifter_fields(draw: random.Random, data: bytes) -> bytes:
    """Other values of the lifter's own fields."""
    try:
        config = json.loads(data)
        fields = config["lifter"]
        for _ in range(draw.choice((1, 1, 2))):
            name = draw.choice(list(fields))
            old = fields[name]
            near = (
                [old * 2, old + 1, old - 1] if isinstance(old, int) else [[1, 2], [0, 0], [10**6, 1], "linear", "none"]
            )
            fields[name] = draw.choice((*_NUMBERS, *near))
    except (ValueError, RecursionError, LookupError, TypeError):
        return draw.choice(BYTES)(draw, data)
    return json.dumps(config).encode()


def damaged_tensors(draw: random.Random, data: bytes) -> bytes:
    """A safetensors file: its bytes, its header, what is told in that, or single numbers of its tensors."""
    kind = draw.randrange(6)
    if kind == 0:
        return damaged(draw, data, BYTES)
    length = 8 + int.from_bytes(data[:8], "little")
    if kind == 1:
        at = draw.randrange(length, len(data) - 4) // 4 * 4
        number = struct.pack("<f", draw.choice((0.0, 1.0, -1.0, 1e38, 1e-40, float("nan"), float("-inf"))))
        return data[:at] + number + data[at + 4 :]
    if kind == 2 and "training" in header(data).get("__metadata__", {}):
        return _signed(data, _facts(draw, data))
    if kind == 3:
        return draw.randbytes(draw.choice((0, 1, 7, 8))) + data[draw.choice((0, 8, length)) :]
    written = damaged(draw, data[8:length], (*[json_tree] * 6, *[_entry] * 6, *TEXT, *BYTES))
    size = len(written) if draw.random() < 0.9 else draw.choice((0, 2**63, 2**64 - 1, len(data), len(written) + 1))
    return struct.pack("<Q", size) + written + data[length:]


def _entry(draw: random.Random, data: bytes) -> bytes:
    """Other dtypes, shapes and offsets of some tensors."""
    try:
        entries = json.loads(data)
        names = [name for name in entries if name != "__metadata__"]
        name, other = draw.choice(names), draw.choice(names)
        key = draw.choice(("dtype", "shape", "data_offsets"))
        values = (entries[other][key], draw.choice(("F16", "F64", "U8", "I64", "BOOL", "F8_E4M3", "x")))
        begin, end = entries[name]["data_offsets"]
        numbers = (
            [],
            [0],
            [begin, end + 4],
            [begin - 4, end],
            [end, begin],
            [2**40, 2**40],
            [-1, 1],
            [1] * 9,
            [0, 2**62],
        )
        entries[name][key] = draw.choice((*values, *numbers))
        if draw.random() < 0.2:
            entries[draw.choice(("x", "\x1b[2J", "losses", other))] = entries.pop(name)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return draw.choice(BYTES)(draw, data)
    return json.dumps(entries).encode()


def _facts(draw: random.Random, data: bytes) -> str:
    told = header(data)["__metadata__"]["training"].encode()
    return damaged(draw, told, (*[json_tree] * 9, *TEXT)).decode("utf-8", "replace")


def _signed(data: bytes, written: str) -> bytes:
    """A state with other facts, and the checksum that fits them, where they are facts at all."""
    try:
        facts = json.loads(written)
        facts.pop(CHECKSUM, None)
        facts[CHECKSUM] = checksum(facts, parse(data))
        written = json.dumps(facts)
    except (ValueError, RecursionError, AttributeError, TypeError):
        pass
    entries = header(data) | {"__metadata__": {"training": written}}
    told = json.dumps(entries).encode()
    return struct.pack("<Q", len(told)) + told + data[8 + int.from_bytes(data[:8], "little") :]
