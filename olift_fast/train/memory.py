"""Settings of the C library's allocator that make training faster."""

from __future__ import annotations

import ctypes
import sys


def keep_freed_memory() -> bool:
    """Make glibc's malloc keep freed memory for reuse, in the whole process. Returns False if malloc is not glibc's.

    By default the memory of a large tensor goes back to the system when the tensor is freed. The system then has to map
    the memory of the next tensor page by page, which can take longer than the computation. `olift train` calls this;
    your own program may call it, too.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = 2**31 - 1
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, kept)) and bool(mallopt(top_pad, kept // 2))
