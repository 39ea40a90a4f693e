"""What the pages of docs/api show: each public name has a docstring, and what its sections name is in its signature."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from page_blocks import ROOT

SHOWN = {
    page.stem: re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for page in sorted((ROOT / "docs/api").glob("*.md"))
    if page.stem != "index"
}


def public(package: str) -> Iterator[tuple[str, Any]]:
    """The public names of a package, and the public methods of its classes."""
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        yield name, value
        if inspect.isclass(value):
            for key, member in vars(value).items():
                if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    yield f"{name}.{key}", member


PACKAGES = ["olift_fast", *(f"olift_fast.{name}" for name in SHOWN if name != "olift_fast")]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_public_name_has_a_docstring(package: str) -> None:
    silent = [
        name
        for name, value in public(package)
        if (inspect.isfunction(value) or inspect.isclass(value) or isinstance(value, property)) and not value.__doc__
    ]
    assert not silent


@pytest.mark.parametrize("package", PACKAGES)
def test_arguments_that_a_docstring_names_are_arguments(package: str) -> None:
    for name, value in public(package):
        if not (inspect.isfunction(value) or inspect.isclass(value)):
            continue
        told = arguments(inspect.getdoc(value) or "")
        try:
            taken = set(inspect.signature(value).parameters)
        except ValueError:
            continue
        assert told <= taken, f"{package}.{name}: {sorted(told - taken)}"


def arguments(docstring: str) -> set[str]:
    """The names before the colons of the section "Args"; "q, k, v: …" are three."""
    lines = iter(docstring.splitlines())
    found: set[str] = set()
    for line in lines:
        if line == "Args:":
            for inner in lines:
                if inner and not inner.startswith(" "):
                    break
                if match := re.match(r"    ([a-z_]\w*(?:, *[a-z_]\w*)*):", inner):
                    found |= set(re.split(r", *", match[1]))
    return found


def test_arguments_are_read_from_a_docstring() -> None:
    text = "It does.\n\nArgs:\n    q, k: two.\n        more: of it.\n    window: one.\n\nReturns:\n    out: not one.\n"
    assert arguments(text) == {"q", "k", "window"}


@pytest.mark.parametrize("page", SHOWN)
def test_page_shows_all_names_of_its_package(page: str) -> None:
    package = "olift_fast" if page == "olift_fast" else f"olift_fast.{page}"
    if package in SHOWN[page]:
        return
    shown = {path.rpartition(".")[2] for path in SHOWN[page]}
    assert set(importlib.import_module(package).__all__) <= shown
