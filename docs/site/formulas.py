"""Formulas in TeX become MathML when the site is built: browsers draw it by themselves, without a script or a font.

A block marked ``math`` is one formula, on GitHub, too.
"""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert


def block(source: str, *_: Any, **__: Any) -> str:
    """A fence of pymdownx.superfences."""
    return f'<div class="formula">{convert(" ".join(source.split()), display="block")}</div>'
