"""Tables with one row of names such as nose_x, nose_y, nose_p, as many labs and SimBA write them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.columns import Grid, Joint, grid_of, imported_rows, joint_columns, without_marks
from olift_fast.io.csv_table import Table
from olift_fast.io.format import Format
from olift_fast.io.open_container import TABLE
from olift_fast.io.parsed import Parsed, refuse_3d
from olift_fast.io.row_places import placed, refuse_repeated, row_places


def read_flat_csv(table: Table) -> Parsed:
    """The joints of a table with one row of names: nose_x, nose_y and, where there is one, nose_p or nose_likelihood.

    Rows are frames, or frames of one track if a column such as `track` or `individual` names it. Two rows IMPORTED_POSE
    above the names, as in SimBA's input_csv, are skipped. Columns that belong to no joint are left out.

    Raises:
        InputError: a joint with x or y alone, 3D points, cells that are not numbers, a frame that comes twice.
    """
    above = imported_rows(table)
    return read_grid(grid_of(table, above), imported=above > 0)


def read_grid(grid: Grid, *, imported: bool = False) -> Parsed:
    """`read_flat_csv` for a table that is open already; `imported` says that SimBA's rows were above it.

    Raises:
        InputError: as `read_flat_csv`.
    """
    joints = joint_columns(grid.header)
    deep = [joint.z for joint in joints.values() if joint.z is not None]
    if deep and (np.nan_to_num(grid.values(deep)) != 0).any():
        raise refuse_3d()
    parsed = without_marks(read_joints(grid, joints), deep=bool(deep))
    animals = _simba_animals(joints, imported)
    if animals and len(parsed.tracks) == 1:
        return _split_animals(parsed, animals)
    return replace(parsed, notes=(*parsed.notes, *_numbered_alike(list(joints))))


def read_joints(grid: Grid, joints: Mapping[str, Joint]) -> Parsed:
    """Tracks from the columns of these joints; the other columns tell frame and track, or are left out.

    Raises:
        InputError: cells that are not numbers, or a frame that comes twice.
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
    names = [f"keypoint_{joint}" if joint.isdecimal() else joint for joint in joints]
    return placed(Parsed(keypoints, confidence, names), places, grid, used)


def _is_flat_csv(table: Table) -> bool:
    header = grid_of(table, imported_rows(table)).header
    try:
        return bool(joint_columns(header))
    except InputError:
        return True


def _simba_animals(joints: Mapping[str, Joint], imported: bool) -> dict[str, list[str]]:
    """The joints of each animal by its number, if they are named as SimBA names those of several animals; else empty.

    SimBA appends the animal's number to each body part (Nose_1_x), and writes one animal after the other. Other tables
    number legs or segments, so without SimBA's rows IMPORTED_POSE there must be a nose and a left ear, and a score for
    each joint.
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


def _numbered_alike(joints: Sequence[str]) -> list[str]:
    """A note that numbered joints are taken as one animal's, if they could be those of several; else empty."""
    numbers: dict[str, set[str]] = {}
    for joint in joints:
        found = re.findall(r"\d+", joint)
        if len(found) != 1:
            return []
        numbers.setdefault(re.sub(r"\d+", "#", joint), set()).add(found[0])
    groups = list(numbers.values())
    if len(groups) < 2 or len(groups[0]) < 2 or any(group != groups[0] for group in groups):
        return []
    return [f"joints are numbered alike ({', '.join(joints[:2])}, …): they are taken as those of one animal"]


def _part(joint: str) -> str:
    """A body part without its animal's number; SimBA writes Ear_left as well as Left_ear."""
    part = joint.rsplit("_", 1)[0].casefold()
    side = re.fullmatch(r"(.+)_(left|right)", part)
    return (side[2] + side[1] if side else part).replace("_", "")


def _split_animals(parsed: Parsed, animals: Mapping[str, list[str]]) -> Parsed:
    """One track for each animal, with the body parts named and ordered as those of the first."""
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


FORMAT = Format(
    name="flat-csv",
    extensions=(".csv",),
    example="Video1.csv",
    extra=None,
    description="tables with one row of names, and SimBA's",
    containers=(TABLE,),
    matches=_is_flat_csv,
    read=read_flat_csv,
    recognized_by="names such as `nose_x`, `nose_y`; `nose.x`, `x_nose`, `noseX`, `x0`",
    takes="x, y and a confidence named `_p`, `_likelihood`, `_score`, …; `frame`, `time`, `image`, `track` if there "
    "are such columns; the recordings of a `video` or `camera` side by side; one track for each animal in SimBA's "
    "`Nose_1_x`; other columns are left out",
    hint="nose_x,nose_y,…",
)
