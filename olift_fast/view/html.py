"""One self-contained HTML page that plays a lifted clip: 2D input beside the 3D skeleton, no network needed."""

from __future__ import annotations

import base64
import gzip
import html
import importlib.util
import json
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from olift_fast.atomic import replacement
from olift_fast.errors import InputError, MissingExtraError, printable
from olift_fast.view.bones import edge_side, inferred_edges, shades_of

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks

MISSING = -32768
"""Code of a coordinate that is not there; the others use -32500 … 32500."""


def write_html(result: LiftedTracks, path: str | Path, *, max_frames: int = 600, title: str | None = None) -> Path:
    """Write a page that plays `result` in any browser of 2023 or later, offline: 2D input left, 3D skeleton right.

    Coordinates are stored in 16 bits (an error of at most 1/130,000 of the clip's extent), plotly.js is packed into the
    page, and a page of one animal and 600 frames takes about 2 MB. A button draws the uncertainty, where the result has
    it: through each joint a bar from one standard deviation of its depth before it to one behind it.

    Args:
        result: joints `(N, T, J, 3)` and the keypoints `(N, T, J, 2)` that they were lifted from.
        path: the page to write; it is replaced only once the new one is complete.
        max_frames: draw at most this many frames, evenly spaced; the page says so when it leaves some out.
        title: heading of the page; by default the name of the source file.

    Returns:
        the path written.

    Raises:
        MissingExtraError: plotly is not installed.
        InputError: `max_frames` is below 1.
        OSError: the page cannot be written; nothing is left behind.
    """
    if max_frames < 1:
        raise InputError(f"max_frames must be >= 1, got {max_frames}")
    require_plotly()
    from plotly.offline import get_plotlyjs

    source = Path(result.source).name if result.source else "keypoints"
    stride = -(-result.joints.shape[1] // max_frames)
    info, blob = _pack(result, stride)
    info |= {
        "title": title or source,
        "model": f"{result.model} {result.version}".strip(),
        "skeleton": result.skeleton.name,
        "frame": result.frame,
        "units": result.units,
        "camera": result.camera,
    }
    parts = {
        "title": html.escape(printable(info["title"])),
        "style": _asset("page.css"),
        "info": json.dumps(info, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "blob": _packed(blob),
        "plotly": _packed(get_plotlyjs().encode()),
        "script": _asset("page.js"),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))
    path = Path(path)
    with replacement(path) as temporary:
        temporary.write_bytes(page.encode())
    return path


def require_plotly() -> None:
    """Raise MissingExtraError unless plotly is installed. Call it before the work whose result is to be drawn."""
    if importlib.util.find_spec("plotly") is None:
        raise MissingExtraError(what="drawing the viewer page", extra="view")


def _pack(result: LiftedTracks, stride: int) -> tuple[dict[str, Any], bytes]:
    """What the page's script reads: facts for its JSON, and the arrays of the drawn frames, frames first, as bytes."""
    joints = np.swapaxes(result.joints[:, ::stride], 0, 1)
    keypoints = np.swapaxes(result.keypoints[:, ::stride], 0, 1)
    confidence = np.swapaxes(result.confidence[:, ::stride], 0, 1)
    visible = np.swapaxes(result.visible[:, ::stride], 0, 1)
    total = result.joints.shape[1]
    frames = np.arange(total) if result.frames is None else np.asarray(result.frames)

    joint_codes, joint_offset, joint_step = _quantize(joints)
    keypoint_codes, keypoint_offset, keypoint_step = _quantize(keypoints)
    # Only visible keypoints set the panels' size, or one stray detection would shrink the animal to a dot.
    seen = np.where(visible[..., None], keypoints, np.nan)
    tracks, skeleton = len(result.tracks), result.skeleton
    info: dict[str, Any] = {
        "frames": joints.shape[0],
        "total": total,
        "stride": stride,
        "fps": result.fps,
        "tracks": list(result.tracks),
        "joints": list(skeleton.names),
        "edges": [
            [a, b, edge_side(skeleton, a, b), int(inferred)]
            for (a, b), inferred in zip(skeleton.edges, inferred_edges(skeleton), strict=True)
        ],
        "sides": list(skeleton.sides),
        "colors": {theme: [shades_of(index, theme) for index in range(tracks)] for theme in ("light", "dark")},
        "imageSize": list(result.image_size) if result.image_size else None,
        "missing": MISSING,
        "joint": {"offset": joint_offset, "step": joint_step, "range": _ranges(joints)},
        "keypoint": {"offset": keypoint_offset, "step": keypoint_step, "range": _ranges(seen)},
        "reach": _reach(joints),
    }
    deviations: tuple[np.ndarray, ...] = ()
    if result.uncertainty is not None:
        codes, offset, step = _quantize(np.swapaxes(result.uncertainty[:, ::stride], 0, 1))
        deviations, info["deviation"] = (codes,), {"offset": offset, "step": step}
    levels = np.round(np.clip(np.nan_to_num(confidence), 0, 1) * 250).astype(np.uint8)
    arrays = (
        frames[::stride].astype("<i4"),
        joint_codes,
        keypoint_codes,
        *deviations,
        levels,
        visible.astype(np.uint8),
    )
    return info, b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def _quantize(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Codes `(...)` int16 with values = offset + step × code; what is not finite becomes MISSING."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(values.shape, MISSING, "<i2"), 0.0, 1.0
    low, high = float(values[finite].min()), float(values[finite].max())
    offset, step = (low + high) / 2, max((high - low) / 65000, 1e-9)
    codes = np.round((np.where(finite, values, offset).astype(np.float64) - offset) / step)
    return np.where(finite, codes, MISSING).astype("<i2"), offset, step


def _ranges(points: np.ndarray) -> list[list[float]]:
    """Drawn range of each coordinate: all but the farthest 0.2 % at either end, and a margin."""
    flat = points.reshape(-1, points.shape[-1])
    ranges = []
    for values in flat.T:
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, [0.2, 99.8]) if finite.size else (-1.0, 1.0)
        ranges.append([float(low), float(high)])
    margin = 0.06 * max(max(high - low for low, high in ranges), 1e-6)
    return [[round(low - margin, 4), round(high + margin, 4)] for low, high in ranges]


def _reach(joints: np.ndarray) -> list[float]:
    """Half the size `(3,)` of a box around the tracks' common center that holds them in nearly every frame."""
    frames = joints.reshape(joints.shape[0], -1, 3)
    reach = []
    for values in np.moveaxis(frames, -1, 0):
        rows = values[np.isfinite(values).any(axis=1)]
        if rows.size == 0:
            reach.append(1.0)
            continue
        spread = np.nanmax(np.abs(rows - np.nanmean(rows, axis=1, keepdims=True)), axis=1)
        reach.append(round(float(np.percentile(spread, 99.5)), 4))
    return reach


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _packed(data: bytes) -> str:
    # mtime 0: the same result gives the same page, byte for byte.
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")
