"""What the Triton kernels take of an H100, read off their machine code: no GPU is needed.

``python -m benchmarks.compile_facts`` compiles them for sm_90. It writes ``benchmarks/compile_facts.json``, and from it
the table in ROOFLINE.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import band_bytes, gpu_floors, thresholds

ROOT = Path(__file__).resolve().parent.parent
FACTS = ROOT / "benchmarks" / "compile_facts.json"
PAGE = ROOT / "benchmarks" / "ROOFLINE.md"
BEGIN, END = "<!-- compile facts: python -m benchmarks.compile_facts -->", "<!-- end of compile facts -->"
ARCHITECTURE = 90
CASES = {
    "band, 8 heads": "banded_launches:base_float32",
    "band, 8 heads, half precision": "banded_launches:base_bfloat16",
    "band, Dh = 128": "banded_launches:wide_heads",
    "band, one step": "step_launches:base_bfloat16",
    "joints, 26, 4 to 12 heads": "joint_launches:presets",
    "joints, 5; and 26 without masks": "joint_launches:others",
    "joints, Dh = 128, 64, 20": "joint_launches:wide_heads",
    "Fourier features": "rff_launches:without_float16",
    "pass, D = 128, few tokens; and many": "token_block_launches:small_bfloat16",
    "pass, D = 128, few tokens; and many, float32": "token_block_launches:small_float32",
    "pass, D = 256, few tokens; and many": "token_block_launches:base_bfloat16",
    "pass, D = 256, float32": "token_block_launches:base_float32",
    "pass, D = 128, before and after all attentions": "token_block_launches:ends",
}
"""What is compiled: functions beside `tests/kernels/compiling.py`."""

REGISTERS, SHARED_BYTES, MOST_WARPS, MOST_PROGRAMS = 65536, 228 << 10, 64, 32
"""Of a multiprocessor of sm_90."""

Row = Mapping[str, Any]


def measure(cases: Mapping[str, str] = CASES) -> dict[str, list[dict[str, Any]]]:
    """The kernels of each case, in the order of their launches; needs triton."""
    sys.path.insert(0, str(ROOT / "tests" / "kernels"))
    launches = import_module("compiling").compile_launches
    return {name: [vars(kernel) for kernel in launches(case, ARCHITECTURE)] for name, case in cases.items()}


def warps_of_a_multiprocessor(row: Row) -> int:
    """How many warps run at once: as many as registers, shared memory and the hardware's limits allow."""
    of_a_warp = -(-row["registers"] * 32 // 256) * 256
    programs = min(
        REGISTERS // (of_a_warp * row["warps"]),
        SHARED_BYTES // (row["shared"] + 1024),
        MOST_WARPS // row["warps"],
        MOST_PROGRAMS,
    )
    return programs * row["warps"]


def worse(now: Row, before: Row, share: float = 0.1) -> str | None:
    """One line: what a kernel takes more of than before, spilled bytes or over 10 % instructions; None for nothing.

    With registers to spare, 8 bytes of the stack are no spill (`Resources.spills` of `tests/kernels/compiling.py`).
    """
    spare = 0 if now["registers"] > 128 else 8
    for what, least in (("stack", spare), ("local", 0), ("instructions", share * before["instructions"])):
        if now[what] > before[what] + least:
            return f"{now['kernel']}: {what} {now[what]}, before {before[what]}"
    return None


def table(facts: Mapping[str, Sequence[Row]]) -> str:
    """The table of the page, in Markdown."""
    head = ("kernel", "registers", "spilled bytes", "shared bytes", "warps a program", "warps an SM", "instructions")
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for name, rows in facts.items():
        for row in rows:
            numbers = (row["registers"], row["stack"] + row["local"], row["shared"], row["warps"])
            cells = (*numbers, warps_of_a_multiprocessor(row), row["instructions"])
            kernel = row["kernel"].removesuffix("_kernel").replace("_", " ")
            lines.append(f"| {name}: {kernel}, {row['dtype']} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    return "\n".join(lines)


def with_table(page: str, facts: Mapping[str, Sequence[Row]]) -> str:
    """The page with the table between its markers."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table(facts)}\n{END}{after}"


def main() -> None:
    facts = measure()
    found = {"architecture": f"sm_{ARCHITECTURE}", "triton": version("triton"), "kernels": facts}
    FACTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page = with_table(PAGE.read_text(encoding="utf-8"), facts)
    page = thresholds.with_table(gpu_floors.with_table(band_bytes.with_table(page)))
    PAGE.write_text(page, encoding="utf-8")
    print(table(facts))


if __name__ == "__main__":
    main()
