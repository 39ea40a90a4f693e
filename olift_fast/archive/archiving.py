"""`lift_archive` lifts all recordings of a folder, a list or a store, and goes on where an earlier run stopped."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from olift_fast import folder_lock
from olift_fast._version import __version__
from olift_fast.archive.destination import Destination
from olift_fast.archive.hashes import hash_of
from olift_fast.archive.lifting import LONG, WORK, Lifting, Setup
from olift_fast.archive.local import lift_locally
from olift_fast.archive.manifest import Manifest
from olift_fast.archive.plan import Facts, Job, Plan, packs, plan
from olift_fast.archive.records import Record
from olift_fast.archive.settings import LiftSettings
from olift_fast.archive.store_lock import locked_in_store
from olift_fast.bodies import read_body
from olift_fast.errors import InputError
from olift_fast.finishing import Finishing
from olift_fast.io.read import read_skeleton
from olift_fast.io.write import require_writer
from olift_fast.model import load
from olift_fast.model.checkpoints import CONFIG, WEIGHTS, folder_of, pinned
from olift_fast.model.inference import check_pitch
from olift_fast.runtime.threads import set_thread_count, thread_count
from olift_fast.world import read_calibration

LOCK = "archive.lock"
_SAMPLE = 16
"""The number of files that a dry run lifts to measure the speed."""
_REASONS = 1000
"""The most reasons of failures in a summary."""
Event = dict[str, Any]
Executor = Literal["local", "ray"]


@dataclass
class Summary:
    """The outcome of a run.

    Args:
        found: the number of recordings in the source, or in this shard of it.
        skipped: how many of them were done before.
        failed_before: how many failed before, and were not tried again.
        passed_over: the number of files in the source that are not recordings by their endings.
        bytes: the size of the files to lift.
        to_do: the number of files to lift.
        done, failed: how many of these were lifted, and how many failed.
        tracks, frames: the numbers of lifted tracks, and of lifted frames of all tracks.
        seconds: the time of the run.
        reasons: the reasons for which files were lifted, each with the number of files.
        errors: the reasons for which files failed, each with the number of files.
        interrupted: whether the run was stopped before its end.
        estimated_hours: for a dry run, the time that lifting would take on this machine.
        tables: the tables that were written.
    """

    found: int
    skipped: int
    failed_before: int
    passed_over: int
    bytes: int
    to_do: int
    reasons: dict[str, int]
    done: int = 0
    failed: int = 0
    tracks: int = 0
    frames: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    estimated_hours: float | None = None
    tables: tuple[str, ...] = ()

    @classmethod
    def of(cls, planned: Plan) -> Summary:
        """The summary before any file is lifted."""
        return cls(
            found=planned.found,
            skipped=planned.kept,
            failed_before=planned.failed_before,
            passed_over=planned.passed_over,
            bytes=planned.bytes,
            to_do=len(planned.jobs),
            reasons=planned.reasons,
        )

    def count(self, record: Record) -> None:
        """Counts a file that has been lifted, or failed."""
        if record["status"] == "done":
            self.done += 1
            self.tracks += len(record["tracks"])
            self.frames += sum(track["frames"] for track in record["tracks"])
        else:
            self.failed += 1
            known = record["error"] in self.errors or len(self.errors) < _REASONS
            self.errors[record["error"] if known else "other reasons"] += 1


def lift_archive(
    source: str | Path,
    out: str | Path,
    *,
    settings: LiftSettings | None = None,
    executor: Executor = "local",
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    fail_fast: bool = False,
    long: int = LONG,
    ray_address: str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Summary:
    """Lift every recording of `source` to a file in `out`, and write a manifest of them there.

    Call it again to lift files that are missing or have changed: new files, files with another content or other
    settings, and files lifted by another model or version. A file that can't be lifted gets a row in the manifest. The
    results are those of `lift_tracks` for each file: bit for bit with the native kernels, up to rounding with others.
    For recordings of more than `long` frames they agree within 1e-6 of the animal's size.

    In the main thread, the first SIGINT or SIGTERM lets the files in work finish, and writes the manifest; a second one
    gives them up.

    Args:
        source: a folder, a glob, a list (`lists.listed_in`), a file, or a URL that fsspec opens.
        out: DEST, a folder (created if missing) or a URL.
        settings: the options of the lift.
        executor: "local": a process for each core of this machine; "ray": on a cluster, see docs/archives.md.
        workers: the number of processes; by default one for each core that this process may use, or one on a GPU.
        shard: (K, N) lifts only part K of N, K from 1. Parts can run at once, on any machines; then `merge` writes the
            tables.
        retry_failed: try again the files that failed before.
        dry_run: lift nothing; only count the files, and measure the speed with a few of them.
        fail_fast: stop after the first file that fails.
        long: recordings of more frames are lifted from disk to disk, in bounded memory; but not if the settings need
            all frames at once: `mirror`, `smooth`, `rigid`, `body`, a `world`.
        ray_address: of the cluster; by default Ray's own choice.
        on_event: called with the events "planned", "file" for each file, and "done".

    Raises:
        InputError: there is nothing to lift, two recordings would have one result, `out` is within `source`, another
            run uses `out`, a setting or the model is unusable, or the manifest can't be written.
        MissingExtraError: a URL, the results' format or Ray needs an extra that is not installed.
    """
    settings = settings or LiftSettings()
    destination = Destination(str(out))
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise InputError(f"shard must be K/N with 1 <= K <= N, got {shard[0]}/{shard[1]}")
    if workers is not None and workers < 1:
        raise InputError(f"workers must be >= 1, got {workers}")
    workers = workers or default_workers(settings)
    check_usable(settings)
    # The world's options cache the calibration that they have read; with a copy, a run reads it again.
    settings = replace(settings, model=pinned(settings.model), world=replace(settings.world))
    facts = facts_of(settings)
    tell = on_event or (lambda event: None)
    started = time.monotonic()
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(alone_in(destination, shard))
        manifest = stack.enter_context(Manifest(destination, shard))
        manifest.load()
        planned = plan(str(source), destination, manifest, settings, facts, shard=shard, retry_failed=retry_failed)
        summary = Summary.of(planned)
        setup = Setup(settings=settings, facts=facts, place=destination.place, long=long)
        tell(_planned(summary, manifest.damaged))
        if dry_run:
            summary.estimated_hours = estimated_hours(planned.jobs, setup, workers)
        else:
            lift = _executor(executor, workers, ray_address)
            _lift_all(planned.jobs, setup, manifest, summary, lift, fail_fast, tell)
            if shard is None:
                _finish(manifest, destination, summary)
    summary.seconds = round(time.monotonic() - started, 3)
    tell({"event": "done", **told_of(summary)})
    return summary


Lift = Callable[[Any, Setup, threading.Event], Generator[Record]]


def _executor(executor: Executor, workers: int, ray_address: str | None) -> Lift:
    if executor == "local":
        return lambda jobs, setup, stop: lift_locally(jobs, setup, workers, stop)
    if executor != "ray":
        raise InputError(f"executor must be 'local' or 'ray', got {executor!r}")
    from olift_fast.archive.on_ray import lift_on_ray

    return lambda jobs, setup, stop: lift_on_ray(jobs, setup, workers, stop, ray_address)


def _lift_all(
    jobs: list[Job],
    setup: Setup,
    manifest: Manifest,
    summary: Summary,
    lift: Lift,
    fail_fast: bool,
    tell: Callable[[Event], None],
) -> None:
    """Lifts the jobs, and writes each record to the manifest at once."""
    stop = threading.Event()
    with _stopping(stop), closing(lift(packs(jobs), setup, stop)) as records:
        for record in records:
            manifest.add([record])
            summary.count(record)
            tell({"event": "file", **_shown(record), "done": summary.done, "failed": summary.failed})
            if fail_fast and record["status"] == "failed":
                stop.set()
    summary.interrupted = summary.done + summary.failed < len(jobs)


def _finish(manifest: Manifest, destination: Destination, summary: Summary) -> None:
    """Writes the tables if anything has changed, and removes files of long recordings that killed runs left."""
    there = destination.folder is not None and (destination.folder / "manifest.csv").exists()
    if manifest.added or not there:
        manifest.compact()
        summary.tables = tuple(map(destination.shown, manifest.write_tables()))
    if destination.folder is not None and not summary.interrupted:
        shutil.rmtree(destination.folder / WORK, ignore_errors=True)


def check_usable(settings: LiftSettings) -> None:
    """Raises an error if no file could be lifted: a file of the settings can't be read, or an extra is missing.

    Raises:
        InputError: the skeleton, the body or the calibration can't be read.
        MissingExtraError: the results' format needs the extra `io`, or smoothing the extra `smooth`.
    """
    if settings.skeleton is not None:
        read_skeleton(settings.skeleton)
    if settings.body is not None:
        read_body(settings.body)
    if settings.world.calibration is not None:
        read_calibration(settings.world.calibration, settings.world.camera)
    Finishing(smooth=settings.smooth, placement=settings.world).check(settings.frame)
    require_writer(Path(f"result{settings.suffix}"))


def facts_of(settings: LiftSettings) -> Facts:
    """Facts about the settings' model; raises InputError if it can't be loaded, or does not take the given pitch."""
    lifter = load(settings.model)
    check_pitch(lifter, Finishing(placement=settings.world, pitch=settings.pitch).pitch_for_model(lifter.config.pitch))
    folder = folder_of(settings.model)
    weights = "".join(hash_of(folder / name) for name in (CONFIG, WEIGHTS))
    return Facts(lifter.name, weights, __version__)


def default_workers(settings: LiftSettings) -> int:
    """One worker for each core that this process may use; on a GPU one."""
    if settings.device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alone_in(destination: Destination, shard: tuple[int, int] | None = None) -> AbstractContextManager[None]:
    """Keeps other runs out of DEST; different shards may use it at the same time.

    Raises:
        InUseError: another run uses it; the message names it.
        InputError: DEST can't be written.
    """
    name = LOCK if shard is None else f"archive.{shard[0]}-of-{shard[1]}.lock"
    way_out = "wait until it ends, or choose another --out"
    if destination.folder is None:
        return locked_in_store(destination, name, way_out)
    folder = destination.folder
    if shard is None:
        return folder_lock.locked(folder / LOCK, "another run", way_out)
    return _both(
        folder_lock.locked(folder / LOCK, "a run of all shards", way_out, shared=True),
        folder_lock.locked(folder / name, "another run of this shard", way_out),
    )


@contextmanager
def _both(first: AbstractContextManager[None], second: AbstractContextManager[None]) -> Iterator[None]:
    with first, second:
        yield


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Within the block, in the main thread, the first SIGINT or SIGTERM sets `stop`, and the second interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def estimated_hours(jobs: list[Job], setup: Setup, workers: int) -> float | None:
    """The hours that the jobs would take, from lifting a few of them; None if there are none or all of them fail."""
    sample = sorted(jobs, key=lambda job: job.entry.bytes)[:: max(len(jobs) // _SAMPLE, 1)][:_SAMPLE]
    sample = [job for job in sample if job.entry.bytes]
    if not sample:
        return None
    with tempfile.TemporaryDirectory(prefix="olift-archive-") as folder, _one_thread():
        lifting = Lifting(replace(setup, place=folder))
        # Lift one file before, because the first one includes the time to load the model.
        list(lifting.lift(sample[:1]))
        start = time.perf_counter()
        records = list(lifting.lift(sample))
        seconds = time.perf_counter() - start
    if all(record["status"] == "failed" for record in records):
        return None
    total = sum(job.entry.bytes for job in jobs)
    return seconds * total / sum(job.entry.bytes for job in sample) / workers / 3600


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits the kernels to one thread, as in a worker."""
    before = thread_count()
    set_thread_count(1)
    try:
        yield
    finally:
        set_thread_count(before)


def told_of(summary: Summary) -> dict[str, Any]:
    """A summary for JSON."""
    told = vars(summary) | {"errors": dict(summary.errors.most_common(_REASONS)), "tables": list(summary.tables)}
    if summary.estimated_hours is not None:
        told["estimated_hours"] = float(f"{summary.estimated_hours:.4g}")
    return told


def _planned(summary: Summary, damaged: int) -> Event:
    names = ("found", "to_do", "skipped", "failed_before", "passed_over", "bytes", "reasons")
    return {"event": "planned", **{name: getattr(summary, name) for name in names}, "damaged_records": damaged}


def _shown(record: Record) -> dict[str, Any]:
    names = ("path", "status", "error", "why", "output")
    tracks = record.get("tracks", [])
    told = {name: record[name] for name in names if name in record}
    return told | {"tracks": len(tracks), "frames": sum(track["frames"] for track in tracks)}
