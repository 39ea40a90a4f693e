"""MediaPipe's landmarks in tables, as the usual scripts write them: a row for each frame, or for each landmark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.columns import Grid, Joint, grid_of, joint_columns
from olift_fast.io.csv_table import Table
from olift_fast.io.format import Format
from olift_fast.io.open_container import TABLE
from olift_fast.io.parsed import Parsed, refuse_3d, share_in_unit
from olift_fast.io.readers.flat_csv import read_joints
from olift_fast.io.readers.long_csv import LongColumns, long_columns, read_rows
from olift_fast.tracks.rigs import rig
from olift_fast.tracks.skeleton import plain

_RIGS = ("mediapipe_pose_33", "mediapipe_hand_21")
_KIND = "(?:landmark)?type|kind"
_FACES = (468, 478)
#: The numbers of landmarks in a table of bodies: the body, which comes first, alone or with a face.
_BODY, _BODIES = 33, (33, 501)


class _Group(NamedTuple):
    """The landmarks of one body, hand or face.

    Args:
        label: what the names of the columns begin with.
        rig: the built-in rig; None for a face.
        names: the name in the file of each landmark, in MediaPipe's order.
    """

    label: str
    rig: str | None
    names: Sequence[str]


def read_mediapipe_csv(table: Table) -> Parsed:
    """MediaPipe's 33 landmarks of a body, or 21 of each hand, or 468 or 478 of a face.

    x and y are shares of the picture's width and height. z, a depth relative to the hips or the wrist, is left out. The
    visibility is the confidence. If a table has bodies, its hands and faces are left out. If it has left and right
    hands, each is a track.

    Raises:
        InputError: landmarks in meters (MediaPipe's world landmarks), cells that are not numbers, a frame that comes
            twice.
    """
    return read_grid(grid_of(table))


def read_grid(grid: Grid) -> Parsed:
    """`read_mediapipe_csv` for a table that is open already.

    Raises:
        InputError: as `read_mediapipe_csv`.
    """
    rows = long_columns(grid)
    if rows is not None:
        groups, parsed, deep = _read_long(grid, rows)
    else:
        joints = joint_columns(grid.header)
        groups = _groups(list(joints)) or _some(grid)
        deep = any(joint.z is not None for joint in joints.values())
        parsed = replace(read_joints(grid, joints), names=list(joints))
    return _settled(parsed, groups, deep)


def _read_long(grid: Grid, rows: LongColumns) -> tuple[list[_Group], Parsed, bool]:
    kind = grid.find(_KIND)
    if kind is not None:
        cells = [f"{label}_{name}" for label, name in zip(grid.column(kind), grid.column(rows.keypoint), strict=True)]
        column = grid.column
        grid = replace(grid, column=lambda place: cells if place == rows.keypoint else column(place))
    parsed = read_rows(grid, rows)
    return _groups(list(parsed.names or ())), parsed, rows.z is not None


def _settled(parsed: Parsed, groups: Sequence[_Group], deep: bool) -> Parsed:
    place = {name: joint for joint, name in enumerate(parsed.names or ())}
    columns = [[place[name] for name in group.names] for group in groups]
    keypoints = np.concatenate([parsed.keypoints[:, :, joints] for joints in columns])
    confidence = np.concatenate([np.asarray(parsed.confidence)[:, :, joints] for joints in columns])
    tracks = [
        track if len(groups) == 1 else group.label if len(parsed.tracks) == 1 else f"{track}_{group.label}"
        for group in groups
        for track in parsed.tracks
    ]
    seen = keypoints[np.isfinite(keypoints).all(axis=-1) & (keypoints != 0).any(axis=-1)]
    normalized = not len(seen) or share_in_unit(seen) >= 0.9
    if deep and ((seen < 0).mean() if len(seen) else 0) > 0.25:
        raise InputError("holds MediaPipe's world landmarks, 3D points in meters; needs its pose_landmarks (2D)")
    known = groups[0].rig
    some = known is None and len(groups[0].names) not in _FACES
    if deep and not normalized and (some or not (seen >= 0).mean() > 0.9):
        raise refuse_3d()
    if not (confidence > 0).any():
        # Hands and faces have no visibility: MediaPipe gives 0 for all.
        confidence = np.full_like(confidence, np.nan)
    note = f"MediaPipe's {len(groups[0].names)} landmarks" + ("; z, a relative depth, is left out" if deep else "")
    return replace(
        parsed,
        keypoints=keypoints,
        confidence=confidence,
        names=rig(known).names if known else groups[0].names if some else None,
        tracks=tracks,
        rig_name=known,
        zero_is_hidden=True,
        normalized=normalized,
        notes=(note, *parsed.notes),
    )


def _groups(names: Sequence[str]) -> list[_Group]:
    """The body, else the hands, else the face that the names make up; empty if they are not MediaPipe's."""
    by_name = _named(names)
    if by_name is not None:
        return [by_name]
    found = []
    for label, members in _numbered(names).items():
        size = len(members)
        first = min(members)
        if set(members) != set(range(first, first + size)) or first not in (0, 1) or "world" in label.casefold():
            continue  # Some landmarks are missing, or they are in meters.
        ordered = [members[number] for number in sorted(members)]
        if size in _BODIES:
            return [_Group(label, _RIGS[0], ordered[:_BODY])]
        if size == 21:
            found.append(_Group(label, _RIGS[1], ordered))
        elif size in _FACES:
            found.append(_Group(label, None, ordered))
    hands = [group for group in found if group.rig is not None]
    return hands or found[:1]


def _named(names: Sequence[str]) -> _Group | None:
    """The body or the hand whose landmarks are all there by name, with the same word or none before each name."""
    given = {plain(name): name for name in names}
    for known in _RIGS:
        wanted = [plain(name) for name in rig(known).names]
        for before in ("", "pose", "poselandmark", "landmark", "hand", "handlandmark", "body"):
            if all(before + name in given for name in wanted):
                return _Group("", known, [given[before + name] for name in wanted])
    return None


def _some(grid: Grid) -> list[_Group]:
    """Some landmarks of a body with MediaPipe's names, each with a depth and a visibility; else empty."""
    joints = joint_columns(grid.header)
    wanted = {plain(name) for name in rig(_RIGS[0]).names}
    whole = all(joint.z is not None and joint.score is not None for joint in joints.values())
    return [_Group("", None, list(joints))] if joints and whole and {*map(plain, joints)} <= wanted else []


def _numbered(names: Sequence[str]) -> Mapping[str, dict[int, str]]:
    """The names that consist of a label and a number, by label and number."""
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        match = re.fullmatch(r"(.*?)[\s_.:-]*(\d{1,4})(?:\.0)?", name[-100:])
        if match is not None:
            groups.setdefault(match[1], {})[int(match[2])] = name
    return groups


def is_mediapipe(grid: Grid) -> bool:
    """Whether the landmarks are MediaPipe's: by their names, or by their number beside a depth or a visibility."""
    rows = long_columns(grid)
    telling = any(re.search(r"vis|(?:^|[\W_])[vz](?:_?\d+)?$", name, re.IGNORECASE) for name in grid.header)
    if rows is not None:
        if rows.x is None or not telling:
            return False
        kind = grid.find(_KIND)
        cells = dict.fromkeys(grid.column(rows.keypoint))
        if kind is None:
            return bool(_groups(list(cells)))
        labels = zip(grid.column(kind), grid.column(rows.keypoint), strict=True)
        return bool(_groups(list(dict.fromkeys(f"{label}_{name}" for label, name in labels))))
    try:
        joints: Mapping[str, Joint] = joint_columns(grid.header)
    except InputError:
        return False
    groups = _groups(list(joints))
    if not groups:
        return bool(_some(grid))
    return telling or not groups[0].names[0][-1].isdecimal()


FORMAT = Format(
    name="mediapipe-csv",
    extensions=(".csv",),
    example="landmarks.csv --image-size 1280 720",
    extra=None,
    description="MediaPipe landmarks",
    containers=(TABLE,),
    matches=lambda table: is_mediapipe(grid_of(table)),
    read=read_mediapipe_csv,
    recognized_by="33 landmarks of a body, 21 of a hand, 468 or 478 of a face, by name or number, with visibility or "
    "z, in a row for each frame (`x0`, `nose_x`, `landmark_0_x`) or for each landmark; also some of the body's "
    "landmarks, by name, with visibility and z",
    takes="x and y as shares of the picture's sides, so `--image-size` is needed; visibility; z is left out; of body, "
    "hands and face only the body; left and right hands as tracks; (0, 0) is hidden",
)
