"""Writes the tables of an archive whose shards were lifted separately."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from olift_fast.archive.archiving import alone_in
from olift_fast.archive.destination import Destination
from olift_fast.archive.manifest import Manifest
from olift_fast.errors import InputError


class Merged(NamedTuple):
    """The content of an archive.

    Args:
        done, failed: the numbers of files.
        tables: the tables that were written.
    """

    done: int
    failed: int
    tables: tuple[str, ...]


def merge_archive(out: str | Path) -> Merged:
    """Join the manifests of all shards, and write the tables.

    Args:
        out: DEST, a path or a URL.

    Raises:
        InputError: there is no manifest, a run uses `out`, or it can't be written.
    """
    destination = Destination(str(out))
    if destination.folder is not None and not destination.folder.is_dir():
        raise InputError(f"{out}: no such folder, wanted the DEST of `olift archive`")
    with alone_in(destination), Manifest(destination) as manifest:
        manifest.load()
        if not len(manifest):
            raise InputError(f"{out}: has no manifest, wanted the DEST of `olift archive`")
        manifest.compact()
        counts = Counter(record["status"] for record in manifest.records())
        tables = tuple(map(destination.shown, manifest.write_tables()))
    return Merged(counts["done"], counts["failed"], tables)
