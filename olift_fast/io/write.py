"""Lifted tracks to files: npz that holds everything, csv in two forms, and the extra's h5, netCDF and NWB."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.atomic import atomic_path, reserve
from olift_fast.io.movement_bridge import write_dataset
from olift_fast.io.npz import open_npz
from olift_fast.io.parsed import UNUSABLE
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

#: What `write_lifted` writes, by the ending of the file's name; the longest ending counts.
SUFFIXES = {".npz": "npz", ".long.csv": "long", ".csv": "csv", ".h5": "h5", ".nc": "netcdf", ".nwb": "nwb"}

_MARK = "olift_fast.lifted"
_VERSION = 1
_ARRAYS = ("joints", "keypoints", "confidence", "visible", "scale", "centers", "rotation")
_TEXTS = ("frame", "model", "version")


def write_lifted(result: LiftedTracks, path: str | Path, format: str | None = None) -> Path:
    """Writes a lifted result in one piece or not at all; returns the path.

    "npz" holds everything, exactly. "csv" is DeepLabCut's table with x, y, z; "long" has one row for each track, frame
    and joint. "h5" (DeepLabCut), "netcdf" (movement) and "nwb" (one track) need the extra `io`.

    Args:
        format: one of these; None goes by the ending: .npz, .csv, .long.csv, .h5, .nc, .nwb.

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
    try:
        with atomic_path(path) as temporary:
            if kind in _WRITERS:
                with temporary.open("wb") as file:
                    _WRITERS[kind](result, file)
            else:
                # The HDF5 libraries fail untidily on a full disk, so it is tried out before they start.
                with temporary.open("wb") as file:
                    reserve(file, result.joints.nbytes * 3 + 2**20)
                temporary.unlink()
                write_dataset(result, temporary, kind)
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(f"{path}: ") else f"{path}: {message}") from error
    except RuntimeError as error:
        # What HDF5 and its wrappers raise when the disk fails under them.
        raise InputError(f"{path}: cannot be written: {' '.join(str(error).split()):.200}") from error
    return path


def read_lifted(path: str | Path) -> LiftedTracks:
    """The result that `write_lifted` put into an npz, exactly.

    Raises:
        InputError: no such file, not a lifted result, or one of a newer version.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                raise InputError("not a lifted result: wanted an .npz that olift wrote")
        with open_npz(path, allow_pickle=False) as archive:
            content = {key: archive[key] for key in archive}
        if str(content.get("content")) != _MARK:
            raise InputError(f"not a lifted result: an .npz with {', '.join(sorted(content)) or 'nothing in it'}")
        if int(content["content_version"]) > _VERSION:
            raise InputError(f"written by a newer olift-fast: version {content['content_version']}, known: {_VERSION}")
        return _from_arrays(content)
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(f"{path}: ") else f"{path}: {message}") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UNUSABLE as error:
        raise InputError(f"{path}: not a usable lifted result: {' '.join(str(error).split())}") from error


def part_path(path: Path, number: int) -> Path:
    """Where the parts of a result go: of "out.long.csv" the first there, the second to "out.2.long.csv"."""
    if number == 1:
        return path
    stem = len(path.name) - len(_suffix(path))
    return path.with_name(f"{path.name[:stem]}.{number}{path.name[stem:]}")


def kind_of(path: Path) -> str:
    """The format that a name's ending tells; raises InputError where it tells none."""
    return SUFFIXES[_suffix(path)]


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


def _write_npz(result: LiftedTracks, file: IO[bytes]) -> None:
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
        "skeleton_name": result.skeleton.name,
        "fps": result.fps,
        "frames": result.frames,
        "image_size": result.image_size,
        "source": result.source,
        "format": result.format,
    }
    arrays |= {name: value for name, value in optional.items() if value is not None}
    np.savez_compressed(file, **arrays)


def _from_arrays(content: dict[str, npt.NDArray[Any]]) -> LiftedTracks:
    skeleton = Skeleton(
        tuple(content["names"].tolist()),
        tuple((int(a), int(b)) for a, b in content["edges"]),
        tuple(int(side) for side in content["sides"]),
        str(content["skeleton_name"]) if "skeleton_name" in content else None,
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
        source=str(content["source"]) if "source" in content else None,
        format=str(content["format"]) if "format" in content else None,
    )


def _write_csv(result: LiftedTracks, file: IO[bytes]) -> None:
    names = result.skeleton.names
    count = len(names) * 3
    rows = [["scorer", *[f"olift-fast {result.model} {result.version}"] * (count * result.num_tracks)]]
    if result.num_tracks > 1:
        rows.append(["individuals", *(track for track in result.tracks for _ in range(count))])
    rows.append(["bodyparts", *(name for _ in result.tracks for name in names for _ in range(3))])
    rows.append(["coords", *["x", "y", "z"] * (len(names) * result.num_tracks)])
    with _text(file) as text:
        text.writelines(",".join(map(_quoted, row)) + "\n" for row in rows)
        values = result.joints.transpose(1, 0, 2, 3).reshape(result.num_frames, -1)
        text.writelines(_lines(_frame_numbers(result), values))


def _lines(frames: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> Iterator[str]:
    # Nine digits bring a float32 back exactly.
    template = "%d" + ",%.9g" * values.shape[1] + "\n"
    holes: list[bool] = np.any(np.isnan(values), axis=1).tolist()
    for index, frame in enumerate(frames.tolist()):
        line = template % (frame, *values[index].tolist())
        yield line.replace("nan", "") if holes[index] else line


def _write_long(result: LiftedTracks, file: IO[bytes]) -> None:
    frames = _frame_numbers(result)
    names = [_quoted(name) for name in result.skeleton.names]
    with _text(file) as text:
        text.write("track,frame,time,joint,x,y,z,confidence,visible\n")
        for track, label in enumerate(result.tracks):
            head = _quoted(label)
            for index, frame in enumerate(frames.tolist()):
                time = "" if result.fps is None else f"{frame / result.fps:.9g}"
                joints, confidence = result.joints[track, index].tolist(), result.confidence[track, index].tolist()
                visible = result.visible[track, index].tolist()
                text.writelines(
                    f"{head},{frame},{time},{name},{_cells(xyz)},{score:.9g},{int(seen)}\n"
                    for name, xyz, score, seen in zip(names, joints, confidence, visible, strict=True)
                )


def _cells(xyz: list[float]) -> str:
    return ",".join("" if value != value else f"{value:.9g}" for value in xyz)


def _frame_numbers(result: LiftedTracks) -> npt.NDArray[np.int64]:
    return np.arange(result.num_frames, dtype=np.int64) if result.frames is None else result.frames


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(character in cell for character in ',"\n\r') else cell


def _text(file: IO[bytes]) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding="utf-8", newline="")


_WRITERS: dict[str, Callable[[LiftedTracks, IO[bytes]], None]] = {
    "npz": _write_npz,
    "csv": _write_csv,
    "long": _write_long,
}
