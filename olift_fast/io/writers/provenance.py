"""What formats with room for it tell of a result beside its joints: where it comes from, and how it was lifted."""

from __future__ import annotations

import json
from typing import Any

from olift_fast.errors import printable
from olift_fast.tracks.containers import LiftedTracks


def provenance(result: LiftedTracks) -> dict[str, Any]:
    """The facts of a result as values of JSON, by their names in `LiftedTracks`; what is not known is left out."""
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
        "scale": result.scale.tolist(),
        "rotation": result.rotation.tolist(),
        "pitch": result.pitch,
        "meters_per_pixel": None if result.meters_per_pixel is None else result.meters_per_pixel.tolist(),
        "image_size": None if result.image_size is None else list(result.image_size),
        # The name of a file may be no text.
        "source": None if result.source is None else printable(result.source),
        "format": result.format,
        "notes": list(result.notes) or None,
        "warnings": list(result.warnings) or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def provenance_json(result: LiftedTracks) -> str:
    """`provenance` as one line of JSON."""
    return json.dumps(provenance(result), ensure_ascii=False)
