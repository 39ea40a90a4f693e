"""DeepLabCut and Lightning Pose tables: csv, one or many animals, predictions or hand labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.columns import imported_rows
from olift_fast.io.csv_table import Table, left_out
from olift_fast.io.format import Format
from olift_fast.io.frame_gaps import with_hidden_frames
from olift_fast.io.frame_numbers import frames_of_rows
from olift_fast.io.open_container import TABLE
from olift_fast.io.parsed import Parsed, check_size, refuse_3d

HEADER = ("scorer", "individuals", "bodyparts", "coords")


def read_deeplabcut(table: Table) -> Parsed:
    """The tracks of a table with the header rows scorer, [individuals,] bodyparts, coords.

    The index is a frame number, a time, or the path of a picture in one to three columns. All individuals get one
    skeleton with the body parts of all; those that an individual does not have (DeepLabCut's unique body parts) are
    hidden in it.

    Raises:
        InputError: a header row that is missing, a repeated column, cells that are no numbers, 3D points.
    """
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
    marks = frames_of_rows(table.column(first, index_columns - 1))
    parsed = from_columns(columns, values, None if marks.pictures else marks.numbers)
    others = sorted(set(range(index_columns, width)) - set(places))
    beside = [_beside(table, header, place, first) for place in others]
    return replace(
        parsed,
        frames=marks.numbers if marks.pictures else parsed.frames,
        fps=marks.fps,
        notes=(*parsed.notes, *left_out(name for name in beside if name), *marks.notes),
        warnings=marks.warnings,
    )


def from_columns(
    columns: Sequence[tuple[str, str, str]],
    values: npt.NDArray[np.float32],
    numbers: npt.NDArray[np.int64] | None,
) -> Parsed:
    """Tracks from the values of a table.

    Args:
        columns: the individual, the body part and the coordinate of each column.
        values: (T, columns).
        numbers: (T) frame numbers in any order; None leaves the rows as they are, without numbers.

    Raises:
        InputError: a repeated column, a body part without x or y, 3D points, a frame number that comes twice.
    """
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
    if numbers is None or frames == 0:
        return Parsed(keypoints, confidence, joints, tracks=tracks, notes=notes)
    order = np.argsort(numbers, kind="stable")
    repeated = numbers[order][1:][np.diff(numbers[order]) == 0]
    if len(repeated):
        raise InputError(f"frame {repeated[0]} comes twice")
    ordered = Parsed(
        keypoints[:, order], confidence[:, order], joints, tracks=tracks, frames=numbers[order], notes=notes
    )
    return with_hidden_frames(ordered)


def _is_deeplabcut(table: Table) -> bool:
    """Whether two of the first lines are header rows of the format; the reader says which other rows are missing."""
    names = {row[0].casefold() for row in table.rows(0, 4) if row}
    return len(names & set(HEADER)) > 1 and not imported_rows(table)


def _header_rows(table: Table) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for row in table.rows(0, len(HEADER)):
        name = row[0].casefold()
        if name not in HEADER or name in rows:
            break
        rows[name] = row
    seen = ", ".join(rows) or "none"
    for name in ("scorer", "bodyparts", "coords"):
        if name not in rows:
            wanted = "scorer, [individuals,] bodyparts, coords"
            raise InputError(f"header row {name!r} is missing: wanted {wanted}, got {seen}")
    if list(rows) != [name for name in HEADER if name in rows]:
        raise InputError(f"header rows must be scorer, [individuals,] bodyparts, coords in this order, got {seen}")
    # The row of the scorer is not used, so one that is cut short, as in files made by hand, does no harm.
    rows["scorer"] += [""] * (len(rows["coords"]) - len(rows["scorer"]))
    for name, row in rows.items():
        # pandas' name for a blank cell of a header that it has read and written again.
        row[:] = ["" if re.fullmatch(r"Unnamed: \d+_level_\d+", cell) else cell for cell in row]
        if name != "scorer" and len(row) != len(rows["coords"]):
            raise InputError(f"header row {name!r} has {len(row)} cells, wanted {len(rows['coords'])} as in 'coords'")
    rows["coords"] = [cell.casefold() for cell in rows["coords"]]
    # Spreadsheets pad a table with columns without a header.
    width = max(place + 1 for row in rows.values() for place, cell in enumerate(row) if cell)
    return {name: row[:width] + [""] * (width - len(row)) for name, row in rows.items()}


def _beside(table: Table, header: dict[str, list[str]], place: int, first: int) -> str:
    """The name of a column without a coordinate, such as Lightning Pose's `set`; "" for an empty one without a name."""
    name = header["scorer"][place] or header["bodyparts"][place]
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
    """Repeats a name over the blank cells at its right: in a workbook, one merged cell stands over x, y, likelihood."""
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
    recognized_by="header rows `scorer`, `[individuals]`, `bodyparts`, `coords`; comma, semicolon or tab",
    takes="x, y, likelihood; frame numbers, times in seconds, or the numbers of labeled pictures in 1 to 3 index "
    "columns; unique body parts join the skeleton and belong to the track `single`",
    hint="DeepLabCut's scorer, [individuals,] bodyparts, coords",
)
