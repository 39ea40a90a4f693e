"""Writes a result as .npz, which holds everything exactly, and reads it back."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, named
from olift_fast.io.format import OutputFormat
from olift_fast.io.numpy_files import Archive
from olift_fast.io.parsed import UNUSABLE
from olift_fast.odd_files import as_file
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.world_frame import Calibration, WorldFrame

_MARK = "olift_fast.lifted"
_VERSION = 1
_ARRAYS = ("joints", "keypoints", "confidence", "visible", "scale", "centers", "rotation")
_TEXTS = ("frame", "model", "version")
_OTHERS = (
    *("content", "content_version", "names", "edges", "sides", "tracks", "skeleton_name", "fps", "frames"),
    *("image_size", "source", "format", "notes", "warnings", "inferred", "pitch", "uncertainty", "uncertainty_xy"),
    *("meters_per_pixel", "contacts"),
)
# Records within a result: the fields of each are arrays of their own, "world.rotation" and so on.
_RECORDS: dict[str, type[WorldFrame | Calibration]] = {"world": WorldFrame, "calibration": Calibration}


def read_lifted(path: str | Path) -> LiftedTracks:
    """The result that `write_lifted` wrote to an .npz, exactly.

    Raises:
        InputError: no such file, not a lifted result, or one of a newer version.
    """
    path = Path(path)
    try:
        with as_file(path) as file:
            held, content = _content(file)
        if str(content.get("content")) != _MARK:
            raise InputError(f"not a lifted result: an .npz with {', '.join(held) or 'nothing in it'}")
        if int(content["content_version"]) > _VERSION:
            raise InputError(f"written by a newer olift-fast: version {content['content_version']}, known: {_VERSION}")
        return _from_arrays(content)
    except InputError as error:
        raise InputError(named(path, error)) from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UNUSABLE as error:
        raise InputError(f"{path}: not a usable lifted result: {' '.join(str(error).split())}") from error


def _content(path: Path) -> tuple[list[str], dict[str, npt.NDArray[Any]]]:
    """The names of all arrays of a file, and the arrays that belong to a result."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise InputError("not a lifted result: wanted an .npz that `olift lift` wrote")
    with Archive(path) as archive:
        parts = [f"{name}.{field.name}" for name, record in _RECORDS.items() for field in fields(record)]
        known = (*_ARRAYS, *_TEXTS, *_OTHERS, *parts)
        return sorted(archive), {key: archive[key] for key in known if key in archive}


def write_npz(result: LiftedTracks, path: Path) -> None:
    """Writes all fields of a result, compressed; nothing in the file is pickled."""
    arrays: dict[str, Any] = {name: getattr(result, name) for name in (*_ARRAYS, *_TEXTS)}
    arrays |= {
        "content": _MARK,
        "content_version": _VERSION,
        "names": np.array(result.skeleton.names),
        "edges": np.array(result.skeleton.edges, dtype=np.int64).reshape(-1, 2),
        "sides": np.array(result.skeleton.sides, dtype=np.int8),
        "tracks": np.array(result.tracks),
    }
    optional = {
        "inferred": np.array(result.skeleton.inferred) if result.skeleton.inferred else None,
        "skeleton_name": result.skeleton.name,
        "fps": result.fps,
        "frames": result.frames,
        "image_size": result.image_size,
        "pitch": result.pitch,
        "source": result.source,
        "format": result.format,
        "notes": np.array(result.notes) if result.notes else None,
        "warnings": np.array(result.warnings) if result.warnings else None,
        "uncertainty": result.uncertainty,
        "uncertainty_xy": result.uncertainty_xy,
        "meters_per_pixel": result.meters_per_pixel,
        "contacts": result.contacts,
        **_parts("world", result.world),
        **_parts("calibration", result.calibration),
    }
    arrays |= {name: value for name, value in optional.items() if value is not None}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _from_arrays(content: dict[str, npt.NDArray[Any]]) -> LiftedTracks:
    skeleton = Skeleton(
        tuple(content["names"].tolist()),
        tuple((int(a), int(b)) for a, b in content["edges"]),
        tuple(int(side) for side in content["sides"]),
        str(content["skeleton_name"]) if "skeleton_name" in content else None,
        tuple(content["inferred"].tolist()) if "inferred" in content else (),
    )
    size = content.get("image_size")
    fields: dict[str, Any] = {name: content[name] for name in _ARRAYS}
    fields |= {name: str(content[name]) for name in _TEXTS}
    return LiftedTracks(
        **fields,
        skeleton=skeleton,
        tracks=tuple(content["tracks"].tolist()),
        fps=float(content["fps"]) if "fps" in content else None,
        frames=content.get("frames"),
        image_size=None if size is None else (int(size[0]), int(size[1])),
        pitch=float(content["pitch"]) if "pitch" in content else None,
        source=str(content["source"]) if "source" in content else None,
        format=str(content["format"]) if "format" in content else None,
        notes=tuple(content["notes"].tolist()) if "notes" in content else (),
        warnings=tuple(content["warnings"].tolist()) if "warnings" in content else (),
        uncertainty=content.get("uncertainty"),
        uncertainty_xy=content.get("uncertainty_xy"),
        meters_per_pixel=content.get("meters_per_pixel"),
        contacts=content.get("contacts"),
        **{name: _record(name, content) for name in _RECORDS},
    )


def _parts(name: str, record: WorldFrame | Calibration | None) -> dict[str, Any]:
    """The fields of a record by the names of their arrays."""
    return {} if record is None else {f"{name}.{key}": value for key, value in vars(record).items()}


def _record(name: str, content: dict[str, npt.NDArray[Any]]) -> Any:
    """The record of this name, or None if the file has none."""
    own = {key.partition(".")[2]: value for key, value in content.items() if key.startswith(f"{name}.")}
    given: dict[str, Any] = {key: value if value.ndim else value.item() for key, value in own.items()}
    return _RECORDS[name](**given) if own else None


OUTPUT = OutputFormat(
    name="npz",
    suffix=".npz",
    extra=None,
    description="the table above",
    holds="everything, exactly",
    drops="nothing",
    write=write_npz,
)
