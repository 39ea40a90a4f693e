"""Lets browsers connect to a port of this program only from web pages of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@/?#\\\s]+?))\.?(?::\d{1,5})?", re.IGNORECASE)
_LOCAL = ("localhost", "127.0.0.1", "::1")


def refusal(hosts: Sequence[str], origins: Sequence[str], names: Iterable[str]) -> str | None:
    """Why a request must not be answered, in one line; None if it may be.

    A page of any site can make the browser connect to this machine. The header Origin then names the site. A site can
    also make its own name point to this machine (DNS rebinding); the header Host then has that name. Programs other
    than browsers send no Origin, and are served.

    Args:
        hosts: the values of the header Host; there must be one.
        origins: the values of the header Origin; none for programs other than browsers.
        names: names and IP addresses at which the port is reached; the loopback's are allowed in any case.
    """
    own = {*_LOCAL, *(name.lower() for name in names)}
    wanted = ", ".join(sorted(own))
    if len(hosts) != 1 or _name(hosts[0]) not in own:
        return f"the header Host must name {wanted}, got {_listed(hosts)}"
    for origin in origins:
        scheme, _, authority = origin.partition("://")
        if scheme.lower() not in ("http", "https") or _name(authority) not in own:
            return f"a page must be of {wanted}, got the Origin {_listed([origin])}"
    return None


def check_request(connection: Any, request: Any, host: str) -> Any | None:
    """A response with status 403 if `refusal` gives a reason, else None. For the `websockets` server.

    Allowed are `host` and the address that the connection arrived at, which matters if the port listens on all
    addresses.

    Args:
        connection: a `ServerConnection`; its logger gets a refusal as a warning.
        request: its `Request`.
        host: the address that the port listens at.
    """
    arrived = str(connection.local_address[0]).partition("%")[0]
    headers = request.headers
    why = refusal(headers.get_all("Host"), headers.get_all("Origin"), {host, arrived})
    if why is None:
        return None
    connection.logger.warning("refused: %s", why)
    return connection.respond(403, f"{why}\n")


def _name(authority: str) -> str | None:
    """The name or the address before the port, in lower case; None if there is neither."""
    match = _AUTHORITY.fullmatch(authority)
    return None if match is None else (match[1] or match[2]).lower()


def _listed(values: Sequence[str]) -> str:
    """Values for an error message, cut to 60 characters, with control characters escaped."""
    return repr(", ".join(values)[:60]) if values else "none"
