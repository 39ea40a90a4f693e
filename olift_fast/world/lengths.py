"""Known lengths, written as "shoulder-elbow=310mm", and the joints that they are between."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from olift_fast.errors import InputError
from olift_fast.tracks.sides import words_of
from olift_fast.tracks.skeleton import Skeleton, plain

Kind = Literal["bone", "length", "height", "pixel"]

UNITS = {"um": 1e-6, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254, "ft": 0.3048}
SHORTEST, LONGEST = 1e-6, 100.0
"""The limits of a known length, in meters."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-zµμ]*)\s*", re.I)
_SIDES = frozenset(("l", "r", "left", "right"))


@dataclass(frozen=True)
class KnownLength:
    """A measured length.

    Args:
        kind: "bone": the distance between two joints. "length": that distance at full stretch of the animal. "height":
            of a standing person, from the floor to the crown. "pixel": of a pixel at the animal.
        meters: the length.
        joints: pairs of joints with this distance, such as the left and the right pair; empty for "height" and "pixel".
        text: as the user wrote it, for messages.
    """

    kind: Kind
    meters: float
    joints: tuple[tuple[int, int], ...] = ()
    text: str = ""


def parse_length(text: str, kind: Kind, skeleton: Skeleton) -> KnownLength:
    """Parse a known length: "shoulder-elbow=310mm", "nose-tail_base=8.5cm", "1.75m" for a height.

    A name without a side means the joints of both sides: "shoulder" is "left_shoulder" and "right_shoulder".

    Args:
        text: joints, "=", a number and its unit; for "height" a number and its unit; for "pixel" millimeters.
        kind: the kind of length.
        skeleton: has the joints.

    Raises:
        InputError: the text has another form, names an unknown joint (similar names are suggested), or the length is
            out of range.
    """
    if kind == "pixel":
        return KnownLength(kind, _meters(f"{text}mm" if _unitless(text) else text, text), (), text)
    if kind == "height":
        return KnownLength(kind, _meters(text, text), (), text)
    names, equals, length = text.rpartition("=")
    if not equals or "-" not in names:
        raise InputError(f"{text!r}: wanted two joints and a length, as shoulder-elbow=310mm")
    return KnownLength(kind, _meters(length, text), tuple(_pairs(names, skeleton, text)), text)


def joints_named(name: str, skeleton: Skeleton) -> tuple[int, ...]:
    """The joints with this name, ignoring case and separators; without a side, those of both sides. () if none."""
    if name in skeleton.names:
        return (skeleton.names.index(name),)
    wanted = plain(name)
    exact = tuple(joint for joint, own in enumerate(skeleton.names) if plain(own) == wanted)
    if exact or not wanted:
        return exact
    return tuple(
        joint for joint, own in enumerate(skeleton.names) if skeleton.sides[joint] and _sideless(own) == wanted
    )


def close_names(name: str, skeleton: Skeleton) -> str:
    """The end of the message about an unknown joint: similar names, or all names."""
    known = {plain(own): own for own in skeleton.names} | {_sideless(own): own for own in skeleton.names}
    close = list(dict.fromkeys(known[key] for key in difflib.get_close_matches(plain(name), list(known), n=3)))
    return f"did you mean {' or '.join(close)}?" if close else f"the joints are {', '.join(skeleton.names)}"


def split_pair(names: str, skeleton: Skeleton, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The joints on the two sides of the hyphen; the names may have hyphens, too.

    Raises:
        InputError: a name is unknown.
    """
    places = [place for place, sign in enumerate(names) if sign == "-"]
    halves = [(names[:place].strip(), names[place + 1 :].strip()) for place in places]
    for first, second in halves:
        found = joints_named(first, skeleton), joints_named(second, skeleton)
        if all(found):
            return found
    first, second = next(
        (half for half in halves if any(joints_named(name, skeleton) for name in half)), halves[len(halves) // 2]
    )
    unknown = first if not joints_named(first, skeleton) else second
    raise InputError(f"{text!r}: no joint {unknown!r}; {close_names(unknown, skeleton)}")


def _pairs(names: str, skeleton: Skeleton, text: str) -> Iterator[tuple[int, int]]:
    """The pairs of joints on the same side of the body; if there are none, all pairs."""
    first, second = split_pair(names, skeleton, text)
    every = [(a, b) for a in first for b in second if a != b]
    alike = [(a, b) for a, b in every if skeleton.sides[a] * skeleton.sides[b] >= 0]
    if not every:
        raise InputError(f"{text!r}: is one joint, wanted two")
    yield from alike or every


def _meters(length: str, text: str) -> float:
    match = _NUMBER.fullmatch(length)
    if match is None:
        raise InputError(f"{text!r}: wanted a number and its unit, as 310mm, got {length.strip()!r}")
    number, unit = float(match[1]), match[2].replace("μ", "µ")
    scale = UNITS.get(unit, UNITS.get(unit.lower()))
    if scale is None:
        raise InputError(f"{text!r}: wanted a unit ({', '.join(UNITS)}), got {unit!r}")
    meters = number * scale
    if not (math.isfinite(meters) and SHORTEST <= meters <= LONGEST):
        raise InputError(
            f"{text!r}: a length must be from {SHORTEST * 1e6:g} µm to {LONGEST:g} m, got {length.strip()}"
        )
    return meters


def _unitless(text: str) -> bool:
    match = _NUMBER.fullmatch(text)
    return match is not None and not match[2]


def _sideless(name: str) -> str:
    """The name without its side, in the form of `plain`: "earl" for "EarL" would be lost, so words are looked at."""
    words: Sequence[str] = words_of(name)
    kept = [word for word in words if word.casefold() not in _SIDES]
    joined = "".join(kept).casefold()
    for side in ("left", "right"):
        joined = joined.removeprefix(side).removesuffix(side)
    return joined
