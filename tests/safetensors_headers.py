"""Safetensors files with another header and the same bytes after it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any


def with_header(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The file whose header, as a dictionary, `change` has changed in place."""
    entries = header(data)
    change(entries)
    written = json.dumps(entries).encode()
    return struct.pack("<Q", len(written)) + written + data[8 + int.from_bytes(data[:8], "little") :]


def header(data: bytes) -> dict[str, Any]:
    """The header of a file."""
    found: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return found
