"""One function for every file of 3D tracks: the ending of the file's name tells the format."""

from __future__ import annotations

from pathlib import Path

from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError
from olift_fast.io.writers import OUTPUT_FORMATS
from olift_fast.tracks.containers import LiftedTracks

#: What `write_lifted` writes, by the ending of the file's name; the longest ending that fits counts.
SUFFIXES = {known.suffix: known.name for known in OUTPUT_FORMATS}


def write_lifted(result: LiftedTracks, path: str | Path, format: str | None = None) -> Path:
    """Writes a lifted result in one piece or not at all; returns the path.

    "npz" holds everything, exactly. "csv" is DeepLabCut's table with x, y, z; "long" has one row for each track, frame
    and joint. "h5" is DeepLabCut's table as pandas keeps it. "netcdf" (movement) and "nwb" (one track) need the extra
    `io`. "npz", "long" and "netcdf" hold `LiftedTracks.uncertainty`; the other formats have no place for it.

    Args:
        format: one of these names; None goes by the ending: .npz, .csv, .long.csv, .h5, .nc, .nwb.

    Raises:
        InputError: an unknown ending, a path that cannot be written, or the input file itself.
        MissingExtraError: the extra `io` is not installed.
    """
    path = Path(path)
    kind = format or kind_of(path)
    if kind not in SUFFIXES.values():
        raise InputError(f"{path}: unknown format {kind!r}; known: {', '.join(SUFFIXES.values())}")
    if result.source is not None and _same_file(path, Path(result.source)):
        raise InputError(f"{path}: is the input file; choose another name for the result")
    write = next(known.write for known in OUTPUT_FORMATS if known.name == kind)
    try:
        with atomic_path(path) as temporary:
            write(result, temporary)
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(f"{path}: ") else f"{path}: {message}") from error
    except RuntimeError as error:
        # HDF5 and its wrappers raise this when writing to the disk fails.
        raise InputError(f"{path}: cannot be written: {' '.join(str(error).split()):.200}") from error
    return path


def part_path(path: Path, number: int) -> Path:
    """The path of one part of a result: the first part of "out.long.csv" is that file, the second "out.2.long.csv"."""
    if number == 1:
        return path
    stem = len(path.name) - len(_suffix(path))
    return path.with_name(f"{path.name[:stem]}.{number}{path.name[stem:]}")


def kind_of(path: Path) -> str:
    """The output format that the ending of a file's name stands for; raises InputError for any other ending."""
    return SUFFIXES[_suffix(path)]


def extra_of(path: Path) -> str | None:
    """The extra that writing a file of this name needs, if any; raises InputError for an unknown ending."""
    kind = kind_of(path)
    return next(known.extra for known in OUTPUT_FORMATS if known.name == kind)


def _suffix(path: Path) -> str:
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return suffix
    raise InputError(f"{path}: the name must end in {', '.join(SUFFIXES)} to tell the format, got {path.suffix!r}")


def _same_file(path: Path, source: Path) -> bool:
    try:
        return path.resolve() == source.resolve() or (path.exists() and source.exists() and path.samefile(source))
    except OSError:
        return False
