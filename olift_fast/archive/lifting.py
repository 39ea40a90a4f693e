"""Lifts files of an archive with a model that is loaded once. If a file can't be lifted, its record tells why."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from olift_fast.archive.destination import Destination
from olift_fast.archive.hashes import hash_of, hash_of_json
from olift_fast.archive.long_files import lift_on_disk
from olift_fast.archive.plan import Facts, Job, wanted_of
from olift_fast.archive.quality import quality_of
from olift_fast.archive.records import Record
from olift_fast.archive.settings import LiftSettings, stamp_of, with_changes
from olift_fast.archive.stores import is_url, remote_of
from olift_fast.atomic import writing
from olift_fast.bodies import Body, read_body
from olift_fast.errors import InputError, MissingExtraError
from olift_fast.finishing import Finishing
from olift_fast.io.liftable import read_liftable
from olift_fast.io.read import read_skeleton
from olift_fast.io.write import check_can_hold, write_lifted
from olift_fast.model import AnyLifter, lift_recordings, load
from olift_fast.model.inference import TOGETHER
from olift_fast.odd_files import check_file
from olift_fast.stages import Stages
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.without_bones import bones_reported

PACKED = 256
"""Recordings of fewer frames are lifted together."""
LONG = 100_000
"""Recordings of more frames are lifted from disk to disk."""
WORK = "work"
"""The folder below DEST with the finished chunks of long recordings."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a process must know to lift files.

    Args:
        settings: how to lift.
        facts: the model and the program.
        place: DEST, a path or a URL.
        long: recordings of more frames than this are lifted from disk to disk.
    """

    settings: LiftSettings
    facts: Facts
    place: str
    long: int = LONG


@dataclass(eq=False)
class _Read:
    """A file that was read, with its record so far."""

    job: Job
    settings: LiftSettings
    finishing: Finishing
    tracks: KeypointTracks
    record: Record
    pitch: float | None

    @property
    def alike(self) -> tuple[Any, ...]:
        """Only files for which these are the same are lifted together."""
        return tuple(_options(self).values())


class Lifting:
    """Lifts files and writes their results. A process has one `Lifting`.

    Args:
        setup: how to lift, and where the results go.

    Raises:
        InputError: the model can't be loaded, or can't run on the device.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._destination = Destination(setup.place)
        self._model = loaded_model(setup.settings)

    def lift(self, jobs: Sequence[Job]) -> Iterator[Record]:
        """Yields the record of each job as soon as its result is written, in any order.

        Files of fewer than `PACKED` frames are lifted together. If a file can't be lifted, the others still are.
        """
        waiting: list[_Read] = []
        frames = 0
        for job in jobs:
            read = self._read(job)
            if not isinstance(read, _Read):
                yield read
            elif read.tracks.num_frames >= PACKED:
                yield self._lifted_alone(read)
            else:
                waiting.append(read)
                frames += read.tracks.num_tracks * read.tracks.num_frames
                if frames > TOGETHER:
                    yield from self._lifted_together(waiting)
                    waiting, frames = [], 0
        yield from self._lifted_together(waiting)

    def _read(self, job: Job) -> _Read | Record:
        settings = with_changes(self._setup.settings, job.entry.changes)
        stages = Stages()
        record = started(job, self._setup)
        try:
            with ExitStack() as stack:
                with stages.measure("fetch"):
                    path = self._local(job, stack)
                with stages.measure("read"):
                    record["input_sha256"] = hash_of(path)
                    finishing = _finishing(settings)
                    tracks = finishing.prepared(_tracks_of(path, job.entry.path, settings))
                    _check_can_hold(job.output, tracks)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file, the others are lifted
            return failed(record | stages.rounded("seconds_"), error)
        record |= stages.rounded("seconds_") | _known_of(tracks, settings)
        pitch = finishing.pitch_for_model(self._model.config.pitch)
        return _Read(job, settings, finishing, tracks, record, pitch)

    def _local(self, job: Job, stack: ExitStack) -> Path:
        """The file on this machine; a remote one is fetched whole, and removed once it is read."""
        if not is_url(job.entry.path):
            local = Path(job.entry.path)
            if not local.is_dir():
                check_file(local)
            return local
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="olift-archive-")))
        remote, path = remote_of(job.entry.path)
        local = folder / (path.rstrip("/").rpartition("/")[2] or "file")
        remote.fetch(path, local)
        return local

    def _lifted_together(self, reads: Sequence[_Read]) -> Iterator[Record]:
        groups: dict[tuple[Any, ...], list[_Read]] = {}
        for read in reads:
            groups.setdefault(read.alike, []).append(read)
        for group in groups.values():
            try:
                start = time.perf_counter()
                with bones_reported():  # by the manifest
                    results = lift_recordings(self._model, [read.tracks for read in group], **_options(group[0]))
                seconds = time.perf_counter() - start
            except Exception:  # noqa: BLE001 - lifted one by one, only the file that is to blame fails
                yield from map(self._lifted_alone, group)
                continue
            frames = sum(read.tracks.num_frames for read in group)
            for read, result in zip(group, results, strict=True):
                read.record["seconds_lift"] = round(seconds * read.tracks.num_frames / frames, 4)
                yield self._written(read, result)

    def _lifted_alone(self, read: _Read) -> Record:
        stages = Stages()
        try:
            with ExitStack() as stack:
                with stages.measure("lift"):
                    if self._is_long(read):
                        options = _options(read)
                        result = stack.enter_context(
                            lift_on_disk(self._model, read.tracks, self._work(read), **options)
                        )
                    else:
                        with bones_reported():
                            result = lift_recordings(self._model, [read.tracks], **_options(read))[0]
                read.record |= stages.rounded("seconds_")
                return self._written(read, result)
        except Exception as error:  # noqa: BLE001 - as in `_read`
            return failed(read.record | stages.rounded("seconds_"), error)

    def _is_long(self, read: _Read) -> bool:
        long = read.tracks.num_frames > self._setup.long
        whole = read.settings.mirror or read.finishing.changes_joints or self._model.config.counts_frames
        return long and not whole

    def _work(self, read: _Read) -> Path | None:
        """The folder from which a long recording goes on after a kill; its name follows from input, model, settings."""
        if self._destination.folder is None:
            return None
        own = {key: read.record[key] for key in ("input_sha256", "model_sha256", "version", "settings", "output")}
        return self._destination.folder / WORK / hash_of_json(own)[:16]

    def _written(self, read: _Read, lifted: LiftedTracks) -> Record:
        stages, record, output = Stages(), read.record, read.job.output
        try:
            absent = read.tracks.absent()
            # Quality is measured on the model's joints: smoothing and rigid bones hide faults.
            tracks = [_track_record(lifted, index, absent[index]) for index in range(lifted.num_tracks)]
            start = time.perf_counter()
            result = read.finishing.finished(lifted, Stages())
            record["seconds_lift"] = round(record["seconds_lift"] + time.perf_counter() - start, 4)
            with stages.measure("write"):
                record |= self._kept(result, output)
        except Exception as error:  # noqa: BLE001 - as in `_read`
            return failed(record | stages.rounded("seconds_"), error)
        own = {"tracks": tracks, "warnings": _joined(result.warnings)}
        return finished(record | stages.rounded("seconds_"), "done") | own

    def _kept(self, result: LiftedTracks, output: str) -> Record:
        """Writes a result, and returns its size and hash for the record."""
        if self._destination.folder is not None:
            path = self._destination.folder / output
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_lifted(result, path)
            return {"output_bytes": path.stat().st_size, "output_sha256": hash_of(path)}
        with tempfile.TemporaryDirectory(prefix="olift-archive-") as folder:
            path = Path(folder) / output.rpartition("/")[2]
            write_lifted(result, path)
            self._destination.keep(path, output)
            return {"output_bytes": path.stat().st_size, "output_sha256": hash_of(path)}


def loaded_model(settings: LiftSettings) -> AnyLifter:
    """The lifter on the settings' device, in their precision; raises InputError if it can't run there."""
    return load(settings.model, device=settings.device, dtype=settings.dtype)


def started(job: Job, setup: Setup) -> Record:
    """The record of a job at its beginning."""
    wanted = wanted_of(job.entry, job.output, setup.settings, setup.facts)
    entry = {"input_bytes": job.entry.bytes, "input_modified": job.entry.modified, "why": job.why}
    return wanted | entry | {"host": platform.node()}


def finished(record: Record, status: str) -> Record:
    """The record with its status, and the time."""
    return record | {"status": status, "finished": datetime.now(UTC).isoformat(timespec="milliseconds")}


def failed(record: Record, error: BaseException | str) -> Record:
    """The record of a file that could not be lifted, with the cause in one line, without the file's name."""
    if isinstance(error, str):
        told = error
    elif isinstance(error, MemoryError):
        told = "needs more memory than there is"
    elif isinstance(error, InputError | MissingExtraError):
        told = str(error)
    elif isinstance(error, OSError):
        told = error.strerror or str(error)
    else:
        told = f"an error of olift-fast itself, please report it: {type(error).__name__}: {error}"
    told = " ".join(told.split()).removeprefix(f"{record['path']}: ")
    return finished(record, "failed") | {"error": told[:1000]}


def _tracks_of(path: Path, name: str, settings: LiftSettings) -> KeypointTracks:
    """The tracks of a file, read as by `olift lift`; messages and results call the file `name`."""
    try:
        tracks = read_liftable(
            path,
            settings.format,
            skeleton=_skeleton(settings.skeleton) if settings.skeleton else None,
            infer=settings.infer,
            min_confidence=settings.min_confidence,
            fps=settings.fps,
            image_size=settings.image_size,
            names=settings.tracks,
            allow_pickle=settings.allow_pickle,
        )
    except InputError as error:
        raise InputError(str(error).removeprefix(f"{path}: ")) from error
    return tracks if str(path) == name else replace(tracks, source=name)


def _check_can_hold(output: str, tracks: KeypointTracks) -> None:
    """Raises InputError if the result's format needs something that the tracks lack. The message names no file."""
    try:
        check_can_hold(Path(output), tracks)
    except InputError as error:
        raise InputError(str(error).removeprefix(f"{Path(output)}: ")) from error


def _skeleton(path_or_name: str) -> Skeleton:
    return _read_skeleton(path_or_name, stamp_of(path_or_name))


@lru_cache(maxsize=256)
def _read_skeleton(path_or_name: str, stamp: tuple[int, ...]) -> Skeleton:
    return read_skeleton(path_or_name)


def _finishing(settings: LiftSettings) -> Finishing:
    return Finishing(
        smooth=settings.smooth,
        rigid=settings.rigid,
        body=None if settings.body is None else _read_body(settings.body, stamp_of(settings.body)),
        placement=settings.world,
        pitch=settings.pitch,
    )


@lru_cache(maxsize=256)
def _read_body(path: str, stamp: tuple[int, ...]) -> Body:
    return read_body(path)


def _options(read: _Read) -> dict[str, Any]:
    own = read.settings
    return {"min_confidence": own.min_confidence, "frame": own.frame, "mirror": own.mirror, "pitch": read.pitch}


def _known_of(tracks: KeypointTracks, settings: LiftSettings) -> Record:
    skeleton = tracks.skeleton
    if settings.skeleton is not None:
        source = "given"
    elif any(skeleton.inferred):
        source = "inferred from names" if settings.infer == "names" else "inferred from names and motion"
    else:
        source = "file" if skeleton.edges else "none"
    name = skeleton.name or f"{skeleton.num_joints} joints, {len(skeleton.edges)} edges"
    return {"format": tracks.format, "skeleton": name, "skeleton_from": source}


def _track_record(result: LiftedTracks, index: int, absent: Any) -> Record:
    own = {"track": result.tracks[index], "frames": result.num_frames, "joints": int((~absent).sum())}
    if not result.visible[index].any():
        return own | {"status": "skipped", "error": "no keypoint of the track is visible", "hidden_share": 1.0}
    return own | quality_of(result, index, absent)


def _joined(lines: Sequence[str]) -> str | None:
    return "; ".join(" ".join(line.split()) for line in lines) or None
