"""DeepLabCut and Lightning Pose tables: csv, one or many animals, predictions or hand labels."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.columns import SCORES, imported_rows
from olift_fast.io.csv_table import Table, left_out
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import RowFrames, frames_of_rows, seconds_in
from olift_fast.io.open_container import TABLE
from olift_fast.io.parsed import Parsed, check_size, refuse_3d
from olift_fast.io.row_places import kind_of, unit_of

HEADER = ("scorer", "individuals", "bodyparts", "coords")
#: What other tools call the likelihood.
_SCORES = {*SCORES.split("|"), "p", "c"} - {"likelihood"}


def read_deeplabcut(table: Table) -> Parsed:
    """The tracks of a table with the header rows scorer, [individuals,] bodyparts, coords.

    The index is a frame number, a time, or the path of a picture in one to three columns. All individuals get one
    skeleton with the body parts of all. A body part that an individual does not have, such as DeepLabCut's unique body
    parts, is hidden in that individual.

    Raises:
        InputError: a header row that is missing, a repeated column, cells that are not numbers, 3D points, a frame
            number that comes twice.
    """
    table, above = _framed(table)
    header = _header_rows(table)
    width = len(header["coords"])
    index_columns = _index_columns(header, width)
    _spread_merged_cells(header, index_columns)
    places = [place for place in range(index_columns, width) if header["coords"][place]]
    columns = [
        (
            header["individuals"][place] if "individuals" in header else "track_0",
            header["bodyparts"][place],
            header["coords"][place],
        )
        for place in places
    ]
    first = table.data_start(len(header), index_columns)
    values = table.values(first, places, width)
    parsed = from_columns(columns, values, _marks(table, first, index_columns, header))
    others = sorted(set(range(index_columns, width)) - set(places))
    beside = [_beside(table, header, place, first) for place in others]
    return replace(parsed, notes=(*parsed.notes, *left_out(name for name in beside if name), *above))


def _marks(table: Table, first: int, index_columns: int, header: dict[str, list[str]]) -> RowFrames:
    """The frames of the rows from line `first` on, by the last column of the index, or for pictures by all of them."""
    cells = table.column(first, index_columns - 1)
    if index_columns > 1 and seconds_in(cells) is None:
        folders = [table.column(first, place) for place in range(index_columns - 1)]
        cells = ["/".join(filter(None, row)) for row in zip(*folders, cells, strict=True)]
    name = table.rows(first - 1, first)[0][index_columns - 1] if first > len(header) else ""
    kind = kind_of(name)
    return frames_of_rows(cells, unit_of(name, cells) if kind == "time" else None, kind)


def from_columns(columns: Sequence[tuple[str, str, str]], values: npt.NDArray[np.float32], marks: RowFrames) -> Parsed:
    """Tracks from the values of a table. Several recordings, told by the names of pictures, are side by side.

    Args:
        columns: the individual, the body part and the coordinate of each column.
        values: (T, columns).
        marks: the frames of the rows. If they have no numbers, the rows are the frames, in their order.

    Raises:
        InputError: a repeated column, a body part without x or y, 3D points, a frame number that comes twice.
    """
    if not any(coordinate == "likelihood" for *_, coordinate in columns):
        columns = [(who, part, "likelihood" if name in _SCORES else name) for who, part, name in columns]
    place: dict[tuple[str, str, str], int] = {}
    for column, key in enumerate(columns):
        if key in place:
            raise InputError(f"column {' / '.join(key)} comes twice; several animals need an 'individuals' row")
        place[key] = column
    if any(coordinate == "z" for _, _, coordinate in columns):
        raise refuse_3d()
    placed = {(individual, bodypart) for individual, bodypart, coordinate in columns if coordinate in ("x", "y")}
    beside = [coordinate for individual, bodypart, coordinate in columns if (individual, bodypart) not in placed]
    beside += [coordinate for *_, coordinate in columns if coordinate not in ("x", "y", "likelihood")]
    notes = left_out(beside)
    columns = [column for column in columns if column[:2] in placed]
    tracks = list(dict.fromkeys(individual for individual, _, _ in columns))
    joints = list(dict.fromkeys(bodypart for _, bodypart, _ in columns))
    frames = len(values)
    check_size(len(tracks), frames, len(joints))
    keypoints = np.full((len(tracks), frames, len(joints), 2), np.nan, np.float32)
    confidence = np.full(keypoints.shape[:3], np.nan, np.float32)
    track_of, joint_of = ({name: index for index, name in enumerate(names)} for names in (tracks, joints))
    for individual, bodypart in dict.fromkeys((individual, bodypart) for individual, bodypart, _ in columns):
        where = track_of[individual], slice(None), joint_of[bodypart]
        for axis, coordinate in enumerate("xy"):
            if (individual, bodypart, coordinate) not in place:
                raise InputError(f"{bodypart!r} has no column {coordinate!r}")
            keypoints[(*where, axis)] = values[:, place[individual, bodypart, coordinate]]
        likelihood = place.get((individual, bodypart, "likelihood"))
        if likelihood is not None:
            confidence[where] = values[:, likelihood]
    parsed = Parsed(
        *(keypoints, confidence, joints),
        tracks=tracks,
        fps=marks.fps,
        notes=[*notes, *marks.notes],
        warnings=marks.warnings,
    )
    return parsed if marks.numbers is None or frames == 0 else _in_order(parsed, marks)


def _in_order(parsed: Parsed, marks: RowFrames) -> Parsed:
    """The frames in the order of their numbers, with hidden frames for missing ones; each recording as its own tracks.

    Args:
        parsed: the rows as frames.
        marks: what marks the rows, which have frame numbers.

    Raises:
        InputError: a frame number that comes twice.
    """
    tracks, _, joints = parsed.keypoints.shape[:3]
    frames, place = marks.places(joints)
    recordings = list(dict.fromkeys(marks.recordings)) or [""]
    index = {name: number for number, name in enumerate(recordings)}
    recording = np.array([index[name] for name in marks.recordings or [""] * len(place)])
    order = np.lexsort((place, recording))
    repeated = frames[place][order][1:][(np.diff(place[order]) == 0) & (np.diff(recording[order]) == 0)]
    if len(repeated):
        raise InputError(f"frame {repeated[0]} comes twice")
    check_size(len(recordings) * tracks, len(frames), joints)

    def spread_out(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        full = np.full((len(recordings), tracks, len(frames), *values.shape[2:]), np.nan, np.float32)
        full[recording, :, place] = values.swapaxes(0, 1)
        return full.reshape(-1, *full.shape[2:])

    names = [f"{recording}/{track}" if recording else track for recording in recordings for track in parsed.tracks]
    confidence = None if parsed.confidence is None else spread_out(parsed.confidence)
    return replace(parsed, keypoints=spread_out(parsed.keypoints), confidence=confidence, tracks=names, frames=frames)


def _is_deeplabcut(table: Table) -> bool:
    """Whether two of the first lines are header rows of the format; the reader says which rows are missing."""
    if imported_rows(table):
        return False
    names = {row[0].casefold() for row in table.rows(0, 4) if row}
    return len(names & set(HEADER)) > 1 or _corner(table) is not None or bool(_nameless(table))


def _corner(table: Table) -> tuple[int, int] | None:
    """The line and the column of the header's first name; None if there is none.

    There may be titles above the header, and a column of row numbers to the left of it.
    """
    rows = table.rows(0, 8)
    for column in (0, 1):
        named = [len(row) > column and row[column].casefold() in HEADER for row in rows]
        line = next((line for line in range(len(rows) - 1) if named[line] and named[line + 1]), None)
        if line is not None and (column == 0 or all(re.fullmatch(r"\d*", row[0]) for row in rows[line : line + 2])):
            return line, column
    return None


def _framed(table: Table) -> tuple[Table, list[str]]:
    """The table from the first cell of its header on, and a note if there were lines above it."""
    line, column = _corner(table) or (0, 0)
    notes = [f"lines above the header left out: {line}"] if line else []
    lines = list(table.lines[line:])
    if column and any('"' in text for text in lines):
        lines = [_as_line(row[1:], table.delimiter) for row in table.rows(line, len(table.lines))]
    elif column:
        lines = [text.partition(table.delimiter)[2] for text in lines]
    numbers = list(table.numbers[line:])
    if len(lines) != len(numbers):
        raise InputError("a cell has several lines")
    return Table(lines, table.delimiter, numbers, table.padding), notes


def _as_line(cells: Sequence[str], delimiter: str) -> str:
    # csv quotes cells with a character of the writer's end of a line: \r\n, so that cells with either are quoted.
    end, out = "\r\n", io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerow(cells)
    return out.getvalue().removesuffix(end)


def _nameless(table: Table) -> Sequence[str]:
    """The names of the header rows, for a table that has lost them; else empty.

    Such a header has 2 to 4 rows without a name, and the last of them has nothing but x, y and a score.
    """
    rows = table.rows(0, 4)
    for last in range(1, len(rows)):
        coords = [cell.casefold() for cell in rows[last][1:] if cell]
        if {"x", "y"} <= set(coords) <= {"x", "y", "likelihood", *_SCORES} and not any(
            row[0] for row in rows[1 : last + 1]
        ):
            two = HEADER[::2] if len(set(filter(None, rows[0][1:]))) == 1 else HEADER[1:3]
            return {1: HEADER[2:], 2: (two[0], *HEADER[2:]), 3: HEADER}[last]
    return ()


def _header_rows(table: Table) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    given = table.rows(0, len(HEADER))
    names = [row[0].casefold() for row in given] if _corner(table) else _nameless(table)
    for name, row in zip(names or [row[0].casefold() for row in given], given, strict=False):
        if name not in HEADER or name in rows:
            break
        rows[name] = row
    seen = ", ".join(rows) or "none"
    for name in ("bodyparts", "coords"):
        if name not in rows:
            wanted = "scorer, [individuals,] bodyparts, coords"
            raise InputError(f"header row {name!r} is missing: wanted {wanted}, got {seen}")
    if list(rows) != [name for name in HEADER if name in rows]:
        raise InputError(f"header rows must be scorer, [individuals,] bodyparts, coords in this order, got {seen}")
    # The row of the scorer is not used, so it may be cut short, as in files made by hand.
    if "scorer" in rows:
        rows["scorer"] += [""] * (len(rows["coords"]) - len(rows["scorer"]))
    for name, row in rows.items():
        # pandas writes this name for a blank cell of a header that it has read.
        row[:] = ["" if re.fullmatch(r"Unnamed: \d+_level_\d+", cell) else cell for cell in row]
        if name != "scorer" and len(row) != len(rows["coords"]):
            raise InputError(f"header row {name!r} has {len(row)} cells, wanted {len(rows['coords'])} as in 'coords'")
    rows["coords"] = [cell.casefold() for cell in rows["coords"]]
    parts = [cell for cell in rows["bodyparts"][1:] if cell]
    known = set(parts)
    if len(known) == len(parts) > 1:
        # pandas numbers names that come again: nose, nose.1, nose.2.
        bare = [re.sub(r"\.\d+$", "", cell) for cell in rows["bodyparts"]]
        rows["bodyparts"] = [
            name if name in known else cell for name, cell in zip(bare, rows["bodyparts"], strict=True)
        ]
    # Spreadsheets pad a table with columns without a header.
    width = max(place + 1 for row in rows.values() for place, cell in enumerate(row) if cell)
    return {name: row[:width] + [""] * (width - len(row)) for name, row in rows.items()}


def _beside(table: Table, header: dict[str, list[str]], place: int, first: int) -> str:
    """The name of a column without a coordinate, such as Lightning Pose's `set`; "" for an empty column without a name.

    Raises:
        InputError: the column has values but no name.
    """
    name = header.get("scorer", header["bodyparts"])[place] or header["bodyparts"][place]
    if not name and any(table.column(first, place)):
        raise InputError(f"column {place + 1} has values but no header")
    return name


def _index_columns(header: dict[str, list[str]], width: int) -> int:
    """How many columns come before the first coordinate: their header cells are blank."""
    count = 1
    while count < width and not any(row[count] for row in header.values()):
        count += 1
    if count == width:
        raise InputError("header has no column of coordinates, wanted x, y and likelihood of each body part")
    return count


def _spread_merged_cells(header: dict[str, list[str]], first: int) -> None:
    """Repeats a name in the blank cells to its right: in a workbook, one merged cell is above x, y and likelihood."""
    for name in ("individuals", "bodyparts"):
        row = header.get(name, [])
        for place in range(first + 1, len(row)):
            if not row[place] and header["coords"][place]:
                row[place] = row[place - 1]
    nameless = next(
        (
            place
            for place in range(first, len(header["coords"]))
            if header["coords"][place] and not header["bodyparts"][place]
        ),
        None,
    )
    if nameless is not None:
        raise InputError(f"column {nameless + 1} has a coordinate but no body part")


FORMAT = Format(
    name="deeplabcut",
    extensions=(".csv",),
    example="mouseDLC_resnet50.csv",
    extra=None,
    description="DeepLabCut and Lightning Pose tables",
    containers=(TABLE,),
    matches=_is_deeplabcut,
    read=read_deeplabcut,
    recognized_by="header rows `scorer`, `[individuals]`, `bodyparts`, `coords`, with or without these names; "
    "lines above them, and row numbers to their left, are left out",
    takes="x, y, likelihood; 1 to 3 index columns of frame numbers, times, or names of labeled pictures, whose numbers "
    "are the frames; several videos side by side; unique body parts join the skeleton and belong to the track `single`",
    hint="DeepLabCut's scorer, [individuals,] bodyparts, coords",
)
