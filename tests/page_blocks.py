"""The blocks of Python and the command lines on pages, for tests that run them as they stand."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from olift_fast.tracks import rig

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^(?:<!-- not run: (.+?) -->\n)?```python\n([\s\S]*?)^```$", flags=re.MULTILINE)
COMMAND = re.compile(r"^    (?:\$ )?(olift .*)$", flags=re.MULTILINE)


class Block(NamedTuple):
    """A block of Python, and why it is not run, where the page says so in a comment before it."""

    code: str
    why_not: str | None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, from the top."""
    return [Block(code, why_not or None) for why_not, code in BLOCK.findall(page.read_text(encoding="utf-8"))]


def commands(page: Path) -> list[str]:
    """The lines of a page that call olift, without the prompt."""
    return COMMAND.findall(page.read_text(encoding="utf-8"))


def walk(path: Path, frames: int = 45) -> None:
    """Writes the keypoints of a person who walks to the right, as DeepLabCut does."""
    skeleton = rig("coco_17")
    places = {
        "nose": (8, 0), "eye": (6, -4), "ear": (0, -2), "shoulder": (0, 40), "elbow": (4, 90), "wrist": (12, 130),
        "hip": (0, 140), "knee": (4, 210), "ankle": (0, 280),
    }  # fmt: skip
    time = np.arange(frames) / 30
    points = np.zeros((frames, skeleton.num_joints, 2))
    for joint, (name, side) in enumerate(zip(skeleton.names, skeleton.sides, strict=True)):
        x, y = places[name.split("_")[-1]]
        swing = side * np.sin(2 * np.pi * time) * max(y - 130, 20) * 0.3 * (-1 if "wrist" in name else 1)
        points[:, joint] = np.stack([200 + 60 * time + x + 6 * side + swing, 100 + y + 0 * time], axis=-1)
    names = [name for name in skeleton.names for _ in range(3)]
    rows = [["scorer", *["net"] * len(names)], ["bodyparts", *names], ["coords", *["x", "y", "likelihood"] * 17]]
    for frame, values in enumerate(points):
        rows.append([str(frame), *(f"{cell:.2f}" for x, y in values for cell in (x, y, 0.95))])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
