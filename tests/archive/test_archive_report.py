"""The page about an archive counts what the manifest tells, and shows the worst tracks first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import Run, archive_of

from olift_fast.archive import report_archive
from olift_fast.archive.destination import Destination
from olift_fast.archive.manifest import Manifest
from olift_fast.archive.reporting import worst_of
from olift_fast.errors import InputError


def test_the_worst_rank_worst_on_average_of_what_is_known() -> None:
    nan = np.nan
    figures = np.array([[0.1, 0.1], [0.9, 0.2], [0.5, 0.9], [0.6, nan], [nan, nan], [0.1, 0.1]])
    assert worst_of(figures).tolist() == [1, 2, 3, 0, 5]
    assert worst_of(figures, most=2).tolist() == [1, 2]
    assert worst_of(np.empty((0, 2))).tolist() == []


def test_a_page_tells_of_totals_failures_and_the_worst(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(archive_of(tmp_path / "in"), out)
    page = Path(report_archive(out))
    text = page.read_text()
    assert page == out / "report.html"
    for head, value in (("files done", "5"), ("files failed", "1"), ("tracks", "5"), ("frames of all tracks", "170")):
        assert f'<td>{head}</td><td class="number">{value}</td>' in text
    assert "The worst 5 tracks" in text and "median" in text
    links = re.findall(r'<a href="([^"]+)"', text)
    assert len(links) == 5
    pytest.importorskip("plotly")
    assert all((out / link).read_text().startswith("<!") for link in links)


def kept(out: Path, *records: dict[str, Any]) -> None:
    with Manifest(Destination(str(out))) as manifest:
        manifest.add(records)


def test_names_are_escaped_and_nothing_is_drawn_of_other_formats(tmp_path: Path) -> None:
    track = {"track": "<b>", "frames": 3, "joints": 2, "hidden_share": 0.5, "jump_share": None}
    done = {"path": "a\x1b<script>.csv", "status": "done", "tracks": [track], "settings": {}}
    kept(
        tmp_path,
        done | {"output": "a <.lifted.csv", "output_bytes": 3},
        {"path": "b", "status": "failed", "error": "<i>"},
    )
    text = Path(report_archive(tmp_path)).read_text()
    assert "<script>" not in text and "<i>" not in text and "\x1b" not in text
    assert 'href="a%20%3C.lifted.csv"' in text and not (tmp_path / "report").exists()


def test_many_reasons_are_cut_and_counted(tmp_path: Path) -> None:
    kept(tmp_path, *({"path": str(n), "status": "failed", "error": f"reason {n}"} for n in range(70)))
    text = Path(report_archive(tmp_path)).read_text()
    assert '<td>20 other reasons</td><td class="number">20</td>' in text and "No track was lifted" in text


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no manifest"):
        report_archive(tmp_path)
    assert list(tmp_path.iterdir()) == []
