"""docs/cli.md has a section for each command, which names its options, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from olift_fast.cli import app

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")
_PARTS = re.split(r"^## `olift (\w+)`$", PAGE, flags=re.MULTILINE)
SECTIONS = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
EVERYWHERE = {"--help", "--debug", "--json"}
"""Told of all commands at the top of the page."""


def options(command: str) -> list[set[str]]:
    """The names of each option that `--help` shows."""
    shown = [param for param in COMMANDS[command].params if not getattr(param, "hidden", False)]
    return [{*param.opts, *param.secondary_opts} for param in shown if param.param_type_name == "option"]


def named_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


def test_every_command_has_a_section_and_a_row_at_the_top() -> None:
    assert set(SECTIONS) == set(COMMANDS)
    assert set(re.findall(r"\[`olift (\w+)[^`]*`\]\(#olift-\1\) \|$", _PARTS[0], flags=re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", SECTIONS)
def test_the_section_names_all_options_of_the_command(command: str) -> None:
    named = named_in(SECTIONS[command]) | EVERYWHERE
    if command in ("archive", "lift"):
        named |= named_in(SECTIONS["world"])  # of --world
    assert [names for names in options(command) if not names & named] == []


def test_the_page_names_no_option_that_is_not_there() -> None:
    there = set().union(*(names for command in COMMANDS for names in options(command)))
    assert {name for name in named_in(PAGE) if name.startswith("--")} - there - EVERYWHERE == set()
