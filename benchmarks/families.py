"""How well a lifter lifts families and persons that training left out: ``python -m benchmarks.families MODEL FOLDER``.

FOLDER holds recordings in motion3d/, recorded/ and animated/; the families are `olift_fast.train.families.VALIDATION`.
Of each at most 40 clips of 48 frames are taken, one camera a clip. The errors go to
benchmarks/results/scores/families-MODEL.json, and `python -m benchmarks.scores` makes tables of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.scores import RECORDS, families, write_rows
from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.model import Lifter
from olift_fast.train.evaluate import FLAT, Way, flat, lifted_by, score_all
from olift_fast.train.families import VALIDATION_NAME
from olift_fast.train.held_out import held_out_families

CLIPS = 40

GROUPS: Mapping[str, Sequence[str]] = {
    "people, measured": ("human_uiprmd*", "human_cmu*", "human_biomech*", "human_reactidle*"),
    "people, animated": ("human_*",),
    "hands": ("hands_*",),
    "mice, measured": ("real_mouse_*",),
    "quadrupeds": ("qs_dog_*", "qs_wolf", "qs_fox", "animalia_rat", "animalia_opossum"),
    "birds": ("animalia_turkey",),
    "reptiles, dinosaurs, monsters": ("qs_velociraptor", "qs_parasaurolophus", "qs_snake", "qsmonsters_*"),
    "animals made of boxes": ("aw_*", "lf_*"),
}


class Seen(NamedTuple):
    """Cameras and faults that the clips of a test are seen with, and how often the body is lifted in each way."""

    cameras: CameraRange
    corruption: Corruption
    ways: tuple[str, ...]


LEVEL, TOP = CameraRange(), CameraRange(elevation=(45.0, 90.0))
WAYS: Mapping[str, Mapping[str, Any]] = {
    "its own edges": {},
    "edges from names": {"graph": "named"},
    "no edges": {"graph": "absent"},
    "sides hidden": {"sides": False},
    "pitch hidden": {"pitch": False},
    "one frame at a time": {"alone": True},
}
TESTS: Mapping[str, Seen] = {
    "level": Seen(LEVEL, Corruption.none(), tuple(WAYS)),
    "faults": Seen(LEVEL, Corruption(), ("its own edges",)),
    "from above": Seen(TOP, Corruption.none(), ("its own edges", "pitch hidden")),
}


def group_of(family: str) -> str:
    """The first group that a family belongs to."""
    return next(group for group, patterns in GROUPS.items() if any(fnmatchcase(family, each) for each in patterns))


def fewer(clips: ClipBatch, most: int = CLIPS) -> ClipBatch:
    """At most so many of the clips, evenly spread over all of them."""
    if len(clips) <= most:
        return clips
    return clips.take(np.linspace(0, len(clips) - 1, most).round().astype(int))


def rows(lifter: Lifter, folder: Path) -> Iterator[dict[str, Any]]:
    """An error a family, test and way, as they are written."""
    folders = sorted({path.parent for path in folder.glob("*/*.npz")} - {folder / "paired"})
    for test, seen in TESTS.items():
        sets = held_out_families(folders, [VALIDATION_NAME], cameras=1, corruption=seen.corruption, seen=seen.cameras)
        ways = {FLAT: Way(flat)}
        for name in seen.ways:
            options = dict(WAYS[name])
            if name == "pitch hidden" and not lifter.config.pitch:
                continue
            graph = options.pop("graph", "true")
            method = lifted_by(lifter, **options, uncertainty=lifter.config.uncertainty)
            ways[name] = Way(method, lifter.config.hops, graph)
        for score in score_all({family: fewer(clips) for family, clips in sets.items()}, ways):
            facts = {"family": score.source, "group": group_of(score.source), "test": test, "way": score.method}
            yield {**facts, "clips": score.clips, **score.values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", help="a shipped name, or a folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    order = list(GROUPS)
    found = sorted(rows(Lifter.from_pretrained(given.model), given.folder), key=lambda row: order.index(row["group"]))
    out = given.out or RECORDS / f"families-{Path(given.model).name}.json"
    write_rows(out, found)
    print(families(found))


if __name__ == "__main__":
    main()
