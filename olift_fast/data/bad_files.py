"""Reading many files of which some are unusable: stop at the first, or skip them with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Hashable
from typing import Literal, TypeVar

from olift_fast.errors import InputError

OnBad = Literal["raise", "skip"]
Item = TypeVar("Item", bound=Hashable)
Value = TypeVar("Value")

NAMED = 5
"""Unusable files that a warning names; the others are counted."""


def read_each(
    items: Collection[Item], read: Callable[[Item], Value], on_bad: OnBad, what: str = "files"
) -> dict[Item, Value]:
    """What `read` makes of each item, in their order.

    Args:
        items: files, or names of parts of one.
        read: raises InputError for an item that is unusable.
        on_bad: "raise" passes the first such error on; "skip" leaves these items out, with one warning that counts
            them and names the first five.
        what: what messages call the items, in the plural.

    Raises:
        InputError: `on_bad` is neither; or an item is unusable and `on_bad` is "raise"; or all of them are.
    """
    if on_bad not in ("raise", "skip"):
        raise InputError(f"on_bad must be 'raise' or 'skip', got {on_bad!r}")
    found: dict[Item, Value] = {}
    refused: list[str] = []
    for item in items:
        try:
            found[item] = read(item)
        except InputError as error:
            if on_bad == "raise":
                raise
            refused.append(str(error))
    if refused and not found:
        raise InputError(f"all {len(refused)} {what} are unusable; the first: {refused[0]}")
    if refused:
        more = f"; and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
        named = "; ".join(refused[:NAMED])
        warnings.warn(f"skipped {len(refused)} of {len(items)} {what}: {named}{more}", stacklevel=3)
    return found
