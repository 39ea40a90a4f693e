"""The README and the pages of docs/: their blocks of Python run, and their command lines are ones that olift takes.

A block that would need a network, a camera, recordings or minutes has a comment before it: ``<!-- not run: why -->``.
docs/after-lifting.md and the tutorials run whole elsewhere: test_after_lifting.py, and `make docs`.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
from page_blocks import ROOT, blocks, commands, walk
from typer.testing import CliRunner

from olift_fast import Lifter, Skeleton, lift_tracks, read_keypoints, write_lifted
from olift_fast.cli import app
from olift_fast.io import read_lifted
from olift_fast.tracks import rig

ELSEWHERE = ("after-lifting", "export")
"""Run by test_after_lifting.py and by model/test_export.py, which know what they print."""
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in ELSEWHERE)]
ALL = [*PAGES, *(ROOT / "docs" / f"{name}.md" for name in ELSEWHERE), *sorted((ROOT / "docs/tutorials").glob("*.md"))]
Names = dict[str, Any]


def result(names: Names) -> None:
    """A lifted result under the name that the page uses."""
    walk(Path("walk.csv"))
    tracks = read_keypoints("walk.csv", fps=30.0)
    write_lifted(lift_tracks(Lifter.from_pretrained("small"), tracks), "dog.lifted.npz")


def poses(names: Names) -> None:
    """What a camera's loop would give."""
    skeleton = {"names": ["nose", "neck", "tail"], "edges": [[0, 1], [1, 2]]}
    Path("skeleton.json").write_text(json.dumps(skeleton), encoding="utf-8")
    names["poses"] = [np.random.default_rng(0).uniform(100, 200, (3, 3)) for _ in range(5)]


def week(names: Names) -> None:
    """A recording, shorter than a week."""
    joints = rig("animalsyn3d_dog").num_joints
    np.save("week.npy", np.random.default_rng(0).uniform(100, 300, (120, joints, 2)).astype(np.float32))


def attentions(names: Names) -> None:
    """A model with attention over joints and over frames, of PyTorch's classes and of one of its own."""

    class Attention(torch.nn.Module):
        def __init__(self, width: int = 16, heads: int = 2) -> None:
            super().__init__()
            self.num_heads = heads
            self.qkv, self.proj = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spatial = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
            self.temporal = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
            self.temporal_of_its_own = Attention()

    names |= {"model": Block(), "Attention": Attention}


def scored(names: Names) -> None:
    """Batches to score."""
    joints = torch.randn(2, 6, 5, 3)
    names["batches"] = [(joints, joints + 0.1 * torch.randn_like(joints), torch.ones(2, 6, 5, dtype=torch.bool), "ab")]


PREPARE: dict[str, Callable[[Names], None]] = {
    "README": lambda names: walk(Path("mykeypoints.csv")),
    "start": lambda names: walk(Path("mykeypoints.csv")),
    "skeletons": lambda names: walk(Path("mouse_DLC.csv")),
    "long-recordings": week,
    "metrics": scored,
    "streaming": poses,
    "swap": attentions,
    "world": result,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(not block.why_not for block in blocks(page))], ids=lambda page: page.stem
)
def test_blocks_run_one_after_the_other(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: Names = {"__name__": page.stem}
    if page.stem in PREPARE:
        PREPARE[page.stem](names)
    torch.manual_seed(0)
    for block in blocks(page):
        if not block.why_not:
            exec(compile(block.code, page.name, "exec"), names)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", PAGES[:1] + [page for page in PAGES if page.stem == "start"], ids=lambda page: page.stem
)
def test_python_gives_what_the_command_line_gives(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "docs/tutorials/data/rat.csv", "mykeypoints.csv")
    [code] = [block.code for block in blocks(page) if "read_keypoints(" in block.code]
    exec(compile(code, page.name, "exec"), {"__name__": page.stem})
    assert CliRunner().invoke(app, ["lift", "mykeypoints.csv", "-o", "command.npz"]).exit_code == 0
    python, command = read_lifted("lifted.npz"), read_lifted("command.npz")
    assert np.array_equal(python.joints, command.joints) and python.skeleton == command.skeleton


def test_pages_that_are_prepared_have_blocks_to_run() -> None:
    assert set(PREPARE) <= {page.stem for page in PAGES if any(not block.why_not for block in blocks(page))}


def test_skeleton_files_to_copy_are_skeletons() -> None:
    found = []
    for page in ALL:
        for text in re.findall(r"^```json\n([\s\S]*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            skeleton = Skeleton.from_json(text)
            assert skeleton.edges and skeleton.sides is not None, page
            assert set(skeleton.sides) == {-1, 0, 1}, page
            found.append(page.stem)
    assert set(found) >= {"start", "skeletons"}


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)
def test_command_lines_have_commands_and_options_that_there_are(page: Path) -> None:
    known: Any = typer.main.get_command(app)
    shell = re.findall(r"^```bash\n([\s\S]*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in "\n".join(shell).replace("\\\n", "").splitlines() if line.startswith("olift ")]
    for line in [*commands(page), *lines]:
        words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)
        if len(words) < 2 or words[1] not in known.commands:
            # What olift prints begins with its name, too: its version, or a command with what it does.
            assert len(words) > 1 and (words[1][0].isdigit() or words[1].startswith("-") or words[1] == "COMMAND"), line
            continue
        taken = {name for option in known.commands[words[1]].params for name in (*option.opts, *option.secondary_opts)}
        asked = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
        assert asked <= taken | {"--help"}, line
