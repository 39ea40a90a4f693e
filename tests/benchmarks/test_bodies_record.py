"""What shipped checkpoints say of their bones is what the records have."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path

import pytest

from benchmarks.bodies import tell
from benchmarks.scores import MOTION, RECORDS
from olift_fast.model.checkpoints import SHIPPED, shipped, validated_drift


@pytest.mark.parametrize(
    ("model", "method"),
    [("small", "small"), ("small-all", "small-all"), ("small-causal", "small-causal, 0 frames later")],
)
def test_checkpoint_says_the_drift_of_its_record(model: str, method: str) -> None:
    rows = json.loads((RECORDS / f"{model}-noise.json").read_text(encoding="utf-8"))
    drifts = [row["bone_length_drift"] for row in rows if row["method"] == method and row["source"] in MOTION]
    assert len(drifts) == len(MOTION)
    assert validated_drift(model) == pytest.approx(statistics.mean(drifts) / 100, abs=1e-3)


def test_all_that_ships_says_it() -> None:
    assert all(validated_drift(name) is not None for name in shipped())


def test_drift_is_put_into_a_config_and_the_rest_stays(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "small" / "config.json", tmp_path)
    before = json.loads((tmp_path / "config.json").read_text())
    tell(tmp_path, 0.12345)
    assert validated_drift(tmp_path) == 0.1235 or validated_drift(tmp_path) == 0.1234
    assert json.loads((tmp_path / "config.json").read_text()) | {"validation": None} == before | {"validation": None}
