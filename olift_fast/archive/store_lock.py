"""One run at a time at a DEST in a store, which has no locks: an object that its owner renews."""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from olift_fast.archive.destination import Destination
from olift_fast.errors import InputError, printable
from olift_fast.folder_lock import InUseError

RENEWED = 30.0
"""Seconds after which the object is written anew."""
STALE = 4 * RENEWED
"""An object that is older belongs to a run that was killed. Clocks must agree to within this."""


@contextmanager
def locked_in_store(destination: Destination, name: str, way_out: str) -> Iterator[None]:
    """Keeps other runs out of a DEST in a store while the block runs.

    Two runs that start within the same second may both get in, as stores have no locks: they write the same results.

    Raises:
        InUseError: another run has it, or had it two minutes ago; the message names it.
        InputError: the store refuses.
    """
    own = secrets.token_hex(8)
    _refuse(destination, name, own, way_out)
    _write(destination, name, own)
    # Of two that saw no object, the later one has overwritten the other's.
    _refuse(destination, name, own, way_out)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(destination, name, own, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(InputError):
            destination.remove(name)


def _refuse(destination: Destination, name: str, own: str, way_out: str) -> None:
    try:
        found = json.loads(destination.read(name))
        owner, told, at = str(found["owner"]), printable(str(found["who"])), float(found["at"])
    except (InputError, ValueError, KeyError, TypeError):
        return
    if owner != own and time.time() - at < STALE:
        raise InUseError(f"{destination.place}: another run writes into it ({told:.200}): {way_out}")


def _write(destination: Destination, name: str, own: str) -> None:
    who = f"process {os.getpid()} on {platform.node()}"
    destination.keep_text(json.dumps({"owner": own, "who": who, "at": time.time()}), name)


def _renew(destination: Destination, name: str, own: str, ended: threading.Event) -> None:
    while not ended.wait(RENEWED):
        with suppress(InputError):
            _write(destination, name, own)
