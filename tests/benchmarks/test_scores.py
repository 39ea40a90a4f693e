"""The tables of scores in the README and the model cards, and that of the metrics, are those of the records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.scores import METRICS_PAGE, PAGES, RECORDS, ROOT, TABLES, change, rewritten
from olift_fast.train.metrics import METRICS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_has_the_numbers_of_its_records(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<!-- scores: " in text
    assert rewritten(text) == text, "run make report"


def test_page_of_metrics_has_a_row_for_each_record() -> None:
    text = METRICS_PAGE.read_text(encoding="utf-8")
    assert rewritten(text) == text, "run make report"
    rows = text.split("<!-- metrics -->")[1].split("<!-- end -->")[0].strip().splitlines()[2:]
    assert len(rows) == len(METRICS)
    for row, metric in zip(rows, METRICS, strict=True):
        assert row.startswith(f"| `{metric.function.__name__}`") and metric.use in row


def test_every_table_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(f"<!-- scores: {name} " in text for name in TABLES)


def test_record_that_changed_changes_the_page(tmp_path: Path) -> None:
    rows = json.loads((ROOT / "benchmarks/results/scores/small.json").read_text(encoding="utf-8"))
    for row in rows:
        if (row["source"], row["method"]) == ("rat_dannce23", "small"):
            row["sa_mpjpe"] = 12.34
        if (row["source"], row["method"]) == ("rat_dannce23", "flat guess"):
            row["sa_mpjpe"] = 24.68
    (tmp_path / "small.json").write_text(json.dumps(rows), encoding="utf-8")
    page = "before\n<!-- scores: ways small small -->\nold\n<!-- end -->\nafter"
    written = rewritten(page, tmp_path).splitlines()
    assert (written[0], written[-1]) == ("before", "after") and "old" not in written
    assert any(line.startswith("| rat (23) | 16 | 24.7 | 12.3 (−50 %) |") for line in written)


def test_marker_names_the_models(tmp_path: Path) -> None:
    for name in ("small", "small-causal"):
        text = (ROOT / f"benchmarks/results/scores/{name}.json").read_text(encoding="utf-8")
        (tmp_path / f"{name}.json").write_text(text.replace("small", "base"), encoding="utf-8")
    for words in ("ways small {}", "look-ahead small-causal {}-causal {}"):
        tables = [
            rewritten(f"<!-- scores: {words.format(model, model)} -->\n<!-- end -->", folder)
            for model, folder in (("small", RECORDS), ("base", tmp_path))
        ]
        small, base = (table.split("\n", 1)[1] for table in tables)
        assert "small" in small and base == small.replace("small", "base")


def test_error_above_the_flat_guess_has_a_plus() -> None:
    assert (change(12.0, 10.0), change(8.0, 10.0)) == ("+20 %", "−20 %")
