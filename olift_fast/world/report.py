"""Describes a result in the world frame: the sources of its axes, size and path, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import LiftedTracks
from olift_fast.world.gravity import pitch_and_roll

Floats = npt.NDArray[np.float64]

MOST_LINES = 4
"""Up to this many tracks have a line each; more tracks have one line together."""
_GRAVITY = {
    "given": "as told",
    "joints": "along the joints told",
    "calibration": "by the calibration",
    "pitch": "by the camera's pitch",
    "feet": "estimated from how the feet stand",
    "body": "estimated from how the body stands",
    "assumed": "only assumed, since nothing tells (--pitch or --up does)",
}
_PATHS = {
    "in-plane": "in the picture's plane alone, without depth: --focal, --fov or --calibration tell it",
    "floor": "depth from the floor under the feet",
    "size": "depth from the apparent size of the bones",
    "size and floor": "depth from the apparent size of the bones and the floor under the feet",
}


def describe(result: LiftedTracks) -> tuple[str, ...]:
    """Lines for the user about gravity, floor, size and root path; none for a result in another frame."""
    world = result.world
    if world is None:
        return ()
    pitch, roll = pitch_and_roll(world.up)
    looks = f"camera looks {'up' if pitch < 0 else 'down'} by {abs(pitch):.0f}°, tilted sideways by {abs(roll):.0f}°"
    lines = [f"up is {_GRAVITY[world.gravity]}, to about {world.gravity_error:.0f}° ({looks})"]
    if world.floor is not None and np.isfinite(world.floor).any() and result.contacts is not None:
        lines.append(f"floor: joints stand on it in {_contact_share(result):.0%} of the frames")
    if result.meters_per_pixel is not None and world.size_spread is not None:
        lines += _sizes(result.tracks, 1000 * result.meters_per_pixel.astype(np.float64), world.size_spread)
    known = world.path_error[np.isfinite(world.path_error)]
    unit = "m" if result.units == "meters" else result.units
    sure = f", to about {np.median(known):.2g} {unit}" if known.size else ""
    return (*lines, f"root path: {_PATHS[world.path]}{sure}")


def facts(result: LiftedTracks) -> dict[str, Any] | None:
    """The facts of `describe` for JSON; None for a result in another frame."""
    world = result.world
    if world is None:
        return None
    pitch, roll = pitch_and_roll(world.up)
    meters = result.meters_per_pixel
    return {
        "gravity": world.gravity,
        "gravity_error": round(world.gravity_error, 2),
        "camera_pitch": round(pitch, 2),
        "camera_roll": round(roll, 2),
        "path": world.path,
        "path_error": _numbers(world.path_error),
        "floor": None if world.floor is None else _numbers(world.floor),
        "contact_share": None if result.contacts is None else round(_contact_share(result), 4),
        "meters_per_pixel": None if meters is None else _numbers(meters),
        "size_spread": None if world.size_spread is None else _numbers(world.size_spread),
        "calibrated": world.calibrated,
    }


def _sizes(tracks: Sequence[str], pixels: Floats, spreads: Floats) -> list[str]:
    """Lines about the size of a pixel in millimeters: one for each track, or one for all if they are many."""
    if len(tracks) <= MOST_LINES:
        return [
            f"size of {name}: a pixel is {pixel:.3g} mm at it"
            + (f" (frames spread by {spread:.0%})" if np.isfinite(spread) else ", as at the others")
            for name, pixel, spread in zip(tracks, pixels, spreads, strict=True)
        ]
    known = np.isfinite(spreads)
    others = f"; {(~known).sum():,} of them as at the others" if not known.all() else ""
    return [
        f"sizes of {len(tracks):,} tracks: a pixel is {np.nanmin(pixels):.3g} to {np.nanmax(pixels):.3g} mm at them "
        f"(frames spread by {np.median(spreads[known]):.0%} in the median{others})"
    ]


def _contact_share(result: LiftedTracks) -> float:
    """The share of the frames with a track in which any joint stands on the floor."""
    assert result.contacts is not None
    there = np.isfinite(result.joints[..., 0]).any(axis=-1)
    return float((result.contacts.any(axis=-1) & there).sum() / max(there.sum(), 1))


def _numbers(values: Any) -> list[float | None]:
    """The values with None for NaN, which JSON does not have."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=np.float64)]
