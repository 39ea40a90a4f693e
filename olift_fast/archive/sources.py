"""Finds the recordings of a SOURCE: a folder, a glob, a list, a file, or a URL."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from olift_fast.archive.stores import Remote, is_url
from olift_fast.errors import InputError

ENDINGS = (
    *(".csv", ".tsv", ".h5", ".hdf5", ".json", ".jsonl", ".npy", ".npz", ".mat", ".slp", ".nwb", ".nc"),
    *(".parquet", ".pqt", ".csv.gz", ".json.gz"),
)
"""Endings of the files that are taken from folders; the reader then goes by their content."""
_MADE = re.compile(r".*\.lifted\..*|(.*\.)?skeleton\.json|.*\.world\.npz|body\.json|(lifted|truth)\.npz", re.DOTALL)
"""Names of what commands write beside recordings."""
RESULT = ".lifted"
"""The part of results' names before their ending. Files of folders with it are results of `olift lift`, not input."""
_FRAME = re.compile(
    r"(?P<name>.*?)(?P<number>\d+)((_keypoints)?\.json(\.gz)?|\.\w+\.predictions\.json|\.txt)", re.IGNORECASE
)
_OF_FRAME = ('"people"', '"shapes"', 'landmarks"')
# A line of Ultralytics for an animal: class, box and at least one keypoint.
_LABEL = re.compile(r"\d+(\s+-?[\d.e+-]+){7,}")
_HEAD = 2**16
_LOOKED_AT = 20
"""The most frames that are looked at, because a frame without animals shows nothing about the format."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording of an archive.

    Args:
        path: the file, the folder of frames, or the URL to read.
        name: the result's path in DEST, without an ending: "cage 1/mouse".
        bytes: its size.
        modified: changes with its content: the time of the last change, or the object store's mark.
        changes: settings that differ from those of the archive.
    """

    path: str
    name: str
    bytes: int
    modified: str
    changes: dict[str, Any] = field(default_factory=dict)


class Found(NamedTuple):
    """The content of a SOURCE.

    Args:
        entries: its recordings, sorted by path.
        passed_over: the number of files that are not recordings by their endings.
        root: the folder that all of them are in, if there is one.
        deep: whether subfolders are included.
    """

    entries: list[Entry]
    passed_over: int
    root: Path | None
    deep: bool


def local_of(source: str) -> str:
    """The path that a ``file://`` URL stands for; anything else as it is.

    Raises:
        InputError: a URL of another machine's file.
    """
    if not source.lower().startswith("file:"):
        return source
    parts = urlsplit(source)
    if parts.netloc not in ("", "localhost"):
        raise InputError(f"{source}: is a file of another machine ({parts.netloc}), wanted file:///FOLDER")
    return url2pathname(unquote(parts.path)) if os.name == "nt" else unquote(parts.path)


def found_in(source: str) -> Found:
    """The recordings of a folder (with all its subfolders), of a glob, of a URL, or one file.

    A folder whose files are the frames of one recording, as OpenPose writes them, is one recording, even if it is the
    source itself. Folders behind symbolic links are included once. Hidden files and folders are left out. If files
    differ only in their endings, their results have the endings in their names.

    Raises:
        InputError: there is no such file, or it has nothing to lift.
        MissingExtraError: a URL needs the extra `archive`.
    """
    source = local_of(source)
    if is_url(source):
        return _of_url(source)
    path = Path(source)
    if path.is_dir():
        passed: list[str] = []
        entries = list(_of_folder(path, path, passed, set()))
        return _some(source, Found(entries, len(passed), path, deep=True))
    if path.exists():
        return Found([entry_of(path, path.parent)], 0, None, deep=False)
    if glob.has_magic(source):
        return _of_glob(source)
    raise InputError(f"{source}: no such file or folder")


def entry_of(path: Path, root: Path, name: str | None = None, changes: dict[str, Any] | None = None) -> Entry:
    """The entry of a file or of a folder of frames. A missing one has size 0, and gets a row in the manifest.

    Args:
        path: of the file.
        root: where the structure of folders begins that the results keep.
        name: of the result; by default the path below `root` without its ending.
        changes: settings that differ from those of the archive.
    """
    if name is None:
        name = (path.relative_to(root).parent / stem_of(path.name, folder=path.is_dir())).as_posix()
    size, modified = 0, "missing"
    try:
        if path.is_dir():
            files = [one.stat() for one in os.scandir(path) if one.is_file() and not one.name.startswith(".")]
            size, newest = sum(one.st_size for one in files), max((one.st_mtime_ns for one in files), default=0)
            modified = f"{newest}/{len(files)}"
        else:
            told = path.stat()
            size, modified = told.st_size, str(told.st_mtime_ns)
    except OSError:
        pass
    return Entry(sys.intern(str(path)), name, size, modified, changes or {})


def stem_of(name: str, *, folder: bool = False) -> str:
    """A file's name without its ending, of which ".csv.gz" is one; a folder's name as it is."""
    if folder:
        return name
    if name.lower().endswith(".gz"):
        name = name[:-3]
    return PurePosixPath(name).stem


def is_taken(name: str) -> bool:
    """Whether a folder's file of this name is a recording by its ending, and no command wrote it beside one."""
    return name.lower().endswith(ENDINGS) and not is_made(name)


def is_made(name: str) -> bool:
    """Whether a file of this name is a result, a skeleton or a body, as commands name them."""
    return _MADE.fullmatch(name.lower()) is not None


def _of_folder(folder: Path, root: Path, passed: list[str], seen: set[tuple[int, int]]) -> Iterator[Entry]:
    told = folder.stat()
    if (told.st_dev, told.st_ino) in seen:
        return
    seen.add((told.st_dev, told.st_ino))
    try:
        with os.scandir(folder) as scan:
            inner = sorted((one for one in scan if not one.name.startswith(".")), key=lambda one: one.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error
    files = [one.name for one in inner if one.is_file()]
    if _are_frames(folder, files):
        yield entry_of(folder, root, folder.resolve().name if folder == root else None)
        return
    for one in inner:
        if one.is_dir():
            yield from _of_folder(folder / one.name, root, passed, seen)
        elif is_taken(one.name):
            yield entry_of(folder / one.name, root)
        else:
            passed.append("")


def _are_frames(folder: Path, names: list[str]) -> bool:
    """Whether a folder's files are frames of one recording: numbered after one name, with the poses of a picture each.

    They are the folder's JSON files, or its text files, where there is nothing else to lift.
    """
    frames = [name for name in names if name.lower().endswith((".json", ".json.gz")) and not is_made(name)]
    if not any(map(is_taken, names)):
        # Ultralytics puts a list of classes beside its frames.
        frames = [name for name in names if name.lower().endswith(".txt") and _FRAME.fullmatch(name)]
    found = [_FRAME.fullmatch(name) for name in frames]
    if len(found) < 2 or None in found or len({match["name"] for match in found if match}) != 1:
        return False
    for name in frames[:_LOOKED_AT]:
        told = is_frame(folder / name)
        if told is not None:
            return told
    return False


def is_frame(file: Path) -> bool | None:
    """Whether a JSON or text file begins as one with the poses of one picture; None for one without any pose."""
    name = file.name.lower()
    if name.endswith(".gz"):
        return True
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD).decode("utf-8", "replace").strip()
    except OSError:
        return False
    if head in ("", "[]", "{}"):
        return None
    if name.endswith(".txt"):
        return _LABEL.fullmatch(head.splitlines()[0]) is not None
    if name.endswith(".predictions.json"):
        return True
    if '"keypoint_scores"' in head:
        # MMPose's and Sapiens' list of a picture's animals; whole recordings are lists of frames.
        return re.match(r"\[\s*\{|\{", head) is not None and not re.search('"(instances|predictions)"', head)
    return head.startswith("{") and any(word in head for word in _OF_FRAME)


def _of_glob(pattern: str) -> Found:
    parts = Path(pattern).parts
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    paths = sorted(Path(path) for path in glob.glob(pattern, recursive=True))
    files = [path for path in paths if path.is_file() or is_recording(path)]
    kept = [path for path in files if RESULT + "." not in path.name.lower()]
    entries = [entry_of(path, root) for path in kept]
    return _some(pattern, Found(entries, len(paths) - len(kept), root, deep="**" in parts))


def is_recording(folder: Path) -> bool:
    """Whether a folder's files are the frames of one recording, as OpenPose writes them."""
    return _are_frames(folder, [one.name for one in folder.iterdir() if not one.name.startswith(".")])


def _of_url(url: str) -> Found:
    remote, path = Remote.of(url)
    found, passed = [], 0
    magic = glob.has_magic(path)
    root = path
    if magic:
        root = path[: re.search(r"[*?\[]", path).start()].rpartition("/")[0]  # type: ignore[union-attr]
    for one in remote.found(path):
        below = one.path[len(root.rstrip("/")) :].lstrip("/") or one.path.rpartition("/")[2]
        name = below.rpartition("/")[2]
        if name.startswith(".") or not (magic or is_taken(name) or one.path == path):
            passed += 1
            continue
        inner = below.rpartition("/")[0]
        result = f"{inner}/{stem_of(name)}" if inner else stem_of(name)
        found.append(Entry(sys.intern(remote.url_of(one.path)), result, one.bytes, one.modified))
    return _some(url, Found(found, passed, None, deep=False))


def _some(source: str, found: Found) -> Found:
    if not found.entries:
        over = f" ({found.passed_over:,} other files)" if found.passed_over else ""
        raise InputError(f"{source}: no recordings in it{over}, wanted files that end in {', '.join(ENDINGS)}")
    return found._replace(entries=told_apart(found.entries))


def told_apart(entries: list[Entry]) -> list[Entry]:
    """Files that differ in their endings alone keep them in the names of their results: "mouse.csv", "mouse.h5"."""
    count = Counter(entry.name for entry in entries)
    return [replace(entry, name=entry.name + _ending(entry)) if count[entry.name] > 1 else entry for entry in entries]


def _ending(entry: Entry) -> str:
    name = entry.path.rstrip("/").replace("\\", "/").rpartition("/")[2]
    return name[len(entry.name.rpartition("/")[2]) :]


def check_apart(results: Iterable[tuple[str, str]], *, place_of: Callable[[str], str] = str, way_out: str = "") -> None:
    """Raises InputError where two recordings would have one result, also on file systems that know no case.

    Args:
        results: the path of each recording, and that of its result.
        place_of: the same for all paths of one file.
        way_out: what the error says besides.
    """
    taken: dict[str, str] = {}
    for path, result in results:
        other = taken.setdefault(place_of(result).casefold(), path)
        if other != path:
            raise InputError(f"{other} and {path} would both be lifted to {result}{way_out}")
