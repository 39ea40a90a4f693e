"""Lifts archives: thousands of recordings in one call, on one machine or on many, which continues after a crash.

Importing this package imports no torch until one of its names is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from olift_fast.lazy import lazy_names

if TYPE_CHECKING:
    from olift_fast.archive.archiving import Summary, lift_archive
    from olift_fast.archive.merging import merge_archive
    from olift_fast.archive.reporting import report_archive
    from olift_fast.archive.settings import LiftSettings
    from olift_fast.finishing import WorldOptions

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LiftSettings": "settings",
        "Summary": "archiving",
        "WorldOptions": "settings",
        "lift_archive": "archiving",
        "merge_archive": "merging",
        "report_archive": "reporting",
    },
)

__all__ = ["LiftSettings", "Summary", "WorldOptions", "lift_archive", "merge_archive", "report_archive"]
