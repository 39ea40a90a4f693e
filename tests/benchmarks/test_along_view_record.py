"""The record of how much of the bones lies along the view, by which `olift adapt` warns of people from above."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.adapting import SEEN
from benchmarks.along_view import summary
from benchmarks.scores import RECORDS
from olift_fast.train.adapting import ALONG

ROWS: list[dict[str, Any]] = json.loads((RECORDS / "along-view-small-all.json").read_text(encoding="utf-8"))


def shares(seen: str, *, people: bool) -> list[float]:
    return [row["along"] for row in ROWS if row["seen"] == seen and row["family"].startswith("human_") is people]


def test_all_rigs_are_recorded_with_all_cameras() -> None:
    assert [sum(row["seen"] == seen for row in ROWS) for seen in SEEN] == [54, 54, 54]
    assert len({(row["family"], row["seen"]) for row in ROWS}) == len(ROWS)


def test_people_from_above_are_warned_of_and_views_from_all_sides_are_not() -> None:
    assert min(shares("top", people=True)) > ALONG and len(shares("top", people=True)) == 13
    level = [row["family"] for row in ROWS if row["seen"] == "level" and row["along"] > ALONG]
    assert level == ["human_qs_robot_hands"]


def test_views_whose_lengths_do_harm_are_warned_of() -> None:
    found = {(row["family"], row["seen"]): row["along"] for row in ROWS}
    worse = [
        (row["family"], row["seen"])
        for name in ("-end-on", "-top")
        for row in json.loads((RECORDS / f"adapting-small-all{name}.json").read_text(encoding="utf-8"))
        if row["before_body"]["sa_mpjpe"] > 1.055 * row["before"]["sa_mpjpe"]
    ]
    # The edges of a mouse from above are no bones of one length, and nothing tells of it before.
    assert len(worse) == 5
    assert [key for key in worse if found[key] <= ALONG] == [("real_mouse_oist_11", "top")]


def test_the_summary_names_what_is_warned_of() -> None:
    rows = [
        {"family": family, "seen": seen, "along": share}
        for family, seen, share in (("human_a", "top", 0.5), ("human_b", "top", 0.36), ("cat", "level", 0.2))
    ]
    assert list(summary(rows)) == [
        "top, people: 0.36 … 0.50; 1 of 2 above 0.36: human_a",
        "level, others: 0.20 … 0.20; 0 of 1 above 0.36",
    ]
