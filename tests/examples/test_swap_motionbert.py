"""The example trains alike before and after a swap with a window over all frames, and differs with a narrow one."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "swap_motionbert.py"
TINY = ["--frames", "21", "--width", "16", "--layers", "1", "--steps", "4", "--window", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_loss_curves_match(own, capfd) -> None:
    losses = runpy.run_path(str(EXAMPLE))["main"]([*TINY, *([] if own else ["--torch"])])
    assert list(losses) == ["as it was", "window 21", "window 2"]
    assert losses["window 21"] == pytest.approx(losses["as it was"], rel=1e-4)
    assert losses["window 2"] != pytest.approx(losses["as it was"], rel=1e-4)
    assert losses["as it was"][-1] < losses["as it was"][0]
    printed = capfd.readouterr()
    assert printed.err == ""
    printed = printed.out
    assert "temporal.0" in printed and "spatial" not in printed
    assert [float(line.split()[-1]) > 0 for line in printed.splitlines()[-3:]] == [True] * 3
