"""Reads many files of which some may be unusable: stops at the first unusable one, or skips them with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Hashable
from typing import Literal, TypeVar

from olift_fast.errors import InputError

OnBad = Literal["raise", "skip"]
Item = TypeVar("Item", bound=Hashable)
Value = TypeVar("Value")

NAMED = 5
"""A warning names this many unusable files at most, and counts all."""


def read_each(
    items: Collection[Item], read: Callable[[Item], Value], on_bad: OnBad, what: str = "files"
) -> dict[Item, Value]:
    """The result of `read` for each item, in their order.

    Args:
        items: files, or names of parts of one file.
        read: raises InputError for an unusable item.
        on_bad: "raise" passes on the first such error. "skip" leaves these items out, with one warning that counts them
            and names the first five.
        what: the plural that messages call the items by.

    Raises:
        InputError: `on_bad` is neither; or an item is unusable and `on_bad` is "raise"; or all items are unusable.
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
