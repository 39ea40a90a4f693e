"""The C library's allocator, told to keep what training frees."""

from __future__ import annotations

import ctypes
import sys


def keep_freed_memory() -> bool:
    """Has glibc's malloc keep what is freed, for the whole process; False where it isn't glibc's.

    By default a large tensor is given back to the system at its end, and the next one is faulted in page by page, which
    can take longer than what is computed with it. `olift train` calls this; a program of one's own may, too.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = 2**31 - 1
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, kept)) and bool(mallopt(top_pad, kept // 2))
