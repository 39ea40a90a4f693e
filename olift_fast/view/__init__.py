"""Viewers of lifted skeletons: an HTML page in one file (extra `view`), and the live page of a stream (`live`)."""

from __future__ import annotations

from olift_fast.view.html import require_plotly, write_html

__all__ = ["require_plotly", "write_html"]
