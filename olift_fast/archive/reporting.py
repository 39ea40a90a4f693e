"""Draws the page about an archive: totals, failures by reason, distributions of the quality figures, worst tracks."""

from __future__ import annotations

import html
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from olift_fast.archive.destination import Destination
from olift_fast.archive.manifest import Manifest
from olift_fast.archive.records import QUALITY, rows_of
from olift_fast.errors import InputError, MissingExtraError, plural, printable
from olift_fast.io import read_lifted
from olift_fast.view import write_html

PAGE, PAGES = "report.html", "report"
WORST = 20
_REASONS = 50
"""Reasons of failures that are shown, the most frequent first."""
_BARS = 40
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } svg rect { fill: #4878a8; } svg text { font-size: 11px; fill: #555; }
code { overflow-wrap: anywhere; }
"""


@dataclass
class _Totals:
    """What is counted in one pass over the manifest."""

    files: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    tracks: int = 0
    frames: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    figures: list[tuple[float, ...]] = field(default_factory=list)


def report_archive(out: str | Path, *, pages: bool = True) -> str:
    """Draw the page ``report.html`` in DEST from the manifest; returns its path or URL.

    The worst tracks are those with the worst mean rank over the figures (`records.QUALITY`). If plotly is installed and
    the result is an .npz, each has its own page in ``report/``.

    Args:
        out: DEST.
        pages: also draw the pages of the worst tracks.

    Raises:
        InputError: DEST has no manifest, or can't be written.
    """
    destination = Destination(str(out))
    with Manifest(destination) as manifest:
        manifest.load()
        if not len(manifest):
            raise InputError(f"{out}: has no manifest, wanted the DEST of `olift archive`")
        totals = _Totals()
        for row in _rows(manifest, totals):
            totals.figures.append(tuple(np.nan if row[name] is None else row[name] for name in QUALITY))
        figures = np.array(totals.figures, dtype=np.float64).reshape(-1, len(QUALITY))
        chosen = {int(place): rank for rank, place in enumerate(worst_of(figures))}
        worst: list[dict[str, Any]] = [{}] * len(chosen)
        for place, row in enumerate(_rows(manifest, None)):
            if place in chosen:
                worst[chosen[place]] = row
    links = [_drawn(destination, row, number) if pages else None for number, row in enumerate(worst, 1)]
    text = _page(str(out), totals, figures, worst, links)
    destination.keep_text(text, PAGE)
    return destination.shown(PAGE)


def worst_of(figures: npt.NDArray[np.float64], most: int = WORST) -> npt.NDArray[np.intp]:
    """The rows that are worst, worst first: by the mean of their ranks in the columns, of those that they have.

    Args:
        figures: ``(rows, columns)``, more is worse; NaN where a row has none.
        most: how many.
    """
    known = np.isfinite(figures)
    ranks = np.zeros_like(figures)
    for column in range(figures.shape[1]):
        own = figures[known[:, column], column]
        # Equal values have equal ranks.
        _, place, count = np.unique(own, return_inverse=True, return_counts=True)
        middle = np.cumsum(count) - (count - 1) / 2
        ranks[known[:, column], column] = middle[place] / max(len(own), 1)
    score = ranks.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    order = np.argsort(-score, kind="stable")
    return order[known[order].any(axis=1)][:most]


def _rows(manifest: Manifest, totals: _Totals | None) -> Iterator[dict[str, Any]]:
    """The rows of tracks that were lifted."""
    for record in manifest.records():
        if totals is not None:
            _count(record, totals)
        if record["status"] == "done":
            yield from (row for row in rows_of(record) if row["status"] == "done")


def _count(record: dict[str, Any], totals: _Totals) -> None:
    totals.files[record["status"]] += 1
    totals.input_bytes += record.get("input_bytes") or 0
    if record["status"] == "failed":
        totals.errors[record.get("error") or "not told"] += 1
        return
    totals.models[f"{record.get('model')} ({record.get('version')})"] += 1
    totals.tracks += len(record["tracks"])
    totals.frames += sum(track.get("frames", 0) for track in record["tracks"])
    totals.output_bytes += record.get("output_bytes") or 0
    for stage in ("fetch", "read", "lift", "write"):
        totals.seconds[stage] = totals.seconds.get(stage, 0.0) + (record.get(f"seconds_{stage}") or 0.0)


def _drawn(destination: Destination, row: dict[str, Any], number: int) -> str | None:
    """Draws a track's file; the page below DEST, or None where it can't be drawn."""
    if not row["output"].endswith(".npz"):
        return None
    with tempfile.TemporaryDirectory(prefix="olift-report-") as folder:
        result, page = Path(folder) / "result.npz", Path(folder) / "page.html"
        try:
            result.write_bytes(destination.read(row["output"]))
            write_html(read_lifted(result), page, max_frames=300)
        except (MissingExtraError, InputError):
            return None
        name = f"{PAGES}/{number:02d}.html"
        destination.keep(page, name)
        return name


def _page(
    out: str,
    totals: _Totals,
    figures: npt.NDArray[np.float64],
    worst: Sequence[dict[str, Any]],
    links: Sequence[str | None],
) -> str:
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>Archive {_safe(out)}</title>',
        f"<style>{_STYLE}</style></head>",
        f"<body><h1>Archive <code>{_safe(out)}</code></h1>",
        _totals_table(totals),
        "<h2>Failures by reason</h2>",
        _failures(totals),
        "<h2>Quality of the tracks</h2>",
        *(_histogram(name, figures[:, column]) for column, name in enumerate(QUALITY)),
        f"<h2>The worst {len(worst)} tracks</h2>",
        "<p>By the mean of their ranks in the figures above.</p>" if worst else "<p>No track was lifted.</p>",
        _worst_table(worst, links),
        "</body></html>",
    ]
    return "\n".join(parts)


def _totals_table(totals: _Totals) -> str:
    rows = [
        ("files done", f"{totals.files['done']:,}"),
        ("files failed", f"{totals.files['failed']:,}"),
        ("tracks", f"{totals.tracks:,}"),
        ("frames of all tracks", f"{totals.frames:,}"),
        ("input", f"{totals.input_bytes / 1e6:,.1f} MB"),
        ("results", f"{totals.output_bytes / 1e6:,.1f} MB"),
        *((f"process hours, {stage}", f"{seconds / 3600:,.3f}") for stage, seconds in totals.seconds.items()),
        *((f"lifted by {model}", plural(count, "file")) for model, count in totals.models.most_common(10)),
    ]
    return _table((), rows)


def _failures(totals: _Totals) -> str:
    if not totals.errors:
        return "<p>None.</p>"
    shown = totals.errors.most_common(_REASONS)
    rows = [(error, f"{count:,}") for error, count in shown]
    if len(totals.errors) > len(shown):
        rest = sum(totals.errors.values()) - sum(count for _, count in shown)
        rows.append((f"{len(totals.errors) - len(shown):,} other reasons", f"{rest:,}"))
    return _table(("reason", "files"), rows)


def _histogram(name: str, values: npt.NDArray[np.float64]) -> str:
    """A figure's distribution as an SVG of bars, with its median and its 95th percentile."""
    values = values[np.isfinite(values)]
    if not values.size:
        return f"<figure><figcaption><b>{name}</b>: {_safe(QUALITY[name])}: none</figcaption></figure>"
    # A few tracks that are far off must not press all others into one bar.
    top = max(float(np.quantile(values, 0.99)), 1e-9)
    counts, _ = np.histogram(np.minimum(values, top), bins=_BARS, range=(0, top))
    bars = "".join(
        f'<rect x="{place * 16}" y="{100 - 100 * count / counts.max():.1f}" width="15"'
        f' height="{100 * count / counts.max():.1f}"><title>{count:,}</title></rect>'
        for place, count in enumerate(counts.tolist())
    )
    median, high = np.quantile(values, [0.5, 0.95])
    told = f"median {median:.3g}, 95th percentile {high:.3g}, most {values.max():.3g}"
    return (
        f"<figure><figcaption><b>{name}</b>: {_safe(QUALITY[name])} ({told})</figcaption>"
        f'<svg viewBox="0 0 640 118" width="640" height="118" role="img" aria-label="{name}">{bars}'
        f'<text x="0" y="114">0</text><text x="640" y="114" text-anchor="end">{top:.3g} and more</text></svg></figure>'
    )


def _worst_table(worst: Sequence[dict[str, Any]], links: Sequence[str | None]) -> str:
    if not worst:
        return ""
    rows = []
    for row, link in zip(worst, links, strict=True):
        figures = ["" if row[name] is None else f"{row[name]:.3g}" for name in QUALITY]
        rows.append((link or row["output"], f"{row['path']} · {row['track']}", f"{row['frames']:,}", *figures))
    return _table(("recording · track", "frames", *QUALITY), rows, linked=True)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, linked: bool = False) -> str:
    """A table; where it is linked, each row begins with where its first cell leads."""
    lines = []
    for row in rows:
        first, *rest = row[1:] if linked else row
        cell = _safe(first)
        if linked:
            leads = html.escape(quote(row[0], errors="surrogateescape"))
            cell = f'<a href="{leads}"><code>{cell}</code></a>'
        numbers = "".join(f'<td class="number">{_safe(one)}</td>' for one in rest)
        lines.append(f"<tr><td>{cell}</td>{numbers}</tr>")
    kinds = ("", *[' class="number"'] * len(heads))
    head = "".join(f"<th{kind}>{_safe(name)}</th>" for kind, name in zip(kinds, heads, strict=False))
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _safe(text: str) -> str:
    return html.escape(printable(text))
