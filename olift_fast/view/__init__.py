"""Viewers of lifted skeletons: one self-contained HTML page (extra `view`)."""

from __future__ import annotations

from olift_fast.view.html import require_plotly, write_html

__all__ = ["require_plotly", "write_html"]
