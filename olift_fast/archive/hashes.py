"""Hashes of files, by which a changed one is told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def hash_of(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its files and their names, but for hidden ones.

    Raises:
        OSError: it can't be read.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    total = hashlib.sha256()
    for frame in sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith(".")):
        total.update(f"{frame.name}\0{hash_of(frame)}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def hash_of_json(value: Any) -> str:
    """SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
