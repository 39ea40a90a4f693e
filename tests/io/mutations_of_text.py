"""Damaged bytes, text and JSON: functions of a generator of random numbers and the content, for `mutations`."""

from __future__ import annotations

import copy
import gzip
import json
import random
import re
from collections.abc import Callable
from functools import cache
from typing import Any

Change = Callable[[random.Random, bytes], bytes]


def _flip_bytes(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 25))):
        changed[draw.randrange(len(changed))] = draw.choice((0, 255, draw.randrange(256)))
    return bytes(changed)


def _flip_bits(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 3))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(draw: random.Random, data: bytes) -> bytes:
    return data[: draw.randrange(len(data))]


def span(draw: random.Random, data: bytes) -> bytes:
    """Deletes, doubles, repeats or moves a span, or puts other bytes in."""
    start = draw.randrange(len(data))
    span = data[start : start + draw.choice((1, 2, 4, 8, 30, 200))]
    end = start + len(span)
    where = draw.randrange(len(data))
    other = draw.choice((b"\0", b"\xff" * 4, b"\r", b"\xef\xbb\xbf", draw.randbytes(8), b"\0" * 512))
    return draw.choice(
        (
            data[:start] + data[end:],
            data[:start] + span + data[start:],
            data[:start] + span * draw.choice((3, 50)) + data[start:],
            data[:where] + span + data[where:],
            data[:start] + other + data[end:],
            data[:start] + other + data[start:],
        )
    )


BYTES: tuple[Change, ...] = (_flip_bytes, _flip_bits, _cut, span)


_TOKENS = (
    *(
        "",
        "0",
        "-1",
        "1",
        "1e400",
        "-1e400",
        "nan",
        "inf",
        "-inf",
        "NaN",
        "Infinity",
        "9" * 30,
        "1" + "0" * 5000,
        "1e-400",
    ),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "4294967296",
        "2147483648",
        "100000",
        "0.5",
    ),
    *(
        "null",
        "true",
        "[]",
        "{}",
        '""',
        "x",
        "NA",
        "None",
        "ä",
        "名前",
        "\u2028",
        "\x85",
        "\x1b[31m",
        "\0",
        '"',
        "'",
        "\\",
    ),
    *("\ud83d\ude00", "\t", " ", ";", ",", "1,5", "1.5.2", "0x10", "1_000", "٣", "²", "+5", "5.", "1e3", "x" * 140_000),
    *("scorer", "individuals", "coords", "z", "likelihood", "single", "A.x", "track", "frame_idx", "-0", "../../x.png"),
)


_WORD = re.compile(r"[^\s,;:\[\]{}\"]+")


def _token(draw: random.Random, data: bytes) -> bytes:
    """Other numbers, words or signs in place of some."""
    text = data.decode("utf-8", "surrogateescape")
    for _ in range(draw.choice((1, 1, 2, 6))):
        at, other = (_WORD.search(text, draw.randrange(len(text) + 1)) or _WORD.search(text) for _ in range(2))
        if at is None or other is None:
            break
        text = text[: at.start()] + draw.choice((draw.choice(_TOKENS), other[0])) + text[at.end() :]
    return text.encode("utf-8", "surrogatepass" if draw.random() < 0.5 else "replace")


def _lines(draw: random.Random, data: bytes) -> bytes:
    """Lines that are missing, doubled, repeated, exchanged, blank, or in reverse order."""
    lines = data.splitlines(keepends=True)
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(7)
    if kind == 0:
        del lines[a]
    elif kind == 1:
        lines.insert(b, lines[a])
    elif kind == 2:
        lines[a] = lines[a][:2000] * draw.choice((10, 1000))
    elif kind == 3:
        lines[a], lines[b] = lines[b], lines[a]
    elif kind == 4:
        lines.insert(a, draw.choice((b"\n", b",,,,\n", b"\x0c\n", b"#\n", b'"\n', b"\r")))
    elif kind == 5:
        lines.reverse()
    else:
        lines.extend(
            b"%d%s" % (number * 1000, lines[-1][:2000].lstrip(b"0123456789")) for number in range(draw.choice((3, 300)))
        )
    return b"".join(lines)


def _columns(draw: random.Random, data: bytes) -> bytes:
    """Cells of one column missing or doubled, in all lines or in one."""
    mark = max((b",", b";", b"\t"), key=data.count)
    rows = [line.split(mark) for line in data.split(b"\n")]
    column, only = draw.randrange(max(map(len, rows))), draw.choice((None, None, draw.randrange(len(rows))))
    times = draw.choice((0, 2, 40))
    for number, row in enumerate(rows):
        if (only is None or only == number) and column < len(row):
            row[column : column + 1] = row[column : column + 1] * times
    return b"\n".join(mark.join(row) for row in rows)


def _encoding(draw: random.Random, data: bytes) -> bytes:
    """The same text in another encoding, with other line ends, or packed."""
    text = data.decode("utf-8", "replace")
    return draw.choice(
        (
            lambda: text.encode("utf-16"),
            lambda: text.encode("utf-16-le"),
            lambda: b"\xff\xfe" + data,
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data.replace(b"\n", draw.choice((b"\r\n", b"\r", b"\n\n", b"\x0b", b"\xe2\x80\xa8"))),
            lambda: gzip.compress(data, 1, mtime=0),
            lambda: gzip.compress(gzip.compress(data, 1, mtime=0), 1, mtime=0),
            lambda: gzip.compress(data, 1, mtime=0)[: draw.randrange(5, 60)],
            lambda: make_bomb() if draw.random() < 0.02 else gzip.compress(data * 200, 1, mtime=0),
            lambda: data.replace(b",", draw.choice((b";", b"\t", b" ", b"|", b", "))),
            lambda: data.replace(b".", b","),
        )
    )()


@cache
def make_bomb() -> bytes:
    """Gzip of under 1 MB, and 200 MB when unpacked."""
    return gzip.compress(b"0," * 100_000_000, 6, mtime=0)


TEXT: tuple[Change, ...] = (_token, _token, _token, _lines, _lines, _columns, _encoding)


_HUGE = "\x00huge\x00"
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        0.5,
        -0.0,
        2**31,
        2**53 + 1,
        2**63,
        -(2**63) - 1,
        10**25,
        1e308,
        _HUGE,
        float("nan"),
    ),
    *(
        float("inf"),
        -float("inf"),
        "",
        "x",
        "1",
        "nan",
        "0.5",
        "\0",
        "\n",
        "\x1b[2J",
        "ä" * 300,
        "\ud800",
        [],
        {},
        [[]],
        [{}],
    ),
    *(
        {"": None},
        [None],
        [1],
        [1, 2],
        [1, 2, 3],
        [[1, 2], [3]],
        [[[1.0]]],
        {"id": 1},
        {"py/id": 5},
        ["a", "b"],
        100_000,
    ),
)


def json_tree(draw: random.Random, data: bytes) -> bytes:
    """Changes nodes of the tree, and dumps it again; what is no JSON any more loses a byte instead."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return span(draw, data)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        tree = change_tree(draw, tree)
        if len(json.dumps(tree)) > 50_000:
            break
    if draw.random() < 0.02:
        tree = _nested(draw, tree)
    text = json.dumps(tree, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, None, 1)))
    return text.replace(json.dumps(_HUGE), "9" * draw.choice((400, 5000))).encode("utf-8", "surrogatepass")


def _nested(draw: random.Random, tree: Any) -> Any:
    for _ in range(draw.choice((3, 60, 600))):
        tree = [tree] if draw.random() < 0.5 else {"people": tree}
    return tree


def change_tree(draw: random.Random, tree: Any) -> Any:
    """The tree with one node changed; a random walk from the root finds it."""
    parent, key, node = None, None, tree
    while isinstance(node, dict | list) and node and draw.random() < 0.85:
        parent, key = node, draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node = parent[key]
    changed = _changed_node(draw, node)
    if parent is None:
        return changed
    kind = draw.randrange(6)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, changed)
    elif kind == 1:
        parent[draw.choice(("", "x", "keypoints", "people", "joints", "track_id", str(key) + "s"))] = parent.pop(key)
    else:
        parent[key] = changed
    return tree


def _changed_node(draw: random.Random, node: Any) -> Any:
    kind = draw.randrange(8)
    if isinstance(node, list) and kind < 5:
        return draw.choice(
            (
                lambda: node[: draw.randrange(len(node) + 1)],
                lambda: node + node,
                lambda: node * draw.choice((3, 40)),
                lambda: [node],
                lambda: {str(place): value for place, value in enumerate(node)},
                lambda: draw.sample(node, len(node)),
            )
        )()
    if isinstance(node, dict) and kind < 3:
        return draw.choice((list(node.values()), list(node), [node], {**node, "track_id": 1}))
    if isinstance(node, int | float) and kind < 4 and abs(node) < 1e300:
        return draw.choice((-node, node + 0.5, str(node), [node], node * 1e6, {"value": node}, node + 1))
    if isinstance(node, str) and kind < 3:
        return draw.choice(
            (node + node, node[:-1], node.upper(), f"{node}{draw.randrange(99)}", [node], node[:200] * 900)
        )
    return copy.deepcopy(draw.choice(_VALUES))
