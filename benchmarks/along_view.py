"""How much of a body's bones lies along the view, by cameras: ``python -m benchmarks.along_view MODEL FOLDER``.

By it `olift adapt` warns, before the training, of views that hide how long bones are. The rigs and clips are those of
`benchmarks.adapting`, a fifth of them, lifted by MODEL as it is. The rows go to
benchmarks/results/scores/along-view-MODEL.json. Then, and without a run for ``--again FILE``, a summary is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch

from benchmarks.adapting import SEEN, as_tracks, clips_of, rigs
from benchmarks.scores import RECORDS, write_rows
from olift_fast.data.clips import ClipBatch
from olift_fast.model import Lifter
from olift_fast.train.adapting import ALONG
from olift_fast.train.body import share_along_view
from olift_fast.train.memory import keep_freed_memory
from olift_fast.train.own_clips import lifted_clips, own_clips

EVERY = 5
"""One clip of so many is lifted."""


def along(lifter: Lifter, batch: ClipBatch) -> float:
    """What `olift adapt` would tell of these clips (`olift_fast.train.body.share_along_view`)."""
    clips = own_clips(lifter, [as_tracks(batch)])
    some = clips.take(torch.arange(0, len(clips), EVERY))
    return share_along_view(lifted_clips(lifter, some), some)


def summary(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """For each cameras and kind of rig: the least and most share, and how many are warned of."""
    for seen in dict.fromkeys(row["seen"] for row in rows):
        for people in (True, False):
            found = [row for row in rows if row["seen"] == seen and row["family"].startswith("human_") is people]
            shares = [row["along"] for row in found]
            if shares:
                warned = [row["family"] for row in found if row["along"] > ALONG]
                yield (
                    f"{seen}, {'people' if people else 'others'}: {min(shares):.2f} … {max(shares):.2f}; "
                    f"{len(warned)} of {len(found)} above {ALONG}{': ' if warned else ''}{', '.join(warned)}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", nargs="?", help="a shipped name, or a folder")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--again", type=Path, help="a file of rows to summarize")
    parser.add_argument("--seen", nargs="+", choices=[*SEEN], default=[*SEEN], help="by which cameras")
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of rigs")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.again:
        print("\n".join(summary(json.loads(given.again.read_text(encoding="utf-8")))))
        return
    if given.folder is None:
        parser.error("needs a model and a folder, or --again")
    keep_freed_memory()
    lifter = Lifter.from_pretrained(given.model)
    rows: list[dict[str, Any]] = []
    for name, group, segments in rigs(given.folder):
        if any(fnmatchcase(name, pattern) for pattern in given.only):
            for seen in given.seen:
                clips = clips_of(name, segments, True, 0, seen)
                if clips is not None:
                    share = round(along(lifter, clips[0]), 4)
                    rows.append({"model": lifter.name, "family": name, "group": group, "seen": seen, "along": share})
                    print(f"{name}, {seen}: {share}", flush=True)
    write_rows(given.out or RECORDS / f"along-view-{Path(given.model).name}.json", rows)
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
