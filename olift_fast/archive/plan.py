"""Plans a run: which recordings of a SOURCE are to be lifted, and which an earlier run has done."""

from __future__ import annotations

import glob
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from olift_fast.archive.destination import Destination
from olift_fast.archive.hashes import hash_of
from olift_fast.archive.lists import listed_in
from olift_fast.archive.manifest import Manifest
from olift_fast.archive.records import Record, reason_to_lift
from olift_fast.archive.settings import LiftSettings, with_changes
from olift_fast.archive.sources import RESULT, Entry, Found, check_apart, found_in
from olift_fast.archive.stores import is_url
from olift_fast.errors import InputError

PACK_BYTES, PACK_FILES = 2**18, 32
"""Files of at most `PACK_BYTES` go to a worker together: up to `PACK_FILES` of them, with up to 4 * `PACK_BYTES`."""


class Facts(NamedTuple):
    """The model and the program of a run, which are the same for all of its files.

    Args:
        model: the model's name.
        model_sha256: the hash of its config and weights.
        version: the version of this package.
    """

    model: str
    model_sha256: str
    version: str


@dataclass(frozen=True, slots=True)
class Job:
    """A recording to lift.

    Args:
        entry: the recording.
        output: the path of the result, below DEST.
        why: the reason to lift it, in words.
        attempts: how many workers have ended while they had this job.
    """

    entry: Entry
    output: str
    why: str
    attempts: int = 0

    def again(self) -> Job:
        """The same job after one more attempt."""
        return replace(self, attempts=self.attempts + 1)


class Plan(NamedTuple):
    """What a run has to do.

    Args:
        jobs: the recordings to lift.
        found: how many recordings there are, in this shard if the run has one.
        kept: how many of them are done.
        failed_before: how many of them failed before, and are not tried again.
        passed_over: how many files are not recordings, by the endings of their names.
        bytes: the size of the jobs' files together.
        reasons: how many jobs there are for each reason, without what follows a colon.
    """

    jobs: list[Job]
    found: int
    kept: int
    failed_before: int
    passed_over: int
    bytes: int
    reasons: dict[str, int]


def plan(
    source: str,
    destination: Destination,
    manifest: Manifest,
    settings: LiftSettings,
    facts: Facts,
    *,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
) -> Plan:
    """Compares the recordings in SOURCE with the records in the manifest and with the results in DEST.

    Args:
        source: SOURCE: a file, a folder, a glob, a URL or a list.
        destination: DEST.
        manifest: the records of earlier runs.
        settings: how to lift.
        facts: the model and the program.
        shard: K and N, to take only shard K of N.
        retry_failed: also lift what failed before.

    Raises:
        InputError: SOURCE has nothing to lift, two recordings would have one result, DEST is in SOURCE, or a row of a
            list has a setting that is not possible.
    """
    found = listed_in(source) or found_in(source)
    check_place(source, found, destination)
    named = with_outputs(found.entries, settings)
    if shard is not None:
        named = [one for one in named if in_shard(one[1], shard)]
    sizes = destination.sizes()
    jobs, kept, failed, reasons = [], 0, 0, dict[str, int]()
    for entry, output in named:
        record = manifest.record(entry.path)
        wanted = wanted_of(entry, output, settings, facts)
        why = reason_to_lift(record, wanted, retry_failed=retry_failed) or _changed(record, entry, sizes)
        if why is not None:
            jobs.append(Job(entry, output, why))
            word = why.partition(":")[0]
            reasons[word] = reasons.get(word, 0) + 1
        elif record is not None and record["status"] == "failed":
            failed += 1
        else:
            kept += 1
    total = sum(job.entry.bytes for job in jobs)
    return Plan(jobs, len(named), kept, failed, found.passed_over, total, reasons)


def wanted_of(entry: Entry, output: str, settings: LiftSettings, facts: Facts) -> Record:
    """The part of a recording's record that is known before the recording is read."""
    own = with_changes(settings, entry.changes)
    return {"path": entry.path, "output": output, "settings": own.told(), **facts._asdict()}


def with_outputs(entries: Sequence[Entry], settings: LiftSettings) -> list[tuple[Entry, str]]:
    """Each recording with the path of its result below DEST.

    Raises:
        InputError: two recordings have the same result, one is listed twice, or one has settings that are not possible.
    """
    named = []
    for entry in entries:
        try:
            with_changes(settings, entry.changes)
        except InputError as error:
            raise InputError(f"{entry.path}: {error}") from error
        named.append((entry, f"{entry.name}{RESULT}{settings.suffix}"))
    way_out = ": name the files with a glob ('DATA/**/*.csv'), or give each an output in a list"
    check_apart(((entry.path, output) for entry, output in named), way_out=way_out)
    for (path, _), count in Counter((entry.path, output.casefold()) for entry, output in named).items():
        if count > 1:
            raise InputError(f"{path}: is listed twice")
    return named


def check_place(source: str, found: Found, destination: Destination) -> None:
    """Raises InputError if the results would be among the input."""
    if is_url(source) and not (glob.has_magic(source) and "**" not in source):
        fixed = re.split(r"[*?\[]", source)[0].rpartition("/")[0] if glob.has_magic(source) else source.rstrip("/")
        if f"{destination.place.rstrip('/')}/".startswith(f"{fixed}/"):
            raise InputError(f"{destination.place}: lies in {fixed}, which is to be lifted; choose another --out")
    if found.root is None or destination.folder is None:
        return
    root, folder = found.root.resolve(), destination.folder.resolve()
    if root == folder or (found.deep and folder.is_relative_to(root)):
        raise InputError(f"{destination.folder}: lies in {found.root}, which is to be lifted; choose another --out")


def in_shard(name: str, shard: tuple[int, int]) -> bool:
    """Whether a recording belongs to shard K of N (from 1), by a hash of its result's name, on any machine the same."""
    number, count = shard
    return zlib.crc32(name.encode("utf-8", "surrogateescape")) % count == number - 1


def packs(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """The jobs in packs, each for one worker: first large files, alone, the largest first; then small ones together."""
    ordered = list(jobs)
    small = [job for job in ordered if 0 < job.entry.bytes <= PACK_BYTES and not job.attempts]
    alone = {id(job) for job in small}
    for job in sorted((job for job in ordered if id(job) not in alone), key=lambda job: -job.entry.bytes):
        yield [job]
    pack: list[Job] = []
    size = 0
    for job in small:
        if pack and (len(pack) == PACK_FILES or size + job.entry.bytes > 4 * PACK_BYTES):
            yield pack
            pack, size = [], 0
        pack.append(job)
        size += job.entry.bytes
    if pack:
        yield pack


def _changed(record: Record | None, entry: Entry, sizes: Mapping[str, int] | Callable[[str], int | None]) -> str | None:
    """Why a recording is lifted again although its settings are the same; None if nothing has changed."""
    assert record is not None
    same = (record.get("input_bytes"), record.get("input_modified")) == (entry.bytes, entry.modified)
    if not same and (record.get("input_bytes") != entry.bytes or not _same_content(record, entry)):
        return "the input changed"
    if record["status"] != "done":
        return None
    there = sizes(record["output"]) if callable(sizes) else sizes.get(record["output"])
    if there is None:
        return "its result is missing"
    return None if there == record.get("output_bytes") else "its result was changed"


def _same_content(record: Record, entry: Entry) -> bool:
    known: Any = record.get("input_sha256")
    if is_url(entry.path) or not known:
        return False
    try:
        return hash_of(Path(entry.path)) == known
    except OSError:
        return False
