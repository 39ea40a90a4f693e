"""The record of adaptations to bodies: it holds what the code judges of its signs, and what is kept is not worse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.adapting import summary
from benchmarks.scores import RECORDS
from olift_fast.train.label_free import LabelFree, verdict

FILES = ("", "-end-on", "-top", "-real-cameras", "-seeds", "-finetune")
ROWS: list[dict[str, Any]] = [
    row
    for name in FILES
    for row in json.loads((RECORDS / f"adapting-small-all{name}.json").read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['family']} {row['seen']} {row.get('seed', 0)}")
def test_what_is_kept_is_what_is_judged_better(row: dict[str, Any]) -> None:
    judged = verdict(LabelFree(**row["signs_before"]), LabelFree(**row["signs_after"]))
    assert judged.helped is row["helped"]
    if judged.helped:
        assert row["after"]["sa_mpjpe"] < row["before"]["sa_mpjpe"]


def test_the_summary_counts_gains_and_what_is_kept() -> None:
    signs = {"steadiness": 0.1, "anew": 0.2}
    rows = [
        {
            "helped": helped,
            "seed": seed,
            "before": {"sa_mpjpe": 10.0, "sa_mpve": 2.0, "bone_length_drift": 4.0, "bone_ratio_error": None},
            "after": {"sa_mpjpe": error, "sa_mpve": 1.0, "bone_length_drift": 3.0, "bone_ratio_error": None},
            "after_body": {"sa_mpjpe": error - 1.0, "bone_length_drift": 0.04},
            "signs_before": signs,
            "signs_after": {"steadiness": 0.01 * error, "anew": 0.2},
        }
        for helped, error, seed in ((True, 8.0, 0), (True, 10.5, 0), (False, 9.0, 1), (False, 12.0, 1))
    ]
    lines = list(summary(rows))
    assert lines[0] == "4 adaptations: SA-MPJPE -1.2% on average, better in 2"
    assert "  kept 2, rightly judged 2; missed gains: 1" in lines
    assert "  kept: -7.5% on average, worst +5.0%" in lines and "  sa_mpve: -50.0%" in lines
    assert "  rank correlation of steadiness with the change: 1.00" in lines
    body = "SA-MPJPE -11.2% on average, better in 3 of 4, worst +10.0%; drift -99.0%"
    assert f"  new weights, lengths of the body file: {body}" in lines
    assert "  adapted, of seeds 0, 1: -7.5%, +5.0% (± 8.8%)" in lines
    assert not any("fine-tuned" in line or "old weights, lengths" in line for line in lines)
