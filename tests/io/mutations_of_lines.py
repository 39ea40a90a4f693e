"""Damaged lines of a live stream: functions of a generator of random numbers and the lines, for `mutations`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from mutations_of_text import BYTES, TEXT, json_tree

Change = Callable[[random.Random, list[bytes]], None]

LARGEST = 2**21
"""Bytes of damaged lines at most: eight of the longest that are taken."""


def damage_lines(draw: random.Random, data: bytes) -> tuple[bytes, str]:
    """The lines, damaged once or a few times, and how."""
    lines = data.split(b"\n")
    changes = [draw.choice(_CHANGES) for _ in range(draw.choice((1, 1, 2, 3, 6)))]
    for change in changes:
        if lines:
            change(draw, lines)
    text = draw.choice((b"\n", b"\n", b"\n", b"\r\n", b"\n\n")).join(lines)[:LARGEST]
    if text and draw.random() < 0.1:
        text = draw.choice(BYTES)(draw, text)
    return text, ", ".join(change.__name__.strip("_") for change in changes)


def _tree(draw: random.Random, lines: list[bytes]) -> None:
    """Other values in one line."""
    place = draw.randrange(len(lines))
    if lines[place]:
        lines[place] = json_tree(draw, lines[place]).replace(b"\n", b" ")


def _signs(draw: random.Random, lines: list[bytes]) -> None:
    """Other bytes or words in one line, which may then be several."""
    place = draw.randrange(len(lines))
    if lines[place]:
        lines[place] = draw.choice((*BYTES, *TEXT))(draw, lines[place])[:LARGEST]


def _value(draw: random.Random, lines: list[bytes]) -> None:
    """An unfit value of one key."""
    place = draw.randrange(len(lines))
    key = draw.choice(("track", "t", "keypoints", "end", "stats", "t\\u0000", ""))
    lines[place] = lines[place].rstrip()[:-1] + b', "%s": %s}' % (key.encode(), draw.choice(_VALUES))


def _point(draw: random.Random, lines: list[bytes]) -> None:
    """A frame with an unfit point, number of points, or number of coordinates."""
    count = draw.choice((4, 4, 4, 4, 3, 5, 0, 1000))
    points = [b"[1, 2]"] * count
    for _ in range(draw.choice((1, 2, 4))):
        if points:
            other = draw.choice((b"[%s, 2]", b"[1, %s]", b"[1, 2, %s]", b"%s", b"[%s]", b"[1, 2, 3, %s]"))
            points[draw.randrange(count)] = other % draw.choice(_VALUES)
    lines.insert(draw.randrange(len(lines) + 1), b'{"keypoints": [%s]}' % b", ".join(points))


def _order(draw: random.Random, lines: list[bytes]) -> None:
    """Lines that are missing, exchanged, doubled or repeated often."""
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(5)
    if kind == 0:
        del lines[a]
    elif kind == 1:
        lines[a], lines[b] = lines[b], lines[a]
    elif kind == 2:
        lines.insert(b, lines[a])
    elif kind == 3:
        lines[a:a] = [lines[b][:2000]] * draw.choice((10, 300))
    else:
        draw.shuffle(lines)


def _ends(draw: random.Random, lines: list[bytes]) -> None:
    """Ends of lines that are missing, too many, or in the middle of a line."""
    place = draw.randrange(len(lines))
    kind = draw.randrange(4)
    if kind == 0:
        lines[place : place + 2] = [b"".join(lines[place : place + 2])]
    elif kind == 1:
        cut = draw.randrange(len(lines[place]) + 1)
        lines[place : place + 1] = [lines[place][:cut], lines[place][cut:]]
    elif kind == 2:
        lines[place:place] = [draw.choice((b"", b" ", b"\r", b"\t", b"\0", b"\x0c"))] * draw.choice((1, 20, 3000))
    else:
        lines[place] = b"\r".join((lines[place], lines[place]))


def _long(draw: random.Random, lines: list[bytes]) -> None:
    """A line of about the longest length, or far beyond it."""
    size = draw.choice((1000, 2**18 - 3, 2**18, 2**18 + 1, 2**20))
    unit = draw.choice(
        (b"1", b" ", b"[", b"{", b'"', b"\\", b'{"a":', b"[1,2],", b"-", b"\xff", b"null,", b'"\\u0041",')
    )
    body = (unit * (size // len(unit) + 1))[:size]
    begin, end = draw.choice(((b"", b""), (b'{"keypoints": [', b"]}"), (b'{"track": "', b'"}'), (b'{"t": ', b"}")))
    lines.insert(draw.randrange(len(lines) + 1), begin + body + end)


def _many(draw: random.Random, lines: list[bytes]) -> None:
    """Many tracks, ends of tracks or requests, more than there is room for."""
    count, kind = draw.choice((3, 50, 1000)), draw.randrange(4)
    frame = b'{"track": "%d", "keypoints": [[1, 2], [3, 4], [5, 6], [7, 9]]%s}'
    more = {
        0: [frame % (number, b"") for number in range(count)],
        1: [frame % (number, b', "end": true') for number in range(count)],
        2: [b'{"end": true, "track": "%d"}' % number for number in range(count)],
        3: [b'{"stats": true}'] * count,
    }[kind]
    place = draw.randrange(len(lines) + 1)
    lines[place:place] = more


def _clock(draw: random.Random, lines: list[bytes]) -> None:
    """Times that stand still, go back, jump, or are no times."""
    for place in range(draw.choice((1, 3, 20))):
        values = (0, -1, 1e15, -9e14, 1e-300, 1e300, float("nan"), float("inf"), "1", True, 10**30, None)
        line = {"t": draw.choice(values), "keypoints": [[place, 2], [3, 4], [5, 6], [7, 9]]}
        lines.insert(draw.randrange(len(lines) + 1), json.dumps(line).encode())


_VALUES = (
    *(b"null", b"true", b"0", b"-0.0", b"0.5", b"1e7", b"1.0000001e7", b"-1e30", b"1e39", b"1e400", b"-1e400", b"NaN"),
    *(b"Infinity", b"-Infinity", b"2.5", b"-0.005", b"9" * 400, b"9" * 5000, b"1e-400", b"1" + b"0" * 30),
    *(b"9007199254740993", b'""', b'"x"', b'"\\u0000"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\u202e"'),
    *(b'"\\u001b[2J"', b'"\\n"', b'"%s"' % (b"x" * 201), b"[]", b"[[]]", b"{}", b'{"a": 1}', b"[1, 2]"),
    *(b"[null, null]", b"[" * 500 + b"]" * 500, b"'a'", b"1.", b"01", b"+1", b"\xc3\x28"),
)  # fmt: skip
_CHANGES: tuple[Change, ...] = (
    *(_tree, _tree, _signs, _signs, _value, _value, _point, _point),
    *(_order, _ends, _long, _many, _clock),
)
