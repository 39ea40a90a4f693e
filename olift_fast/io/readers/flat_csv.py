"""Tables with one row of names such as nose_x, nose_y, nose_p: of many labs, SimBA, the International Brain Lab."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.columns import Grid, Joint, grid_of, imported_rows, joint_columns, refuse_repeated, row_places
from olift_fast.io.csv_table import Table, left_out
from olift_fast.io.extra import require
from olift_fast.io.format import Format
from olift_fast.io.open_container import PARQUET, TABLE
from olift_fast.io.parsed import Parsed, refuse_3d


def read_flat_csv(table: Table) -> Parsed:
    """The joints of a table with one row of names: nose_x, nose_y and, where there is one, nose_p or nose_likelihood.

    Rows are frames, or frames of a track where a column such as `track` or `individual` tells several. Two rows
    IMPORTED_POSE above the names, as in SimBA's input_csv, are skipped. Columns that are no joint's are left out.

    Raises:
        InputError: a joint with x or y alone, 3D points, cells that are no numbers, a frame that comes twice.
    """
    above = imported_rows(table)
    grid = grid_of(table, above)
    joints = joint_columns(grid.header)
    if any(joint.z is not None for joint in joints.values()):
        raise refuse_3d()
    parsed = read_joints(grid, joints)
    animals = _simba_animals(joints, above > 0)
    return _split_animals(parsed, animals) if animals else parsed


def read_joints(grid: Grid, joints: Mapping[str, Joint]) -> Parsed:
    """Tracks from the columns of some joints; the other columns tell frame and track, or are left out.

    Raises:
        InputError: cells that are no numbers, or a frame that comes twice.
    """
    points = grid.values([column for joint in joints.values() for column in (joint.x, joint.y)])
    points = points.reshape(-1, len(joints), 2)
    scored = [(index, joint.score) for index, joint in enumerate(joints.values()) if joint.score is not None]
    scores = np.full(points.shape[:2], np.nan, np.float32)
    if scored:
        scores[:, [index for index, _ in scored]] = grid.values([column for _, column in scored])
    used = {column for joint in joints.values() for column in joint if column is not None}
    places = row_places(grid, len(points), len(joints), used)
    refuse_repeated(places, places.track * places.num_frames + places.frame)
    keypoints = np.full((len(places.tracks), places.num_frames, len(joints), 2), np.nan, np.float32)
    confidence = np.full(keypoints.shape[:3], np.nan, np.float32)
    keypoints[places.track, places.frame] = points
    confidence[places.track, places.frame] = scores
    beside = [name for place, name in enumerate(grid.header) if name and place not in used | set(places.columns)]
    return Parsed(
        *(keypoints, confidence, [f"keypoint_{joint}" if joint.isdecimal() else joint for joint in joints]),
        tracks=places.tracks,
        frames=places.frames,
        fps=places.fps,
        notes=(*left_out(beside), *places.notes),
        warnings=places.warnings,
    )


def _is_flat_csv(table: Table) -> bool:
    header = grid_of(table, imported_rows(table)).header
    try:
        return bool(joint_columns(header))
    except InputError:
        return True


def _simba_animals(joints: Mapping[str, Joint], imported: bool) -> dict[str, list[str]]:
    """The joints of each animal by its number, where they are named as SimBA does for several animals; else nothing.

    SimBA appends the animal's number to each body part (Nose_1_x), and writes one animal after the other. Other tables
    number legs or segments, so without SimBA's rows IMPORTED_POSE the names must be those of its configurations.
    """
    animals: dict[str, list[str]] = {}
    for joint in joints:
        match = re.fullmatch(r"(.+)_(\d+)", joint)
        if match is None:
            return {}
        animals.setdefault(match[2], []).append(joint)
    if len(animals) < 2 or list(animals) != [str(number) for number in range(1, len(animals) + 1)]:
        return {}
    if [joint for group in animals.values() for joint in group] != list(joints):
        return {}
    parts = {frozenset(_part(joint) for joint in group) for group in animals.values()}
    named = {_part(joint) for joint in joints} >= {"nose", "leftear"} and all(
        joint.score is not None for joint in joints.values()
    )
    return animals if len(parts) == 1 and len(next(iter(parts))) > 1 and (imported or named) else {}


def _part(joint: str) -> str:
    """A body part without its animal's number; SimBA writes Ear_left as well as Left_ear."""
    part = joint.rsplit("_", 1)[0].casefold()
    side = re.fullmatch(r"(.+)_(left|right)", part)
    return (side[2] + side[1] if side else part).replace("_", "")


def _split_animals(parsed: Parsed, animals: Mapping[str, list[str]]) -> Parsed:
    """One track an animal, with the body parts in the order and with the names of the first one."""
    names = list(parsed.names or ())
    first = next(iter(animals.values()))
    order = [_part(joint) for joint in first]
    keypoints, confidence = [], []
    for group in animals.values():
        place = {_part(joint): names.index(joint) for joint in group}
        columns = [place[part] for part in order]
        keypoints.append(parsed.keypoints[0][:, columns])
        confidence.append(np.asarray(parsed.confidence)[0][:, columns])
    note = f"body parts end in the number of their animal, as SimBA names them: {len(animals)} tracks"
    return replace(
        parsed,
        keypoints=np.stack(keypoints),
        confidence=np.stack(confidence),
        names=[joint.rsplit("_", 1)[0] for joint in first],
        tracks=[f"Animal_{number}" for number in animals],
        notes=(note, *parsed.notes),
    )


def read_flat_parquet(path: Path) -> Parsed:
    """The joints of a Parquet table, named as in a flat csv: the International Brain Lab's _ibl_leftCamera.dlc.pqt.

    Raises:
        InputError: not a readable Parquet file, no joints, 3D points, or cells that are no numbers.
        MissingExtraError: the extra `io` is not installed.
    """
    parquet = require("pyarrow.parquet", "reading Parquet tables")
    compute = require("pyarrow.compute", "reading Parquet tables")
    try:
        content = parquet.read_table(path)
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"not a readable Parquet file (cut short?): {error}") from error
    header = ["index" if re.fullmatch(r"__index_level_\d+__", name) else name for name in content.column_names]
    joints = joint_columns(header)
    if not joints:
        raise InputError("a Parquet table without columns such as nose_x, nose_y, wanted one of keypoints")
    if any(joint.z is not None for joint in joints.values()):
        raise refuse_3d()

    def values(places: Sequence[int]) -> npt.NDArray[np.float32]:
        columns = [compute.cast(content.column(place), "float32", safe=False) for place in places]
        return np.stack([column.to_numpy() for column in columns], axis=-1).astype(np.float32)

    def column(place: int) -> list[str]:
        return ["" if value is None else str(value) for value in content.column(place).to_pylist()]

    return read_joints(Grid(header, column, values), joints)


CSV = Format(
    name="flat-csv",
    extensions=(".csv",),
    extra=None,
    description="tables with one row of names, and SimBA's",
    containers=(TABLE,),
    matches=_is_flat_csv,
    read=read_flat_csv,
    recognized_by="names such as `nose_x`, `nose_y`; `nose.x`, `x_nose`, `noseX`, `x0`",
    takes="x, y and a confidence named `_p`, `_likelihood`, `_score`, …; `frame`, `time`, `image`, `track` where there "
    "are such columns; one track an animal in SimBA's `Nose_1_x`; other columns are left out",
    hint="nose_x,nose_y,…",
)
PARQUET_TABLE = Format(
    name="flat-parquet",
    extensions=(".pqt", ".parquet"),
    extra="io",
    description="the International Brain Lab's and other Parquet tables",
    containers=(PARQUET,),
    matches=lambda path: True,
    read=read_flat_parquet,
    recognized_by="Parquet",
    takes="as `flat-csv`",
)
