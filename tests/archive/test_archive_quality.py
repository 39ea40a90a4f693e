"""The figures of a track in the manifest are those that `olift lift` prints of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archives import alone, table

from olift_fast.archive import quality
from olift_fast.archive.quality import quality_of
from olift_fast.bodies import trust


def test_drift_and_jumps_are_those_of_the_line_of_trust(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = alone(model, table(tmp_path / "mouse.csv", frames=200))
    result.joints[0, 60:120:10, 1] += 10 * result.scale[0]
    told = trust(result)
    assert told.jumps > 0.03 and told.drift > 0.05
    nobody = np.zeros(4, bool)
    found = quality_of(result, 0, nobody)
    assert found["jump_share"] == pytest.approx(told.jumps, rel=1e-5)
    assert found["bone_drift"] == pytest.approx(told.drift, rel=1e-5)
    # In stretches, as of a recording that is longer than memory.
    monkeypatch.setattr(quality, "_FRAMES", 96)
    stretches = quality_of(result, 0, nobody)
    assert stretches["bone_drift"] == pytest.approx(told.drift, rel=1e-5)
    assert stretches["jump_share"] == pytest.approx(told.jumps, rel=1e-5)
