"""Tables with one row of column names: finds the columns of joints by the names that labs use."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.csv_table import Table
from olift_fast.io.parsed import Parsed
from olift_fast.tracks.skeleton import plain

#: The names that tools give to the confidence. Some use single letters, too: those in `_PART`.
SCORES = "likelihood|confidence|conf|score|probability|prob|visibility|visible|vis"
_PART = f"(?P<part>x|y|z|{SCORES}|lh|ll|p|c|v|s)"
_CAMEL = "Likelihood|Conf(?:idence)?|Score|Prob(?:ability)?|Vis(?:ibility)?"
# Possessive (++), so that a name of nothing but separators is not tried in very many ways.
_BETWEEN = r"[\s_.:/#-]++"

# No tool writes longer names or more columns, and searching longer ones would take long.
_MAX_NAME, _MAX_COLUMNS = 100, 20_000

# The ways to name the columns of a joint. Each joint of a table is named in the same way.
_SCHEMES = tuple(
    re.compile(pattern, flags | re.DOTALL)
    for pattern, flags in (
        (rf"(?P<joint>.+?)(?:{_BETWEEN}[(\[]?|[(\[]){_PART}[)\]]?", re.IGNORECASE),  # nose_x, nose.x, nose (x)
        (rf"{_PART}{_BETWEEN}(?P<joint>.+)", re.IGNORECASE),  # x_nose
        (rf"(?P<joint>.*[a-z\d])(?P<part>[XYZPC]|{_CAMEL})", 0),  # noseX
        (rf"(?P<part>[xyzpc]|{_CAMEL.lower()})(?P<joint>[A-Z].*)", 0),  # xNose
        (rf"(?P<joint>.*?){_PART}(?P<number>\d+)", re.IGNORECASE),  # x0, poseX0
    )
)
# The look-behind makes the search begin only at the first of several spaces.
_PIXELS = re.compile(r"(?<![\s_])[\s_]*[(\[]?(?:px|pix|pixels?)[)\]]?$", re.IGNORECASE)
# Names with x and y that are not joints: whole names, or words in them.
_NO_JOINT = {"bbox", "box", "boxcenter", "boxcentre", "boundingbox", "roi", "imagesize"}
_NO_JOINT_WORDS = {"bbox", "velocity", "speed", "acceleration"}

# How a column's name may end: `keypoint_id`, `trackNumber`.
COUNT = "(?:s|id|ids|idx|index|no|nr|num|number|name|count)?"
KEYPOINT = rf"(?:keypoint|kpt?|bodypart|part|node|joint|landmark|marker|point){COUNT}|name|label"


class Joint(NamedTuple):
    """The places of a joint's columns; None for a missing column."""

    x: int
    y: int
    z: int | None
    score: int | None


@dataclass(frozen=True)
class Grid:
    """A table with one row of column names.

    Args:
        header: the name of each column; "" for a column without one.
        column: a function of a column's place, which returns the text of each cell.
        values: a function of the places of columns, which returns their numbers, (rows, columns) float32.
        padding: (rows) how many empty rows come before each row; None if there are none.
    """

    header: Sequence[str]
    column: Callable[[int], Sequence[str]]
    values: Callable[[Sequence[int]], npt.NDArray[np.float32]]
    padding: npt.NDArray[np.int64] | None = None

    def find(self, pattern: str) -> int | None:
        """The place of the first column whose name, in lower case without spaces and punctuation, fits this pattern."""
        matches = re.compile(pattern).fullmatch
        return next((place for place, name in enumerate(_plain_names(tuple(self.header))) if matches(name)), None)


@lru_cache(maxsize=4)
def _plain_names(header: tuple[str, ...]) -> list[str]:
    return [plain(name) if len(name) <= _MAX_NAME else "" for name in header]


def grid_of(table: Table, skip: int = 0) -> Grid:
    """The table below its first row of names, after `skip` lines that are left out."""
    header = table.rows(skip, skip + 1)[0][:_MAX_COLUMNS] if len(table.lines) > skip else []
    while header and not header[-1]:
        header.pop()
    header = untupled(header)
    if skip and header:
        # In a header of several rows, the first cell of a row is that row's name, and not the name of a column.
        header[0] = ""
    first = table.data_start(skip + 1, 1)
    before = np.searchsorted(table.padding, table.numbers[first:]) if table.padding else np.zeros(0, np.int64)
    return Grid(
        header,
        lambda place: table.column(first, place),
        lambda places: table.values(first, places, len(header)),
        before - before[0] if len(before) and before[-1] > before[0] else None,
    )


def untupled(header: Sequence[str]) -> list[str]:
    """The names in plain form where pandas made tuples of several rows of names: ('s', 'nose', 'x') becomes nose_x."""
    found = [re.findall(r"'([^']*)'", name) if re.match(r"\('.*'\)$", name[:_MAX_NAME]) else [] for name in header]
    tuples = [parts for parts in found if parts]
    if len({len(parts) for parts in tuples}) != 1 or len(tuples[0]) not in (2, 3):
        return list(header)
    if len(tuples[0]) == 3 and len({parts[0] for parts in tuples}) > 1:
        return list(header)  # Several animals, or scorers.
    return ["_".join(parts[-2:]) if parts else name for parts, name in zip(found, header, strict=True)]


def imported_rows(table: Table) -> int:
    """How many rows with IMPORTED_POSE stand above the names: 2 in SimBA's tables, 0 in others."""
    return 2 if [set(row[1:]) - {""} for row in table.rows(0, 2)] == [{"IMPORTED_POSE"}] * 2 else 0


def joint_columns(header: Sequence[str]) -> dict[str, Joint]:
    """The joints whose columns the header has, in the header's order; empty if no joint has an x and a y.

    Raises:
        InputError: a joint has only x or only y, or two columns have the same value.
    """
    return dict(_joint_columns(tuple(header)))


@lru_cache(maxsize=4)
def _joint_columns(header: tuple[str, ...]) -> dict[str, Joint]:
    names = [_PIXELS.sub("", name) if len(name) <= _MAX_NAME else "" for name in header]
    readings = [_parts_of_joints(scheme, names) for scheme in _SCHEMES]
    best = max(readings, key=lambda joints: sum({"x", "y"} <= set(parts) for parts in joints.values()))
    joints = {joint: parts for joint, parts in best.items() if "x" in parts or "y" in parts}
    if not any({"x", "y"} <= set(parts) for parts in joints.values()):
        return {}
    for joint, parts in joints.items():
        for axis in "xy":
            if axis not in parts:
                raise InputError(f"{joint!r} has no column {axis!r}")
            if len(parts[axis]) > 1:
                raise InputError(f"column {header[parts[axis][1]]!r} comes twice")
    return {
        joint: Joint(parts["x"][0], parts["y"][0], *(parts.get(part, [None])[0] for part in ("z", "score")))
        for joint, parts in joints.items()
    }


def _parts_of_joints(scheme: re.Pattern[str], names: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """For each joint the places of its columns x, y, z and score, if the names are of this scheme."""
    joints: dict[str, dict[str, list[int]]] = {}
    for place, name in enumerate(names):
        match = scheme.fullmatch(name)
        if match is None or plain(match["joint"]) in _NO_JOINT or _NO_JOINT_WORDS & _words(match["joint"]):
            continue
        joint = match["joint"].rstrip("_. ") + (match.groupdict().get("number") or "")
        part = match["part"].casefold()
        joints.setdefault(joint, {}).setdefault(part if part in "xyz" else "score", []).append(place)
    return joints


def _words(name: str) -> set[str]:
    return set(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").casefold().split())


def without_marks(parsed: Parsed, *, deep: bool) -> Parsed:
    """`parsed` without the points that stand for missing keypoints; a note tells of each kind of them.

    Such points are (-1, -1), (-9999, -9999), …, and (0, 0) without a score, if no other coordinate is negative.

    Args:
        parsed: the table's content; its confidence is NaN for keypoints without one.
        deep: whether the table has a column z. It is empty or 0, and a note says that it is left out.
    """
    points, scores = parsed.keypoints, np.asarray(parsed.confidence)
    notes = ["z, which is empty or 0 in all rows, is left out"] if deep else []
    alike = (points[..., 0] == points[..., 1]) & (points[..., 0] <= 0) & (points[..., 0] == np.rint(points[..., 0]))
    alike &= (points[..., 0] < 0) | np.isnan(scores)
    others = points[~alike & np.isfinite(points).all(axis=-1)]
    values, counts = np.unique(points[alike][:, 0], return_counts=True)
    if 0 < len(values) <= 3 and len(others) and others.min() >= 0:
        notes += [
            f"({value:g}, {value:g}) is taken for a missing keypoint ({count} in all)"
            for value, count in zip(values + 0.0, counts, strict=True)
        ]
        points = np.where(alike[..., None], np.float32(np.nan), points)
    return replace(parsed, keypoints=points, notes=(*parsed.notes, *notes))
