"""A body: the relative lengths of an animal's bones with their errors, and their file, `body.json`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast._version import __version__
from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError
from olift_fast.odd_files import as_file
from olift_fast.tracks.skeleton import Skeleton, plain

Floats = npt.NDArray[np.float64]

FORMAT, FORMAT_VERSION = "olift-fast body", 2
PARTS = 8
"""The clips are dealt into this many parts; a length's spread is its standard deviation between them."""
_MOST_NAMED = 4

_GENERIC = re.compile(
    r"(?:(?:animal|body|hand|id|individual|ind|instance|left|object|people|person|pose|right|single|subject|track|"
    r"unnamed)[\s_.-]*)*\d*",
    re.I,
)


@dataclass(frozen=True, eq=False)
class Body:
    """Bone lengths of one individual, or those that several share.

    Args:
        skeleton: its E edges are the bones.
        lengths: (E) in units of the mean bone; a bone and its twin have one length. NaN for a bone that is never seen.
        spread: (E) standard deviation between eighths of the clips, in the same unit; NaN if fewer parts show the bone.
        frames: (E) number of frames that show both ends of the bone.
        millimeters: in one unit of `lengths`; None if no length is known.
        individuals: the bodies of the individuals by name, if there are several (`individual_of`).
        source: the file that it was read from, for messages.
    """

    skeleton: Skeleton
    lengths: Floats
    spread: Floats
    frames: npt.NDArray[np.int64]
    millimeters: float | None = None
    individuals: Mapping[str, Body] = field(default_factory=dict)
    source: str | None = None

    def whose(self, track: str, source: str | None) -> str | None:
        """The name of a track's individual (`individual_of`); None if the body does not know it."""
        names = [individual_of(track, name) for name in (file_name(source), source)]
        return next((name for name in names if name in self.individuals), None)

    def along(self, skeleton: Skeleton, source: str | None = None) -> tuple[Floats, Floats]:
        """Lengths and their standard errors (E), in the order of another skeleton's bones.

        Joints are matched by name, ignoring case. The standard error follows from the spread between `PARTS` parts.

        Args:
            skeleton: the skeleton to get these lengths.
            source: its file, for messages.

        Raises:
            InputError: the skeleton has other bones; the message names both files and the bones that only one has.
        """
        for key in (str, plain):
            ours, wanted = _ends(self.skeleton, key), _ends(skeleton, key)
            if set(ours) == set(wanted) and len(ours) == len(set(ours)) == len(wanted):
                order = [ours.index(ends) for ends in wanted]
                return self.lengths[order], self.spread[order] / math.sqrt(PARTS)
        unknown = [edge for edge, ends in zip(skeleton.edges, wanted, strict=True) if ends not in ours]
        left = [edge for edge, ends in zip(self.skeleton.edges, ours, strict=True) if ends not in wanted]
        own, other = self.source or "the body", source or "the recording"
        told = [f"{other} alone has {_named(skeleton, unknown)}"] if unknown else []
        told += [f"{own} alone has {_named(self.skeleton, left)}"] if left else []
        raise InputError(f"{own}: does not have the bones of {other}: {'; '.join(told) or 'some have one name'}")

    def as_json(self) -> dict[str, Any]:
        """The content of `body.json`; a bone that is never seen has null for its length."""
        about = {"format": FORMAT, "format_version": FORMAT_VERSION, "version": __version__}
        rows = [{"name": name, "bones": own._rows()} for name, own in self.individuals.items()]
        return {**about, "bones": self._rows(), **({"individuals": rows} if rows else {})}

    def write(self, path: Path) -> None:
        """Write `body.json`; raises InputError if it can't be written."""
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")

    def scaled(self, pairs: Sequence[tuple[int, int]], meters: float, text: str) -> Body:
        """The body with millimeters, from the known distance of pairs of joints, each of which must be a bone.

        Individuals get no millimeters, because their sizes relative to each other are not known.

        Raises:
            InputError: a pair is not a bone, or its length is not known.
        """
        unit = float(np.mean(self.lengths[bones_between(self.skeleton, pairs, text)]))
        if not unit > 0:
            raise InputError(f"{text!r}: the 2D does not tell how long that bone is beside the others")
        return replace(self, millimeters=1000 * meters / unit)

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for edge, length, spread, frames in zip(
            self.skeleton.edges, self.lengths, self.spread, self.frames, strict=True
        ):
            row: dict[str, Any] = {
                "joints": [self.skeleton.names[joint] for joint in edge],
                "length": _rounded(length),
                "spread": _rounded(spread),
                "frames": int(frames),
            }
            if self.millimeters is not None:
                row |= {
                    "millimeters": _rounded(length * self.millimeters),
                    "millimeters_spread": _rounded(spread * self.millimeters),
                }
            rows.append(row)
        return rows


def bones_between(skeleton: Skeleton, pairs: Sequence[tuple[int, int]], text: str) -> list[int]:
    """The numbers of the bones between pairs of joints; raises InputError, with the text, for a pair without a bone."""
    bones = [frozenset(edge) for edge in skeleton.edges]
    for a, b in pairs:
        if frozenset((a, b)) not in bones:
            raise InputError(f"{text!r}: {skeleton.names[a]} and {skeleton.names[b]} are not the ends of one bone")
    return [bones.index(frozenset(pair)) for pair in pairs]


def individual_of(track: str, recording: str | None) -> str:
    """The name of a track's individual: the track's name, or the recording's if the track's is like `track_0`."""
    return recording if recording is not None and _GENERIC.fullmatch(track.strip()) else track


def file_name(source: str | None) -> str | None:
    """The file name of a recording's source; None if it has no source."""
    return Path(source).name or source if source else None


def read_body(path: Path | str) -> Body:
    """Read a body from `body.json`, as `olift adapt` writes it; files of version 1 have no individuals.

    Raises:
        InputError: the file is missing, of another format, or has impossible values. The message begins with the path.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, wanted the file body.json")
    try:
        with as_file(path) as file:
            content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}") from error
    try:
        return _body(content, str(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _body(content: Any, source: str) -> Body:
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise InputError(f'is no body: wanted an object with "format": "{FORMAT}", as `olift adapt` writes it')
    version = content.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT_VERSION:
        raise InputError(f"format_version must be 1 to {FORMAT_VERSION}, got {version!r:.40}")
    shared = _of_rows(content.get("bones"), "bones", None)
    individuals: dict[str, Body] = {}
    listed = content.get("individuals", [])
    if not isinstance(listed, list):
        raise InputError(f"individuals must be a list, got {listed!r:.40}")
    for number, one in enumerate(listed):
        name = one.get("name") if isinstance(one, Mapping) else None
        if not isinstance(name, str) or name in individuals:
            raise InputError(f"individuals[{number}] must have a name of its own, got {name!r:.40}")
        own = _of_rows(one.get("bones"), f"individuals[{number}].bones", shared.skeleton)
        individuals[name] = replace(own, source=source)
    return replace(shared, individuals=individuals, source=source)


def _of_rows(rows: Any, where: str, skeleton: Skeleton | None) -> Body:
    """The body from a list of bones; with a skeleton, the bones must be those of the skeleton in its order."""
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{where} must be a list of bones, got {rows!r:.40}")
    pairs = [_joints(row, f"{where}[{number}]") for number, row in enumerate(rows)]
    if skeleton is None:
        names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
        place = {name: joint for joint, name in enumerate(names)}
        # Skeleton refuses a bone that comes twice and one between a joint and itself.
        skeleton = Skeleton(names, tuple((place[a], place[b]) for a, b in pairs))
    elif pairs != [tuple(skeleton.names[joint] for joint in edge) for edge in skeleton.edges]:
        raise InputError(f"{where} must be the bones that all share, in their order")
    values = {
        key: np.array([_number(row, key, f"{where}[{number}]") for number, row in enumerate(rows)])
        for key in ("length", "spread", "frames")
    }
    if not np.isfinite(values["length"]).any():
        raise InputError(f"{where} must have a length that is known, got null alone")
    if (values["length"] == 0).any():
        raise InputError(f"{where}[{int((values['length'] == 0).argmax())}].length must be above 0, got 0")
    millimeters = None
    if all("millimeters" in row for row in rows):
        told = np.array([_number(row, "millimeters", f"{where}[{number}]") for number, row in enumerate(rows)])
        # The longest bone is rounded least.
        longest = int(np.nanargmax(values["length"]))
        millimeters = float(told[longest] / values["length"][longest])
        millimeters = millimeters if math.isfinite(millimeters) and millimeters > 0 else None
    frames = np.nan_to_num(values["frames"]).astype(np.int64)
    return Body(skeleton, values["length"], values["spread"], frames, millimeters)


def _joints(row: Any, where: str) -> tuple[str, str]:
    joints = row.get("joints") if isinstance(row, Mapping) else None
    if not isinstance(joints, list) or len(joints) != 2 or not all(isinstance(name, str) for name in joints):
        raise InputError(f"{where}.joints must be the names of two joints, got {joints!r:.60}")
    return joints[0], joints[1]


def _number(row: Mapping[str, Any], key: str, where: str) -> float:
    """A number ≥ 0 of a bone; NaN for null."""
    value = row.get(key)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e15:
        raise InputError(f"{where}.{key} must be a number >= 0 or null, got {value!r:.40}")
    return float(value)


def _ends(skeleton: Skeleton, key: Callable[[str], str]) -> list[frozenset[str]]:
    """(E) the names of the bones' ends, each through `key`."""
    return [frozenset((key(skeleton.names[a]), key(skeleton.names[b]))) for a, b in skeleton.edges]


def _named(skeleton: Skeleton, edges: Sequence[tuple[int, int]]) -> str:
    """Some of the bones by name, as "hip-knee, knee-foot, …"."""
    some = [f"{skeleton.names[a]}-{skeleton.names[b]}" for a, b in edges[:_MOST_NAMED]]
    return ", ".join(some) + (", …" if len(edges) > _MOST_NAMED else "")


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
