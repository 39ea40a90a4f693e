"""Brings a result from the camera frame to the world frame: upright, on the floor, at its size, on its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, listed
from olift_fast.tracks.containers import LiftedTracks, check_pitch
from olift_fast.tracks.rates import rate_of
from olift_fast.tracks.world_frame import Calibration, WorldFrame
from olift_fast.world.averages import median_of
from olift_fast.world.gravity import PITCH_ERROR, Up, axes_of, estimate_up, mean_direction, up_of_pitch
from olift_fast.world.grounding import Grounded, ground
from olift_fast.world.lengths import KnownLength, split_pair
from olift_fast.world.lens import project
from olift_fast.world.path import OF_LENGTH, along_rays, by_size, in_plane, smoothed
from olift_fast.world.size import Size, keeps_lengths, measure, relative_sizes

Floats = npt.NDArray[np.float64]

DISAGREEMENT = 45.0
"""There is a warning if the given gravity is this many degrees or more from how the animals stand."""
MILLIMETERS_FROM = 50.0
"""A camera farther than this from its world's origin is assumed to be calibrated in millimeters, else in meters."""


def to_world(
    result: LiftedTracks,
    *,
    pitch: float | None = None,
    up: str | Sequence[float] | None = None,
    lengths: Sequence[KnownLength] = (),
    focal: float | None = None,
    calibration: Calibration | None = None,
    calibration_unit: float | None = None,
    floor: bool = True,
) -> LiftedTracks:
    """Bring a result to the world frame: z up, the floor at z = 0, in meters if a length is known.

    The direction up comes from `up`, a calibrated world, the camera's pitch, or an estimate (`estimate_up`), the first
    of these that is known. With a focal length, the root's depth follows from the bones' apparent size. Without one, it
    follows from the floor under the feet, if the camera looks down or up by 10 degrees or more. Else the tracks move in
    the picture's plane only. `WorldFrame` in the result says which of these was used, and how sure it is.

    Args:
        result: in the camera frame. To get depth from a focal length, don't make its bones steady before.
        pitch: degrees by which the camera looks down; by default the pitch that was given to the model.
        up: (3) in the camera's axes (x right, y down, z away), or a pair of joints, "hip-neck", the second one above.
        lengths: known lengths (`parse_length`); with several, the size is surer.
        focal: the focal length in pixels, of a camera whose axis goes through the picture's middle.
        calibration: the camera; by default that of the result. If its place and a length are known, the result is in
            the calibration's world, whose z is assumed to be up; not so with `up`.
        calibration_unit: meters in one unit of the calibration's translation; by default 0.001 if the camera is more
            than 50 units from the origin, else 1.
        floor: whether the animals stand on a floor.

    Raises:
        InputError: the result is in another frame, options contradict each other or are out of range, joints are
            unknown, or no frame shows what a length is of.
    """
    _check(result, pitch, up, focal, calibration)
    calibration = calibration or result.calibration
    matrix = calibration.matrix if calibration is not None else _matrix(result, focal)
    sizes, scatter = relative_sizes(result)
    relative = np.exp(smoothed(np.log(sizes), rate_of(result)))
    relative = np.where(np.isfinite(relative), relative / median_of(relative, axis=1, keepdims=True), 1)
    turned = result.joints.astype(np.float64) if matrix is None else along_rays(result, matrix)
    straight = replace(result, joints=turned.astype(np.float32))
    upward, warnings = _upward(straight, result.pitch if pitch is None else pitch, up, calibration)
    flat = np.ones_like(relative) if matrix is None else relative
    size = measure(straight, lengths, upward.vector, flat) if lengths else None
    meters = np.ones(result.num_tracks) if size is None else size.meters_per_pixel
    if matrix is None:
        placed = in_plane(result, meters)
    else:
        placed = by_size(result, turned, matrix, meters, relative, scatter)
    rotation, center, calibrated = axes_of(upward.vector), np.zeros(3), False
    if upward.source == "calibration" and calibration is not None:
        if lengths:
            rotation, center, notes = _of_calibration(calibration, calibration_unit)
            calibrated = True
        else:
            notes = [
                "no length is known, so that the calibration's world is out of reach: --bone, --length, --height, or "
                "a --body with millimeters"
            ]
        warnings = [*warnings, *notes]
    if matrix is not None and keeps_lengths(result):
        warnings = [*warnings, "all bones keep their lengths, so that they tell no depth: --rigid comes after --world"]
    grounded = ground(result, placed, upward.vector, matrix, floor)
    origin = center + _origins(grounded, rotation, matrix is None, calibrated)
    world = WorldFrame(
        rotation=rotation,
        origin=origin,
        gravity=upward.source,
        gravity_error=upward.error,
        path=grounded.path,
        path_error=_depth_error(grounded, matrix, len(lengths)),
        floor=_levels(grounded, rotation, origin, calibrated) if floor else None,
        matrix=matrix,
        size_spread=None if size is None else size.spread,
        calibrated=calibrated,
    )
    return _result(result, grounded, world, size, calibration, warnings, floor)


def reproject(result: LiftedTracks) -> Floats:
    """(N, T, J, 2) the camera's pixels of the joints of a result in the world frame; NaN where a joint is NaN.

    Raises:
        InputError: the result is in another frame, or has no `WorldFrame`.
    """
    world = result.world
    if world is None:
        raise InputError(f"a result in the frame {result.frame!r} without its WorldFrame can't be reprojected")
    camera = (result.joints.astype(np.float64) - world.origin[:, None, None]) @ world.rotation
    if world.matrix is not None:
        return project(camera, world.matrix)
    meters = np.ones(result.num_tracks) if result.meters_per_pixel is None else result.meters_per_pixel
    return np.asarray(camera[..., :2] / meters[:, None, None, None])


def _origins(grounded: Grounded, rotation: Floats, far: bool, calibrated: bool) -> Floats:
    """(N, 3) the shift that puts the floor at z = 0 and, with a far camera, the tracks around x = y = 0."""
    origins = np.zeros((len(grounded.joints), 3))
    if calibrated:
        return origins
    turned = grounded.joints @ rotation.T
    middle = np.nan_to_num(median_of(turned.reshape(-1, 3), axis=0))
    origins[:] = -middle if far else (0, 0, -middle[2])
    found = np.isfinite(grounded.levels)
    origins[found, 2] = -grounded.levels[found]
    return origins


def _depth_error(grounded: Grounded, matrix: Floats | None, lengths: int) -> Floats:
    """(N) the standard deviation of the root's depth, with that of the size, which is less with several lengths."""
    if matrix is None or not lengths:
        return grounded.depth_error
    depth = median_of(grounded.joints[..., 2].reshape(len(grounded.joints), -1), axis=1)
    return np.hypot(grounded.depth_error, OF_LENGTH / np.sqrt(lengths) * depth)


def _levels(grounded: Grounded, rotation: Floats, origin: Floats, calibrated: bool) -> Floats:
    """(N) the height of the floor under each track, in the world."""
    if not calibrated:
        return np.where(np.isfinite(grounded.levels), 0.0, np.nan)
    heights = (grounded.joints @ rotation.T)[..., 2] + origin[:, None, None, 2]
    standing = np.where(grounded.contacts, heights, np.nan)
    return median_of(standing.reshape(len(standing), -1), axis=1)


def _result(
    result: LiftedTracks,
    grounded: Grounded,
    world: WorldFrame,
    size: Size | None,
    calibration: Calibration | None,
    warnings: Sequence[str],
    floor: bool,
) -> LiftedTracks:
    joints = grounded.joints @ world.rotation.T + world.origin[:, None, None]
    meters = None if size is None else size.meters_per_pixel
    if size is not None:
        warnings = [*warnings, *size.warnings]
    if world.floor is not None and not np.isfinite(world.floor).all():
        lost = [name for name, level in zip(result.tracks, world.floor, strict=True) if not np.isfinite(level)]
        warnings = [
            *warnings,
            f"no floor was found under {listed(lost)}: --no-floor for what swims, climbs or flies",
        ]
    stretch = 1.0 if meters is None else meters[:, None, None]
    return replace(
        result,
        joints=joints.astype(np.float32),
        frame="world",
        meters_per_pixel=None if meters is None else meters.astype(np.float32),
        contacts=grounded.contacts if floor else None,
        uncertainty=None if result.uncertainty is None else result.uncertainty * stretch,
        uncertainty_xy=None if result.uncertainty_xy is None else result.uncertainty_xy * stretch,
        world=world,
        calibration=calibration,
        warnings=(*result.warnings, *warnings),
    )


def _upward(
    result: LiftedTracks, pitch: float | None, up: str | Sequence[float] | None, calibration: Calibration | None
) -> tuple[Up, list[str]]:
    """The direction up, and a warning if the animals look as if it were another direction."""
    if up is not None:
        return _given_up(result, up), []
    if calibration is not None and calibration.rotation is not None:
        told = Up(calibration.rotation[:, 2], "calibration", 1.0)
        way_out = "if its z is not up, tell --up"
    elif pitch is not None:
        told, way_out = Up(up_of_pitch(pitch), "pitch", PITCH_ERROR), "is it right?"
    else:
        return estimate_up(result), []
    seen = estimate_up(result)
    apart = float(np.degrees(np.arccos(np.clip(told.vector @ seen.vector, -1, 1))))
    if seen.source == "assumed" or apart < max(DISAGREEMENT, 2 * seen.error):
        return told, []
    return told, [f"gravity by the {told.source} is {apart:.0f}° from how the animals stand: {way_out}"]


def _given_up(result: LiftedTracks, up: str | Sequence[float]) -> Up:
    if isinstance(up, str):
        start, stop = split_pair(up, result.skeleton, up)
        vector, spread = mean_direction(result, start, stop)
        if not np.isfinite(vector).all():
            raise InputError(f"--up {up}: no frame shows both joints")
        return Up(vector, "joints", spread)
    vector = np.asarray(up, dtype=np.float64)
    length = float(np.linalg.norm(vector)) if vector.shape == (3,) else 0.0
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"up must be three numbers, x right, y down, z away from the camera, not all 0, got {up}")
    return Up(vector / length, "given", 0.0)


def _matrix(result: LiftedTracks, focal: float | None) -> Floats | None:
    """The camera matrix of a focal length in pixels."""
    if focal is None:
        return None
    if result.image_size is None:
        raise InputError("a focal length needs the picture's size: --image-size WIDTH HEIGHT")
    width, height = result.image_size
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])


def focal_of(fov: float, image_size: tuple[int, int] | None) -> float:
    """The focal length in pixels of a camera that sees `fov` degrees across the picture's width.

    Raises:
        InputError: not between 0 and 180 degrees, or the picture's size is not known.
    """
    if not 0 < fov < 180:
        raise InputError(f"--fov must be between 0 and 180 degrees, got {fov:g}")
    if image_size is None:
        raise InputError("--fov needs the picture's size: --image-size WIDTH HEIGHT")
    return float(image_size[0] / (2 * np.tan(np.radians(fov) / 2)))


def _of_calibration(calibration: Calibration, unit: float | None) -> tuple[Floats, Floats, list[str]]:
    """The rotation (3, 3) from the camera to the calibration's world, the camera's place in meters, and warnings."""
    rotation, translation = calibration.rotation, calibration.translation
    assert rotation is not None and translation is not None
    warnings = []
    if unit is None:
        unit = 1e-3 if np.linalg.norm(translation) > MILLIMETERS_FROM else 1.0
        if unit != 1:
            warnings.append(
                f"the calibration of {calibration.name} is taken to be in millimeters: --calibration-unit tells another"
            )
    return rotation.T, -rotation.T @ translation * unit, warnings


def _check(
    result: LiftedTracks,
    pitch: float | None,
    up: str | Sequence[float] | None,
    focal: float | None,
    calibration: Calibration | None,
) -> None:
    if result.frame != "camera":
        where = f"{result.source}: " if result.source else ""
        raise InputError(f"{where}must be in the camera frame to be brought to the world, is in {result.frame!r}")
    check_pitch(pitch)
    if pitch is not None and up is not None:
        raise InputError(f"pitch {pitch:g} and up {up} tell the same: leave out one")
    if focal is not None and (calibration or result.calibration) is not None:
        raise InputError(f"focal {focal:g} and a calibration tell the same: leave out one")
    if focal is not None and not 0 < focal < np.inf:
        raise InputError(f"focal must be a positive number of pixels, got {focal:g}")
