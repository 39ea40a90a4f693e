"""`olift lift` of several files: which recordings, where the results go, one after the other."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from olift_fast.cli.console import one_line
from olift_fast.cli.lifting_job import LiftingJob, Outcome, check_options, computing_with, lift_file, load_model
from olift_fast.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from olift_fast.archive.sources import Entry


@dataclass(frozen=True)
class Recordings:
    """What several FILEs stand for.

    Args:
        files: the recordings, each with the path of its result.
        passed_over: how many files of the folders are no recordings by their endings.
    """

    files: tuple[tuple[Path, Path], ...]
    passed_over: int


def are_many(files: Sequence[Path]) -> bool:
    """Whether these are more than one recording: several files, a glob, or a folder that is none by itself.

    A folder whose files are the frames of one recording, as OpenPose writes them, is one recording.
    """
    if len(files) != 1:
        return True
    path = files[0]
    if not path.exists():
        return glob.has_magic(str(path))
    if not path.is_dir():
        return False
    from olift_fast.archive.sources import found_in, is_recording

    if is_recording(path):
        return False
    found = found_in(str(path)).entries
    return len(found) > 1 or Path(found[0].path).parent != path or not found[0].path.lower().endswith(".json")


def recordings_of(files: Sequence[Path], out: Path | None, suffix: str) -> Recordings:
    """The recordings that the files, folders and globs hold, each once, and where their results go.

    Results are named ``NAME.lifted.npz``. Below `out` they lie as the recordings lie below the folder that all of them
    share; without `out`, beside the recordings.

    Args:
        files: files, folders, and globs.
        out: a folder, which need not be there.
        suffix: the ending of the results, ``.npz``.

    A file that is named as results are, as ``rec/*`` of a shell does on a second run, is passed over.

    Raises:
        InputError: one of them is not there or holds no recording, `out` is a file, `suffix` is no ending, two
            recordings would have one result, or a result would take the place of a recording.
    """
    from olift_fast.archive.sources import RESULT, Entry, found_in, told_apart

    if not suffix.startswith(".") or "/" in suffix or os.sep in suffix:
        raise InputError(f"--format-out must be an ending, as .csv, got {suffix!r}")
    if out is not None and (out.is_file() or (out.suffix and not out.is_dir() and _is_result(out))):
        raise InputError(f"{out}: is the name of one result; for several recordings -o must name a folder")
    placed: dict[Path, Path] = {}
    seen: set[str] = set()
    results = [path for path in files if path.is_file() and f"{RESULT}." in path.name.lower()]
    given = [path for path in files if path not in results] or files
    passed_over = len(files) - len(given)
    for path in given:
        found = found_in(str(path))
        passed_over += found.passed_over
        for entry in found.entries:
            if (place := os.path.abspath(entry.path)) not in seen:
                seen.add(place)
                placed[Path(entry.path)] = _beside(entry)
    root = Path(os.path.commonpath([os.path.abspath(place.parent) for place in placed.values()]))
    named = told_apart(
        [
            Entry(str(path), Path(os.path.relpath(os.path.abspath(place), root)).as_posix(), 0, "")
            for path, place in placed.items()
        ]
    )
    places = [((root if out is None else out) / f"{entry.name}{RESULT}{suffix}", entry.path) for entry in named]
    _check_places(places)
    return Recordings(tuple((Path(file), _as_given(result, out)) for result, file in places), passed_over)


def _check_places(places: Sequence[tuple[Path, str]]) -> None:
    """Raises InputError where a result would take the place of a recording, or of another's result."""
    inputs = {os.path.realpath(file) for _, file in places}
    taken: dict[str, str] = {}
    for result, file in places:
        place = os.path.realpath(result)
        if place in inputs:
            raise InputError(f"{result}: is one of the files to lift, and would be the result of {file}")
        other = taken.setdefault(place.casefold(), file)  # some file systems know no case
        if other != file:
            raise InputError(f"{other} and {file} would both be lifted to {result}")


def lift_each(job: LiftingJob, recordings: Recordings, *, quiet: bool) -> Iterator[tuple[Path, Outcome | str]]:
    """Lifts one recording after the other; the outcome of each, or why it failed, in one line.

    Args:
        job: how they are lifted; its `file` and `out` are not used.
        recordings: what is lifted, and where to.
        quiet: no bars.

    Raises:
        InputError: an option or the model is unusable.
        MissingExtraError: an option or the results' format needs an extra that is not installed.
    """
    from olift_fast.io.write import require_writer

    check_options(job)
    for _, out in recordings.files[:1]:
        require_writer(out)
    with computing_with(job.backend):
        from olift_fast.model.checkpoints import pinned

        job = replace(job, model=pinned(job.model))
        lifter = load_model(job.model, job.device, job.dtype)
    for file, out in recordings.files:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            yield file, lift_file(replace(job, file=file, out=out), quiet=quiet, lifter=lifter)
        except (InputError, MissingExtraError, OSError) as error:
            message = one_line(error)
            yield file, message if message.startswith(f"{file}: ") else f"{file}: {message}"


def _beside(entry: Entry) -> Path:
    """The recording's path without its ending; of a folder of frames, the folder's."""
    path = Path(entry.path)
    folder = Path(os.path.abspath(path)).parent if path.is_dir() else path.parent
    return folder / Path(entry.name).name


def _as_given(result: Path, out: Path | None) -> Path:
    """The result's path as a user would write it: relative to here, where it is below."""
    if out is not None:
        return result
    here = Path.cwd()
    return result.relative_to(here) if result.is_relative_to(here) else result


def _is_result(path: Path) -> bool:
    from olift_fast.io.write import SUFFIXES

    return path.name.lower().endswith(tuple(SUFFIXES))
