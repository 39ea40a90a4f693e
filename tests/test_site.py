"""The hooks of the documentation site: what they let pass, and what they refuse (docs/site/)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from page_blocks import ROOT

pytest.importorskip("mkdocs", reason="the site needs the extra `docs`")


def hook(name: str) -> ModuleType:
    """A hook, as mkdocs loads it."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs/site" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ('<script src="https://cdn.example/a.js"></script>', ["page.html loads https://cdn.example/a.js"]),
        ('<link rel="stylesheet" href="//fonts.example/b.css">', ["page.html loads //fonts.example/b.css"]),
        ('<iframe src="viewer.html"></iframe>', ["page.html refers to viewer.html"]),
        ('<a href="gone.html#part">', ["page.html refers to gone.html#part"]),
        ('<a href="https://example.org">a link to follow</a>', []),
        ('<link rel="canonical" href="https://example.org">', []),
        ('<img src="data:image/png;base64,AAAA"><a href="#part"><a href="there.html">', []),
    ],
)
def test_page_loads_nothing_from_elsewhere_and_refers_to_what_is_there(
    tag: str, told: list[str], tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(f"<!doctype html>{tag}", encoding="utf-8")
    (tmp_path / "there.html").touch()
    assert hook("offline").problems(tmp_path / "page.html", tmp_path) == told


def test_links_out_of_docs_are_found_and_those_in_code_are_not() -> None:
    outside = hook("outside")
    page = "[a](../README.md#install) `[b](../c.md)` [`olift\nview`](cli.md) [e](https://example.org)\n```\n[f](g.md)\n```\n"
    assert outside.targets(page, "start.md") == {"../README.md": "README.md", "cli.md": "docs/cli.md"}
    assert outside.targets("[a](../docs/cli.md)", "repository/benchmarks/README.md") == {
        "../docs/cli.md": "docs/cli.md"
    }
    assert outside.page_of("benchmarks") == "repository/benchmarks/README.md"
    assert outside.page_of("benchmarks/results") == "repository/benchmarks/results/index.md"


def test_headings_that_repeat_have_other_anchors_in_the_site_than_on_github() -> None:
    anchor = hook("outside").anchor_in_site
    assert anchor("#how-1", "# How\n\n# How\n") == "#how_1"
    assert anchor("#rule-1", "# Rule 1\n") == "#rule-1"


def test_tutorial_runs_again_when_a_block_changes_and_not_when_its_words_do(tmp_path: Path) -> None:
    pytest.importorskip("jupytext", reason="tutorials need the extra `docs`")
    tutorials = hook("tutorials")
    page = tmp_path / "page.md"
    names = []
    for text in (
        "One.\n\n```python\n1 + 1\n```\n",
        "Two.\n\n```python\n1 + 1\n```\n",
        "Two.\n\n```python\n1 + 2\n```\n",
    ):
        page.write_text(text, encoding="utf-8")
        names.append(tutorials.run_folder(page).name)
    assert names[0] == names[1] != names[2]


def test_formula_becomes_mathml() -> None:
    pytest.importorskip("latex2mathml", reason="formulas need the extra `docs`")
    made = hook("formulas").block(r"\sum_{p} w_p" + "\n" + r"\left\lVert x \right\rVert^2")
    assert made.startswith('<div class="formula"><math') and "<munder>" in made and "\\" not in made
