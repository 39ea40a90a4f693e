"""`olift lift` with several files: finds the recordings, names their results, and lifts them one after the other."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from olift_fast.cli.checks import check_ending
from olift_fast.cli.console import one_line
from olift_fast.cli.lifting_job import LiftingJob, Outcome, check_options, computing_with, lift_file, load_model
from olift_fast.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from olift_fast.archive.sources import Entry


@dataclass(frozen=True)
class Several:
    """The recordings that the FILEs mean.

    Args:
        entries: files, and folders of frames.
        passed_over: the number of files that are results, or are not recordings by their endings.
    """

    entries: tuple[Entry, ...]
    passed_over: int


@dataclass(frozen=True)
class Recordings:
    """Recordings with the paths of their results.

    Args:
        files: the recordings, each with the path of its result.
        passed_over: as in `Several`.
    """

    files: tuple[tuple[Path, Path], ...]
    passed_over: int


def recordings_in(files: Sequence[Path]) -> Path | Several:
    """What the FILEs mean: the path of one recording, or all recordings in several files, a glob, or a folder.

    A folder whose files are the frames of one recording, as OpenPose writes them, is one recording. So is a folder with
    one JSON file and nothing else to lift, as MMPose writes for each video. Files with names of results or skeletons
    are passed over: ``rec/*`` includes them on a second run.

    Raises:
        InputError: a file is missing, or has no recording.
    """
    if len(files) == 1 and not (files[0].is_dir() or (glob.has_magic(str(files[0])) and not files[0].exists())):
        return files[0]
    from olift_fast.archive.sources import found_in, is_frame, is_made

    results = [path for path in files if path.is_file() and is_made(path.name)]
    given = [path for path in files if path not in results] or files
    found = [found_in(str(path)) for path in given]
    entries = [entry for one in found for entry in one.entries]
    if len(files) == len(entries) == 1 and files[0].is_dir():
        alone = Path(entries[0].path)
        if alone == files[0] or (alone.parent == files[0] and alone.name.lower().endswith(".json")):
            # A single frame is recognized by its folder.
            return files[0] if alone == files[0] or is_frame(alone) else alone
    return Several(tuple(entries), sum(one.passed_over for one in found) + len(files) - len(given))


def each_once(found: Path | Several) -> list[Path]:
    """The recordings' paths, each file once, even if symbolic links lead to it."""
    once: dict[str, Path] = {}
    for path in [found] if isinstance(found, Path) else [Path(entry.path) for entry in found.entries]:
        once.setdefault(os.path.realpath(path), path)
    return [*once.values()]


def with_results(several: Several, out: Path | None, suffix: str) -> Recordings:
    """The recordings, each once, and the paths of their results.

    Results are named ``NAME.lifted.npz``. In `out` they have the same subfolders as the recordings have in the folder
    that all of them share. Without `out` they are beside the recordings.

    Args:
        several: the recordings.
        out: a folder, which need not exist.
        suffix: the ending of the results, ``.npz``.

    Raises:
        InputError: `out`, or a folder above it, is a file, `suffix` is not an ending, two recordings would have the
            same result, or a result would replace a recording.
    """
    from olift_fast.archive.sources import RESULT, Entry, check_apart, told_apart

    check_ending(suffix)
    if out is not None and (out.is_file() or (out.suffix and not out.is_dir() and _is_result(out))):
        raise InputError(f"{out}: is the name of one result; for several recordings -o must name a folder")
    above = next((one for one in out.parents if one.exists()), None) if out is not None else None
    if above is not None and not above.is_dir():
        raise InputError(f"{out}: cannot be written: {above} is a file, wanted a folder")
    placed: dict[str, tuple[Path, Path]] = {}
    for entry in several.entries:
        placed.setdefault(os.path.abspath(entry.path), (Path(entry.path), _beside(entry)))
    root = Path(os.path.commonpath([os.path.abspath(place.parent) for _, place in placed.values()]))
    named = told_apart(
        [
            Entry(str(path), Path(os.path.relpath(os.path.abspath(place), root)).as_posix(), 0, "")
            for path, place in placed.values()
        ]
    )
    places = [(entry.path, str((root if out is None else out) / f"{entry.name}{RESULT}{suffix}")) for entry in named]
    inputs = {os.path.realpath(file) for file, _ in places}
    for file, result in places:
        if os.path.realpath(result) in inputs:
            raise InputError(f"{result}: is one of the files to lift, and would be the result of {file}")
    check_apart(places, place_of=os.path.realpath)
    return Recordings(tuple((Path(file), _as_given(Path(result), out)) for file, result in places), several.passed_over)


def lift_each(job: LiftingJob, recordings: Recordings, *, quiet: bool) -> Iterator[tuple[Path, Outcome | str]]:
    """Lifts one recording after the other; yields each with its outcome, or with one line on why it failed.

    Args:
        job: the options; its `file` and `out` are not used.
        recordings: the recordings and their results.
        quiet: show no bars.

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
    """The recording's path without its ending; for a folder of frames, the folder's path."""
    path = Path(entry.path)
    folder = Path(os.path.abspath(path)).parent if path.is_dir() else path.parent
    return folder / Path(entry.name).name


def _as_given(result: Path, out: Path | None) -> Path:
    """The result's path as a user would write it: relative to the current folder if it is inside."""
    if out is not None:
        return result
    here = Path.cwd()
    return result.relative_to(here) if result.is_relative_to(here) else result


def _is_result(path: Path) -> bool:
    from olift_fast.io.write import SUFFIXES

    return path.name.lower().endswith(tuple(SUFFIXES))
