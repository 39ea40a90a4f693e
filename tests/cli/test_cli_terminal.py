"""What the command line prints is shown by a terminal, and obeyed by none: names come from strangers' files."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from olift_fast.cli.console import say, show_warnings_printably, table, tell, warn
from olift_fast.errors import printable

from .conftest import Run, walk

HOSTILE = ("no\x1b[2Jse", "left\u202e_paw", "right\x9b31m_paw\n", "[/] [bold]tail\x07\r\u2066\ud7ff\x7f")


def shown(text: str) -> bool:
    """Whether every line has only signs that a terminal shows."""
    return all(line.isprintable() for line in text.split("\n"))


def write_hostile(folder: Path) -> Path:
    """A file whose own name, and those of its joints and its track, hold escape codes and markup."""
    points, likelihood = walk()
    path = folder / "ev\x1b[31mil[red]\u202e.npz"
    np.savez(path, keypoints=points[None], confidence=likelihood[None], names=HOSTILE, tracks=["dog\x1b]0;x\x07[/b]"])
    return path


def test_printable_keeps_what_can_be_seen() -> None:
    assert printable("mouse_1.csv: 3 × 4 …, 名前 ñ 😀 [bold]") == "mouse_1.csv: 3 × 4 …, 名前 ñ 😀 [bold]"
    assert printable("a\x1b[2J\n\r\t\x00\x7f\x9b\u202e\u2028\ud800") == (
        r"a\x1b[2J\n\r\t\x00\x7f\x9b\u202e\u2028\ud800"
    )


@pytest.mark.parametrize("command", [("info",), ("info", "--debug"), ("skeleton",), ("lift", "--no-infer")])
def test_names_in_files_are_shown_and_not_obeyed(
    run: Run, random_model: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = write_hostile(tmp_path)
    model = ("--model", random_model) if command[0] == "lift" else ()
    done = run(command[0], file, *command[1:], *model)
    assert done.exit_code == 0, done.output
    assert shown(done.stdout) and shown(done.stderr)
    assert r"ev\x1b[31mil[red]\u202e" in done.output.replace("\n", "")
    if command[0] == "info":
        assert r"no\x1b[2Jse" in done.stdout and r"[/] [bold]tail\x07\r" in done.stdout


def test_json_holds_the_names_as_they_are_and_is_shown(run: Run, tmp_path: Path) -> None:
    done = run("info", write_hostile(tmp_path), "--json")
    assert shown(done.stdout)
    assert tuple(joint["name"] for joint in json.loads(done.stdout)["joints"]) == HOSTILE


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "\x1b[2J.csv"),
        ("info", "\x1b[2J.csv", "--debug"),
        ("info", "a.csv", "b\x1b[2J.csv"),
        ("info", "a.csv", "--fps\x1b[2J"),
        ("lift", "a.csv", "--frame", "\x1b[2J"),
        ("lift\x1b[2J",),
        ("view", "\x1b[2J"),
        ("eval", "\x1b[2J", "."),
        ("eval", "small", "\x1b[2J"),
        ("train", "\x1b[2J.toml"),
        ("stream", "--skeleton", "\x1b[2J"),
        ("stream", "--replay", "\x1b[2J"),
        ("bench", "\x1b[2J.csv"),
    ],
)
def test_what_a_shell_filled_in_is_shown_in_errors(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2 and shown(done.output), done.output
    assert re.search(r"\\x1b\[2J", done.output)


def test_lines_warnings_notes_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    for tells in (say, warn, tell):
        tells("name \x1b[2J\nolift: done [/]")
    Console(width=60, highlight=False).print(table(("[/b]", "count"), [("[bold]x[/]\x1b[2J", "1")]))
    out, err = capsys.readouterr()
    text = re.sub(r"\x1b\[[0-9;]*m", "", out + err)  # the colors of warnings and notes
    assert shown(text) and text.count(r"name \x1b[2J\nolift: done [/]") == 3
    assert r"[bold]x[/]\x1b[2J" in text and "[/b]" in text


def test_warnings_of_python_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    # What it changes is put back at the end.
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    show_warnings_printably()
    text = warnings.formatwarning("skipped 1 of 2 files: a\x1b[2J.npz\nmore", UserWarning, "bad_files.py", 1, "")
    assert shown(text) and r"a\x1b[2J.npz" in text and "\nmore" in text


def test_a_progress_bar_shows_brackets(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from olift_fast.cli import console

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with console.progress_bar("lifting [/] [bold] \x1b[2J") as progress:
        assert progress is not None
        progress(1, 2)
