"""The page has the numbers of the newest result files and nothing else; an unusable file is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.floors import operations_per_byte
from benchmarks.page import write_page
from benchmarks.records import BadResultsError, Case, Way, newest_files, read_results, read_run
from benchmarks.report import ROOT, main

Write = Callable[..., Path]


def cells(page: str, way: str) -> list[list[str]]:
    """The table rows of one way."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return [row for row in rows if way in row]


def page_of(results: Path) -> str:
    return write_page(read_results(results), {})


def test_page_has_the_numbers_of_the_file(write: Write, entries: list[dict[str, Any]]) -> None:
    page = page_of(write("2026-01-02-ops.json", entries).parent.parent)
    ours, peer = cells(page, "olift_fast")[1], cells(page, "the peer")[1]
    assert ours == ["1×1000×26×8×32", "olift_fast", "0.100 [0.0900, 0.110]", "0.150", "", "", "6.54", "12%"]
    # The share is of the copy's 20 GB/s; the ratio is 2.46 ms over 0.1 ms; all calls are first ones.
    assert peer == ["", "the peer", "2.46 [2.10, 2.80]", "–", "24.6", "16.4", "3.21", "16%"]


def test_conditions_stand_under_each_table(write: Write, entries: list[dict[str, Any]]) -> None:
    page = page_of(write("2026-01-02-ops.json", entries).parent.parent)
    lines = [line for line in page.splitlines() if "Made-up CPU" in line]
    assert len(lines) == 2
    for told in ("3 threads", "no GPU", "torch 9.8.7", "commit abc1234-dirty", "2026-01-02", "20.0 GB/s", "avx2"):
        assert told in lines[0]
    assert lines[0].startswith("forward, float32, window 8, cpu, 15 rounds.")
    assert lines[1].startswith("bird, 30 rounds.")


def test_benchmark_without_ways_has_one_row(write: Write, entries: list[dict[str, Any]]) -> None:
    page = page_of(write("2026-01-02-ops.json", entries[-1:]).parent.parent)
    table = [line for line in page.splitlines() if line[:1] == "|"]
    assert len(table) == 3
    low, high = (float(x) * 1e3 for x in np.percentile([0.041, 0.0421, 0.045], (20, 80)))
    assert f"42.1 [{low:.1f}, {high:.1f}]" in table[2] and "1,522" in table[2]
    assert "clips per second" in table[0] and "way" not in table[0]


@pytest.mark.parametrize(("low", "mark"), [(0.105, True), (0.12, False)])
def test_ratio_within_the_spread_is_marked(write: Write, entries: list[dict[str, Any]], low: float, mark: bool) -> None:
    entries[1]["extra_info"]["ways"]["the peer"].update(p20_ms=low, p50_ms=0.13, p80_ms=0.14)
    page = page_of(write("2026-01-02-ops.json", entries).parent.parent)
    assert cells(page, "the peer")[1][4] == ("1.30 ~" if mark else "1.30")


def test_facts_of_each_way_and_operations_are_columns(write: Write, entries: list[dict[str, Any]]) -> None:
    entries[1]["extra_info"].update(peak_MiB={"olift_fast": 12.5, "the peer": 77.7}, operations=2_000_000_000)
    page = page_of(write("2026-01-02-ops.json", entries[1:2]).parent.parent)
    # 2 GFLOP in 0.1 and 2.46 ms.
    assert cells(page, "olift_fast")[0][-2:] == ["20,000", "12.5"]
    assert cells(page, "the peer")[0][-2:] == ["813", "77.7"]


def test_newest_file_of_each_kind_wins(write: Write, entries: list[dict[str, Any]]) -> None:
    for name in ("2025-12-31-ops.json", "2026-02-01-ops.json", "2026-01-15-ops.json", "2024-05-05-io.json"):
        folder = write(name, entries, commit=f"of-{name}").parent
    assert [path.name for path in newest_files(folder)] == ["2024-05-05-io.json", "2026-02-01-ops.json"]
    page = page_of(folder.parent)
    assert "of-2026-02-01-ops" in page and "of-2024-05-05-io" in page
    assert "of-2025-12-31" not in page and "of-2026-01-15" not in page


def test_accuracies_are_left_out(write: Write, entries: list[dict[str, Any]]) -> None:
    results = write("2026-01-02-ops.json", entries).parent.parent
    (results / "scores").mkdir()
    (results / "scores" / "small.json").write_text("[]", encoding="utf-8")
    assert list(read_results(results)) == ["made-up"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("2026-01-02-ops.json", "{", "not a readable JSON file"),
        ("2026-01-02-ops.json", "[]", "has list"),
        ("2026-01-02-ops.json", '{"machine_info": {}}', "'benchmarks'"),
        ("2026-01-02-ops.json", '{"machine_info": {}, "benchmarks": [{}]}', "FILE::TEST"),
        ("ops.json", "{}", "YYYY-MM-DD-KIND.json"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, capsys: Any, name: str, text: str, told: str) -> None:
    path = tmp_path / "results" / "made-up" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert main(["--results", str(tmp_path / "results"), "--docs", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{path}: ") and told in lines[0]
    assert not (tmp_path / "benchmarks.md").exists()


@pytest.mark.parametrize("value", [None, "fast", float("nan")])
def test_way_without_a_time_is_named(write: Write, entries: list[dict[str, Any]], value: Any) -> None:
    entries[0]["extra_info"]["ways"]["the peer"]["p80_ms"] = value
    path = write("2026-01-02-ops.json", entries)
    with pytest.raises(BadResultsError, match=r"test_banded_attention\[100\]: way 'the peer'.*'p80_ms'") as caught:
        read_run(path)
    assert str(path) in str(caught.value)


def test_folder_without_results_is_named(tmp_path: Path, capsys: Any) -> None:
    assert main(["--results", str(tmp_path), "--docs", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def case(function: str, **facts: Any) -> Case:
    return Case("", function, facts, (), 1)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (case("banded_attention", shape=[1, 48, 26, 8, 32], window=8, dtype="torch.float32"), 4.25),
        (case("banded_attention", shape=[1, 48, 26, 8, 32], window=8, dtype="torch.bfloat16"), 8.5),
        (case("banded_attention", shape=[1, 48, 26, 8, 32], window=8, backward=True), 14 * 17 / 44),
        (case("joint_attention", shape=[1, 48, 26, 8, 32]), 6.5),
        (case("banded_attention", shape=[1, 48, 26, 8, 32], window=9, backward=True), 14 * 19 / 44),
        (case("banded_attention", shape=[1, 48, 26, 8, 32], window=9, backward=True, device="cuda"), 14 * 19 / 48),
        (case("joint_attention", shape=[1, 48, 32, 8, 32], backward=True, device="cuda"), 14 * 32 / 44),
        (case("joint_attention", shape=[1, 48, 33, 8, 32], backward=True, device="cuda"), 14 * 33 / 48),
        (case("procrustes", points=26, count=9, of="rotation", backward=False), 5404 / 680),
        (case("procrustes", points=26, count=9, of="error", backward=True), 7900 / 1652),
    ],
)
def test_operations_per_byte_are_those_of_the_roofline(found: Case, wanted: float) -> None:
    """But for the 4 bytes a row of the softmax's sum, which its last column leaves out."""
    assert operations_per_byte(found) == pytest.approx(wanted, rel=0.02)


def test_operations_per_byte_are_not_guessed() -> None:
    assert operations_per_byte(case("rff_linear", points=[1, 48, 26])) is None
    assert operations_per_byte(case("banded_attention", shape=[1, 48, 26, 8, 32])) is None
    assert operations_per_byte(case("procrustes", points=26, count=9, of="error", backward=False)) is None


def test_a_point_of_the_roofline_has_the_share_of_the_bytes_that_must_move() -> None:
    """Whatever bytes its file counted: here 12 rows, of which the backward needs no `out`."""
    pytest.importorskip("matplotlib", reason="the plots need the extra `bench`")
    from benchmarks.plots import roofline_point

    rows = 2 * 48 * 26 * 8
    counted = rows * 12 * 32 * 4
    facts = {"shape": [2, 48, 26, 8, 32], "window": 8, "backward": True}
    way = Way("olift_fast", 2.0, None, bandwidth=counted / 2e6, share=0.48)
    density, share = roofline_point(Case("", "banded_attention", facts, (way,), 1))
    assert density == pytest.approx(14 * 17 * 32 / (11 * 32 * 4 + 8))
    assert share == pytest.approx(0.48 * (11 * 32 * 4 + 8) / (12 * 32 * 4))


@pytest.mark.slow
def test_every_plot_is_in_the_page_and_old_ones_go(write: Write, entries: list[dict[str, Any]], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plots need the extra `bench`")
    results = write("2026-01-02-ops.json", entries).parent.parent
    docs = tmp_path / "docs"
    (docs / "benchmarks").mkdir(parents=True)
    (docs / "benchmarks" / "old.png").write_bytes(b"")
    assert main(["--results", str(results), "--docs", str(docs)]) == 0
    page = (docs / "benchmarks.md").read_text(encoding="utf-8")
    drawn = sorted(path.name for path in (docs / "benchmarks").iterdir())
    wanted = ["banded-attention-ratios", "banded-attention-scaling", "roofline"]
    assert drawn == [f"made-up-ops-{what}.png" for what in wanted]
    assert all(f"(benchmarks/{name})" in page for name in drawn)


@pytest.mark.slow
def test_latencies_are_drawn_and_no_fact(write: Write, entries: list[dict[str, Any]]) -> None:
    pytest.importorskip("matplotlib", reason="the plots need the extra `bench`")
    from benchmarks.plots import draw_latencies

    entries[0]["extra_info"]["histogram_ms"] = [[1.0, 0], [2.0, 40], [4.0, 3]]
    cases = read_run(write("2026-01-02-ops.json", entries)).cases
    assert "histogram_ms" not in cases[0].facts
    drawn = draw_latencies(cases, "")
    assert drawn is not None and len(drawn.axes) == 1
    assert [(bar.get_x() + bar.get_width(), bar.get_height()) for bar in drawn.axes[0].patches] == [
        (1, 0),
        (2, 40),
        (4, 3),
    ]
    assert draw_latencies(cases[1:], "") is None


@pytest.mark.slow
def test_slope_of_a_power_is_its_exponent(write: Write, entries: list[dict[str, Any]]) -> None:
    pytest.importorskip("matplotlib", reason="the plots need the extra `bench`")
    from benchmarks.plots import draw_scaling

    run = read_run(write("2026-01-02-ops.json", entries))
    drawn = draw_scaling([case for case in run.cases if case.frames], "")
    told = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
    assert told == ["olift_fast: fitted slope 1.00", "the peer: fitted slope 2.00"]


def test_page_in_the_repository_is_that_of_its_results(tmp_path: Path) -> None:
    """This fails where the page was edited by hand, or was not rebuilt after new results."""
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    results = tmp_path / "results"
    shutil.copytree(ROOT / "benchmarks" / "results", results)
    without_images = "\n".join(line for line in page.splitlines() if not line.startswith("!["))
    assert page_of(results).split() == without_images.split()
