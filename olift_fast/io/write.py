"""Writes 3D tracks in any format; the ending of the file's name chooses it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError, MissingExtraError, named
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers import OUTPUT_FORMATS
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

#: The formats of `write_lifted` by the ending of the file's name; the longest ending that fits counts.
SUFFIXES = {known.suffix: known.name for known in OUTPUT_FORMATS}


def write_lifted(result: LiftedTracks, path: str | Path, format: str | None = None) -> Path:
    """Write a lifted result to a file, in full or not at all; returns the path.

    "npz" keeps everything exactly, and `read_lifted` reads it. The others are for other programs: tables ("csv",
    "long", "parquet"), pose tools ("h5", "netcdf", "nwb", "slp", "points3d", "anipose", "dannce"), motion capture
    ("trc", "c3d") and animation ("bvh", "glb", "gltf"). docs/formats.md lists what each keeps, and its axes.

    Args:
        result: the result.
        path: the file.
        format: one of these names; by default the ending of the path chooses it: .npz, .csv, .long.csv, .parquet, .h5,
            .nc, .nwb, .slp, .points3d.h5, .anipose.csv, .mat, .trc, .c3d, .bvh, .glb, .gltf.

    Raises:
        InputError: the ending is unknown, the path can't be written or is the input file itself, or the format needs
            what the result lacks: a single track, a frame rate, bones.
        MissingExtraError: the format needs the extra `io`, which is not installed.
    """
    path = Path(path)
    known = _known(path, format)
    if result.source is not None and _same_file(path, Path(result.source)):
        raise InputError(f"{path}: is the input file; choose another name for the result")
    _check(path, known, result)
    try:
        with atomic_path(path) as temporary:
            known.write(result, temporary)
    except InputError as error:
        raise InputError(named(path, error)) from error
    except RuntimeError as error:
        # HDF5 and its wrappers raise this when writing to the disk fails.
        raise InputError(f"{path}: cannot be written: {' '.join(str(error).split()):.200}") from error
    return path


def check_can_hold(path: Path, tracks: KeypointTracks | LiftedTracks, *, more_to_come: bool = False) -> None:
    """Raises InputError if the file's format needs something that the tracks lack. The message says what to do.

    Args:
        path: the file to write.
        tracks: keypoints or a result.
        more_to_come: whether there may be further tracks, as in a live stream.
    """
    known = _known(path)
    if more_to_come and "one track" in known.wants:
        raise InputError(
            f"{path}: {known.title} holds one track a file, and a live stream may have several: record an .npz, and "
            "`olift convert --each-track` makes a file of each track"
        )
    _check(path, known, tracks)


def _check(path: Path, known: OutputFormat, tracks: KeypointTracks | LiftedTracks) -> None:
    title, wants = known.title, known.wants
    if "one track" in wants and tracks.num_tracks != 1:
        names = ", ".join(map(repr, tracks.tracks))
        raise InputError(
            f"{path}: {title} holds one track a file, got {tracks.num_tracks} ({names:.100}): write an .npz, from "
            "which `olift convert --track` takes one track, and `olift convert --each-track` makes a file of each"
        )
    if "fps" in wants and tracks.fps is None:
        raise InputError(
            f"{path}: {title} needs the frames a second, which are not known: give them with --fps "
            "of `olift lift` or `olift convert`"
        )
    if "fps" in wants and not tracks.num_frames:
        raise InputError(f"{path}: {title} needs at least one frame, got none")
    if "bones" in wants and not tracks.skeleton.edges:
        raise InputError(f"{path}: {title} needs the bones between the joints, got none: lift with --skeleton")
    if known.check is not None:
        try:
            known.check(tracks)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def part_path(path: Path, number: int) -> Path:
    """The path of one part of a result: of "out.long.csv", the first part has this name, the second is
    "out.2.long.csv"."""
    if number == 1:
        return path
    stem = len(path.name) - len(_suffix(path))
    return path.with_name(f"{path.name[:stem]}.{number}{path.name[stem:]}")


def kind_of(path: Path) -> str:
    """The output format by the ending of a file's name; raises InputError for an unknown ending."""
    return SUFFIXES[_suffix(path)]


def require_writer(path: Path) -> None:
    """Raises MissingExtraError if the library for this ending is missing, InputError if the ending is unknown."""
    known = _known(path)
    if known.extra is not None and known.module is not None and importlib.util.find_spec(known.module) is None:
        raise MissingExtraError(what=f"writing {_suffix(path)} files", extra=known.extra)


def leaves_out(path: Path) -> str:
    """What a file of this name leaves out of a result, in words; raises InputError for an unknown ending."""
    return _known(path).drops


def stem_of(path: Path) -> str:
    """The name without its ending: "out" of "out.long.csv". If the ending is unknown: without its last suffix."""
    known = _ending(path)
    return path.name[: -len(known)] if known else path.stem


def _known(path: Path, name: str | None = None) -> OutputFormat:
    kind = name or kind_of(path)
    found = next((known for known in OUTPUT_FORMATS if known.name == kind), None)
    if found is None:
        raise InputError(f"{path}: unknown format {kind!r}; known: {', '.join(SUFFIXES.values())}")
    return found


def _suffix(path: Path) -> str:
    suffix = _ending(path)
    if suffix is None:
        raise InputError(f"{path}: the name must end in {', '.join(SUFFIXES)} to tell the format, got {path.suffix!r}")
    return suffix


def _ending(path: Path) -> str | None:
    """The longest known ending that a name has."""
    return next((known for known in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(known)), None)


def _same_file(path: Path, source: Path) -> bool:
    try:
        return path.resolve() == source.resolve() or (path.exists() and source.exists() and path.samefile(source))
    except OSError:
        return False
