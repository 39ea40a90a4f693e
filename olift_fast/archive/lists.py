"""Reads lists of recordings: a path in each line, or a table with a row for each, which may have its own settings."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from olift_fast.archive.settings import COLUMNS, parsed_change
from olift_fast.archive.sources import Entry, Found, entry_of, local_of, stem_of
from olift_fast.archive.stores import is_url, remote_of
from olift_fast.errors import InputError

_MANY = 2**20
_AT_ONCE = 16
"""Files of stores that are asked for at once."""


def listed_in(source: str) -> Found | None:
    """The recordings of a list; None if `source` is not a list.

    A .txt or .lst file has a path in each line; empty lines, and lines that begin with #, are left out. A .csv or .tsv
    whose first row has a cell "path" has a row for each recording. It may have columns of settings (`settings.COLUMNS`)
    and "output", the result's name without its ending; columns that begin with _ are left out. Paths and names of
    results are relative to the list's folder; for files elsewhere, the result's name is the whole path.

    Raises:
        InputError: the file is not text, a column is unknown, a cell has a wrong value, or there are no rows.
    """
    path = Path(local_of(source))
    if is_url(local_of(source)) or not path.is_file():
        return None
    ending = path.suffix.lower()
    if ending in (".txt", ".lst"):
        rows = [(line, {"path": text}) for line, text in _lines(path)]
    elif ending in (".csv", ".tsv") and "path" in _header(path):
        rows = list(_table(path))
    else:
        return None
    if not rows:
        raise InputError(f"{path}: an empty list, wanted a path in each line")
    entries = [_entry(path, line, row) for line, row in rows]
    if any(is_url(entry.path) for entry in entries):
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            entries = list(pool.map(_looked_up, entries))
    return Found(entries, 0, None, deep=False)


def _looked_up(entry: Entry) -> Entry:
    """An entry with what a store tells of it; one that is not there stays as it is, and becomes a row."""
    if not is_url(entry.path):
        return entry
    with suppress(InputError):
        remote, path = remote_of(entry.path)
        stored = next(remote.found(path))
        return replace(entry, bytes=stored.bytes, modified=stored.modified)
    return entry


def _entry(where: Path, line: int, row: dict[str, str]) -> Entry:
    try:
        told = row.pop("path").strip()
        output = row.pop("output", "").strip()
        changes = dict(parsed_change(column, cell, where.parent) for column, cell in row.items() if cell.strip())
        if not told:
            raise InputError("path must not be empty")
        name = _checked(output) if output else None
        return _of_path(local_of(told), where.parent, name, changes)
    except InputError as error:
        raise InputError(f"{where}: line {line}: {error}") from error


def _of_path(told: str, folder: Path, name: str | None, changes: dict[str, Any]) -> Entry:
    if is_url(told):
        scheme, _, rest = told.partition("://")
        inner = PurePosixPath(scheme) / rest.partition("?")[0]
        return Entry(told, name or str(inner.parent / stem_of(inner.name)), 0, "missing", changes)
    path = folder / told
    try:
        path.relative_to(folder)
        inside = ".." not in path.relative_to(folder).parts
    except ValueError:
        inside = False
    if inside:
        return entry_of(path, folder, name, changes)
    whole = path.resolve()
    name = name or (whole.parent.relative_to(whole.anchor) / stem_of(path.name, folder=path.is_dir())).as_posix()
    return entry_of(path, whole.parent, name, changes)


def _checked(output: str) -> str:
    parts = PurePosixPath(output.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0] == "/":
        raise InputError(f"output must be a name below DEST, got {output!r}")
    return "/".join(parts)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text in UTF-8, wanted a list of paths") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _separator(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return [cell.strip() for cell in next(csv.reader([file.readline(_MANY)], delimiter=_separator(path)), [])]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    names = _header(path)
    unknown = [name for name in names if name not in ("path", "output", *COLUMNS) and not name.startswith("_")]
    if unknown:
        known = ", ".join(("path", "output", *COLUMNS))
        raise InputError(f"{path}: unknown column {unknown[0]!r}; known: {known}, and any that begins with _")
    rows = csv.reader(_text(path).splitlines(), delimiter=_separator(path))
    next(rows)
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            raise InputError(f"{path}: line {rows.line_num}: {len(row)} cells, wanted {len(names)}")
        yield rows.line_num, {name: cell for name, cell in zip(names, row, strict=True) if not name.startswith("_")}
