"""How often the Triton kernels of `banded_attention` ask for a row, against the bytes that must cross the memory once.

`reads` counts from the launches' geometry: a row that lies in two tiles is asked for twice, the second time from a
cache. The table of ROOFLINE.md follows from it, by ``python -m benchmarks.compile_facts``.
"""

from __future__ import annotations

from pathlib import Path

import torch

from olift_fast.ops.banded_attention.triton_launch import BLOCK, span_configuration

PAGE = Path(__file__).resolve().parent / "ROOFLINE.md"
BEGIN, END = "<!-- bytes of the band: python -m benchmarks.compile_facts -->", "<!-- end of bytes of the band -->"
WINDOW, WIDTH, BATCH, JOINTS, HEADS = 8, 32, 8, 26, 8
DTYPES = (torch.float32, torch.bfloat16)


def reads(frames: int, left: int, right: int, span: int | None) -> dict[str, int]:
    """How many rows of one joint and head are loaded, by tensor: forward, or backward with ``span`` blocks a program.

    For one clip with all keypoints visible, and for a band of at most BLOCK + 1 frames.
    """
    if left + right > BLOCK:
        raise ValueError(f"the band must be of at most {BLOCK + 1} frames, got {left + right + 1}")
    if span is None:
        tile = BLOCK if left + right == 0 else 2 * BLOCK
        keys = sum(_inside(first - left, first - left + tile, frames) for first in range(0, frames, BLOCK))
        return {"q": frames, "k": keys, "v": keys}
    queries = keys = 0
    for first in range(0, frames, span * BLOCK):
        start, stop = max(first - BLOCK, 0), min(first + span * BLOCK, frames)
        steps = -(-(stop - start) // BLOCK)
        queries += stop - start
        keys += _inside(start - left, start - left + (steps + 1) * BLOCK, frames)
    return {"q": queries, "k": keys, "v": keys, "do": queries}


def _inside(first: int, stop: int, frames: int) -> int:
    return max(min(stop, frames) - max(first, 0), 0)


def table() -> str:
    """The table of the page, in Markdown: for a row of one joint and head, of WIDTH channels."""
    counts = ("rows that must be read", "rows asked for", "rows written", "bytes that must move")
    head = ("kernel", "T", *counts)
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for backward in (False, True):
        for dtype in DTYPES:
            for frames in (48, 243, 1024):
                q = torch.empty(BATCH, frames, JOINTS, HEADS, WIDTH, dtype=dtype, device="meta")
                span = span_configuration(q, WINDOW, WINDOW)[1][2] if backward else None
                asked = reads(frames, WINDOW, WINDOW, span)
                written = 3 if backward else 1
                moved = (len(asked) + written) * WIDTH * dtype.itemsize + 4
                name = f"{'backward' if backward else 'forward'}, {str(dtype)[6:]}"
                cells = (frames, len(asked), f"{sum(asked.values()) / frames:.2f}", written, moved)
                lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the table between its markers."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"
