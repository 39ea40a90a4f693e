"""The transports of a live stream. A new one is a file in this folder and a line in `TRANSPORTS`.

Importing this package imports no torch, so that `olift stream` can refuse unusable options at once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.streaming.transports.replay import REPLAY
from olift_fast.streaming.transports.stdin import STDIN
from olift_fast.streaming.transports.tcp import TCP
from olift_fast.streaming.transports.transport import CLIENTS, Opened, Settings, Transport, check_port
from olift_fast.streaming.transports.udp import UDP
from olift_fast.streaming.transports.websocket import WEBSOCKET

__all__ = ["CLIENTS", "TRANSPORTS", "Opened", "Settings", "Transport", "check_port", "check_sources"]

TRANSPORTS: tuple[Transport, ...] = (STDIN, REPLAY, TCP, UDP, WEBSOCKET)
"""In the order in which sources are checked and opened."""


def check_sources(sources: Mapping[str, Any], *, by_option: bool = False) -> None:
    """Raises InputError or MissingExtraError unless these sources can be opened together.

    Args:
        sources: a value for each transport, by its name.
        by_option: errors name the options instead of the transports.
    """
    names = {transport.name for transport in TRANSPORTS}
    for name in sources:
        if name not in names:
            raise InputError(f"a source must be among {', '.join(sorted(names))}, got {name!r}")
    for transport in TRANSPORTS:
        if transport.name not in sources:
            continue
        called = transport.option if by_option and transport.option else transport.name
        transport.check(sources[transport.name], called)
        if transport.alone and len(sources) > 1:
            raise InputError(f"{called} is a source of its own: leave out the ports, or stream it to one of them")
        if transport.extra and transport.package and importlib.util.find_spec(transport.package) is None:
            raise MissingExtraError(what=called, extra=transport.extra)
