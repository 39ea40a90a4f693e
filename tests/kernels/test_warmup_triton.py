"""After `ops.warmup` a lifter compiles no kernel: what both would have compiled is compared, and nothing is."""

from __future__ import annotations

import pytest
from compiling import run_beside

pytest.importorskip("triton")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["inference", "training"])
def test_a_lifter_launches_what_was_warmed_up(what: str) -> None:
    """In float32, bfloat16 and float16; inference with a stream's step."""
    assert run_beside("warmup_launches.py", what) == [""]
