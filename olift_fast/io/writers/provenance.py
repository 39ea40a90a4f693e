"""What a file says about a result beside its joints, if the format has room: its source, and how it was lifted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import printable
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.world_frame import Calibration, WorldFrame


def provenance(result: LiftedTracks) -> dict[str, Any]:
    """The facts of a result as JSON values, by their names in `LiftedTracks`; unknown ones are left out."""
    skeleton = result.skeleton
    facts = {
        "program": "olift-fast",
        "model": f"{result.model} {result.version}",
        "frame": result.frame,
        "axes": result.axes,
        "units": result.units,
        "fps": result.fps,
        "tracks": list(result.tracks),
        "skeleton": skeleton.name,
        "joints": list(skeleton.names),
        "edges": [list(edge) for edge in skeleton.edges],
        "sides": list(skeleton.sides),
        "inferred": list(skeleton.inferred) or None,
        "scale": _numbers(result.scale),
        "rotation": _numbers(result.rotation),
        "pitch": result.pitch,
        "meters_per_pixel": None if result.meters_per_pixel is None else _numbers(result.meters_per_pixel),
        "world": record_facts(result.world),
        "calibration": record_facts(result.calibration),
        "image_size": None if result.image_size is None else list(result.image_size),
        # A file's name may have characters that are not valid text.
        "source": None if result.source is None else printable(result.source),
        "format": result.format,
        "notes": list(result.notes) or None,
        "warnings": list(result.warnings) or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def provenance_json(result: LiftedTracks) -> str:
    """`provenance` as one line of JSON."""
    return json.dumps(provenance(result), ensure_ascii=False)


def record_facts(record: WorldFrame | Calibration | None) -> dict[str, Any] | None:
    """The fields of a record as JSON values, by their names; unknown ones are left out. None for no record."""
    if record is None:
        return None
    known = {name: value for name, value in vars(record).items() if value is not None}
    return {name: _numbers(value) if isinstance(value, np.ndarray) else value for name, value in known.items()}


def _numbers(values: npt.NDArray[Any]) -> Any:
    """The numbers as lists, with None for NaN and infinity, which JSON does not have."""
    return np.where(np.isfinite(values), values.astype(object), np.array(None)).tolist()
